package mqtt

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"time"
)

// ClientOptionsReader reads the options of a client.
type ClientOptionsReader struct {
	options *ClientOptions
}

// NewOptionsReader returns a reader of o, for the OptionsReader method of a fake client.
func NewOptionsReader(o *ClientOptions) ClientOptionsReader { return ClientOptionsReader{o} }

// Servers returns copies of the brokers' URLs.
func (r *ClientOptionsReader) Servers() []*url.URL {
	all := make([]*url.URL, len(r.options.Servers))
	for i, u := range r.options.Servers {
		broker := *u
		all[i] = &broker
	}
	return all
}

// KeepAlive returns the keepalive.
func (r *ClientOptionsReader) KeepAlive() time.Duration {
	return time.Duration(r.options.KeepAlive) * time.Second
}

// ClientID returns the client id.
func (r *ClientOptionsReader) ClientID() string { return r.options.ClientID }

// Username returns the username.
func (r *ClientOptionsReader) Username() string { return r.options.Username }

// Password returns the password.
func (r *ClientOptionsReader) Password() string { return r.options.Password }

// CleanSession reports whether the session is clean.
func (r *ClientOptionsReader) CleanSession() bool { return r.options.CleanSession }

// Order reports whether callbacks run in order.
func (r *ClientOptionsReader) Order() bool { return r.options.Order }

// WillEnabled reports whether there is a will.
func (r *ClientOptionsReader) WillEnabled() bool { return r.options.WillEnabled }

// WillTopic returns the topic of the will.
func (r *ClientOptionsReader) WillTopic() string { return r.options.WillTopic }

// WillPayload returns the payload of the will.
func (r *ClientOptionsReader) WillPayload() []byte { return r.options.WillPayload }

// WillQos returns the QoS of the will.
func (r *ClientOptionsReader) WillQos() byte { return r.options.WillQos }

// WillRetained reports whether the will is retained.
func (r *ClientOptionsReader) WillRetained() bool { return r.options.WillRetained }

// ProtocolVersion returns the version of MQTT.
func (r *ClientOptionsReader) ProtocolVersion() uint { return r.options.ProtocolVersion }

// PingTimeout returns the ping timeout.
func (r *ClientOptionsReader) PingTimeout() time.Duration { return r.options.PingTimeout }

// ConnectTimeout returns the connect timeout.
func (r *ClientOptionsReader) ConnectTimeout() time.Duration { return r.options.ConnectTimeout }

// MaxReconnectInterval returns the longest delay between attempts to reconnect.
func (r *ClientOptionsReader) MaxReconnectInterval() time.Duration {
	return r.options.MaxReconnectInterval
}

// AutoReconnect reports whether the client reconnects.
func (r *ClientOptionsReader) AutoReconnect() bool { return r.options.AutoReconnect }

// ConnectRetryInterval returns the delay between attempts to connect.
func (r *ClientOptionsReader) ConnectRetryInterval() time.Duration {
	return r.options.ConnectRetryInterval
}

// ConnectRetry reports whether Connect tries again.
func (r *ClientOptionsReader) ConnectRetry() bool { return r.options.ConnectRetry }

// WriteTimeout returns the write timeout.
func (r *ClientOptionsReader) WriteTimeout() time.Duration { return r.options.WriteTimeout }

// MessageChannelDepth returns the value of SetMessageChannelDepth.
func (r *ClientOptionsReader) MessageChannelDepth() uint { return r.options.MessageChannelDepth }

// ResumeSubs reports whether pending subscriptions are kept.
func (r *ClientOptionsReader) ResumeSubs() bool { return r.options.ResumeSubs }

// HTTPHeaders returns the headers of websockets.
func (r *ClientOptionsReader) HTTPHeaders() http.Header { return r.options.HTTPHeaders }

// WebsocketOptions returns the options of websockets.
func (r *ClientOptionsReader) WebsocketOptions() *WebsocketOptions { return r.options.WebsocketOptions }

// TLSConfig returns the TLS configuration.
func (r *ClientOptionsReader) TLSConfig() *tls.Config { return r.options.TLSConfig }

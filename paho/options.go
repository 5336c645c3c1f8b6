package mqtt

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// CredentialsProvider returns the username and the password. The client calls it before
// every attempt to connect.
type CredentialsProvider func() (username string, password string)

// MessageHandler is called with each message that matches its route.
type MessageHandler func(Client, Message)

// ConnectionLostHandler is called when the connection was lost, with the cause. It is not
// called after [Client.Disconnect].
type ConnectionLostHandler func(Client, error)

// OnConnectHandler is called after every accepted connection, also after a reconnect.
type OnConnectHandler func(Client)

// ReconnectHandler is called before each attempt to reconnect. The client uses the
// changes that it makes to the options.
type ReconnectHandler func(Client, *ClientOptions)

// ConnectionAttemptHandler is called before each attempt to connect to a broker. It
// returns the TLS configuration for the attempt.
type ConnectionAttemptHandler func(broker *url.URL, tlsCfg *tls.Config) *tls.Config

// OpenConnectionFunc opens the network connection to a broker, with TLS if the broker needs TLS.
type OpenConnectionFunc func(uri *url.URL, options ClientOptions) (net.Conn, error)

// ConnectionNotificationHandler is called with every event of the connection.
type ConnectionNotificationHandler func(Client, ConnectionNotification)

// ClientOptions are the settings of a client. Make them with [NewClientOptions]. The
// setters return the options, so that calls can be chained.
type ClientOptions struct {
	Servers             []*url.URL          // the brokers, in the order of AddBroker
	ClientID            string              // "" lets libmosquitto or the broker choose an id
	Username            string              // "" for none
	Password            string              // not sent without a username
	CredentialsProvider CredentialsProvider // nil for fixed credentials
	CleanSession        bool                // whether the broker discards the session
	Order               bool                // whether callbacks run one after the other
	WillEnabled         bool                // whether the client has a will
	WillTopic           string              // the topic of the will
	WillPayload         []byte              // the payload of the will
	WillQos             byte                // the QoS of the will
	WillRetained        bool                // the retain flag of the will
	ProtocolVersion     uint                // 3 for MQTT 3.1, 4 for MQTT 3.1.1, 0 for 4 and then 3

	TLSConfig                *tls.Config                   // for brokers with TLS
	KeepAlive                int64                         // seconds
	PingTimeout              time.Duration                 // has no effect
	ConnectTimeout           time.Duration                 // the limit of an attempt; 0 for none
	MaxReconnectInterval     time.Duration                 // the longest delay between reconnects
	AutoReconnect            bool                          // whether the client reconnects
	ConnectRetryInterval     time.Duration                 // the delay between attempts with ConnectRetry
	ConnectRetry             bool                          // whether Connect tries again
	Store                    Store                         // the store of outgoing messages
	DefaultPublishHandler    MessageHandler                // called with messages that match no route
	OnConnect                OnConnectHandler              // called after every accepted connection
	OnConnectionLost         ConnectionLostHandler         // called after a connection loss
	OnReconnecting           ReconnectHandler              // called before each attempt to reconnect
	OnConnectAttempt         ConnectionAttemptHandler      // called before each attempt on a broker
	OnConnectionNotification ConnectionNotificationHandler // called with every event
	WriteTimeout             time.Duration                 // how long Publish waits for a full queue; 0 means 30 s
	MessageChannelDepth      uint                          // has no effect
	ResumeSubs               bool                          // whether pending subscriptions are kept
	HTTPHeaders              http.Header                   // for websockets
	WebsocketOptions         *WebsocketOptions             // for websockets
	MaxResumePubInFlight     int                           // the limit of messages in flight; 0 for the default
	Dialer                   *net.Dialer                   // for TCP connections and unix sockets
	CustomOpenConnectionFn   OpenConnectionFunc            // opens connections; nil for the default
	AutoAckDisabled          bool                          // refused by Connect
}

// NewClientOptions returns options with the defaults. They are a clean session, ordered
// delivery, a keepalive of 30 s, a ping timeout of 10 s, a connect timeout of 30 s,
// automatic reconnects at most every 10 min, and a connect retry interval of 30 s.
func NewClientOptions() *ClientOptions {
	return &ClientOptions{
		CleanSession:         true,
		Order:                true,
		KeepAlive:            30,
		PingTimeout:          10 * time.Second,
		ConnectTimeout:       30 * time.Second,
		MaxReconnectInterval: 10 * time.Minute,
		AutoReconnect:        true,
		ConnectRetryInterval: 30 * time.Second,
		OnConnectionLost:     DefaultConnectionLostHandler,
		HTTPHeaders:          http.Header{},
		WebsocketOptions:     &WebsocketOptions{},
		Dialer:               &net.Dialer{Timeout: 30 * time.Second},
	}
}

// AddBroker adds a broker, for example tcp://example.com:1883. The schemes are tcp and
// mqtt; ssl, tls, mqtts, mqtt+ssl and tcps (with TLS); ws and wss; and unix. Without a
// scheme it is tcp, and without a host 127.0.0.1. An invalid URL is logged to [ERROR] and
// adds nothing.
func (o *ClientOptions) AddBroker(server string) *ClientOptions {
	if strings.HasPrefix(server, ":") {
		server = "127.0.0.1" + server
	}
	if !strings.Contains(server, "://") {
		server = "tcp://" + server
	}
	broker, err := url.Parse(server)
	if err != nil {
		ERROR.Println(CLI, "a broker's URL is not valid, the broker is not added")
		return o
	}
	o.Servers = append(o.Servers, broker)
	return o
}

// SetResumeSubs keeps pending subscriptions while there is no connection. Without it
// Subscribe and Unsubscribe fail while there is no connection.
func (o *ClientOptions) SetResumeSubs(resume bool) *ClientOptions {
	o.ResumeSubs = resume
	return o
}

// SetClientID sets the client id.
func (o *ClientOptions) SetClientID(id string) *ClientOptions {
	o.ClientID = id
	return o
}

// SetUsername sets the username. Credentials in a broker's URL replace it.
func (o *ClientOptions) SetUsername(u string) *ClientOptions {
	o.Username = u
	return o
}

// SetPassword sets the password. Without a username it is not sent.
func (o *ClientOptions) SetPassword(p string) *ClientOptions {
	o.Password = p
	return o
}

// SetCredentialsProvider sets a function that returns the credentials of each attempt to
// connect. They replace all others.
func (o *ClientOptions) SetCredentialsProvider(p CredentialsProvider) *ClientOptions {
	o.CredentialsProvider = p
	return o
}

// SetCleanSession sets whether the broker discards the session of the client. The
// default is true. With false the broker keeps subscriptions and messages while the
// client is disconnected, and the client keeps its unacknowledged messages in the Store.
func (o *ClientOptions) SetCleanSession(clean bool) *ClientOptions {
	o.CleanSession = clean
	return o
}

// SetOrderMatters sets whether callbacks run one after the other, in the order of
// arrival. The default is true. With false each callback runs on its own goroutine.
func (o *ClientOptions) SetOrderMatters(order bool) *ClientOptions {
	o.Order = order
	return o
}

// SetTLSConfig sets the TLS configuration of brokers with TLS.
func (o *ClientOptions) SetTLSConfig(t *tls.Config) *ClientOptions {
	o.TLSConfig = t
	return o
}

// SetStore sets the store of outgoing messages. The client uses it without a clean
// session. The default is a [MemoryStore].
func (o *ClientOptions) SetStore(s Store) *ClientOptions {
	o.Store = s
	return o
}

// SetKeepAlive sets the keepalive in whole seconds: 0 for none, or 5 s to 65,535 s.
// [Client.Connect] returns an error for other values.
func (o *ClientOptions) SetKeepAlive(k time.Duration) *ClientOptions {
	o.KeepAlive = int64(k / time.Second)
	return o
}

// SetPingTimeout has no effect: libmosquitto waits for PINGRESP as long as the keepalive.
func (o *ClientOptions) SetPingTimeout(k time.Duration) *ClientOptions {
	o.PingTimeout = k
	return o
}

// SetProtocolVersion sets the version of MQTT: 3 for MQTT 3.1, 4 for MQTT 3.1.1. By
// default the client tries 4 first, then 3. Other values are ignored, but for those above
// 0x80, which [Client.Connect] refuses.
func (o *ClientOptions) SetProtocolVersion(pv uint) *ClientOptions {
	if pv == 3 || pv == 4 || pv > 0x80 {
		o.ProtocolVersion = pv
	}
	return o
}

// UnsetWill removes the will.
func (o *ClientOptions) UnsetWill() *ClientOptions {
	o.WillEnabled = false
	return o
}

// SetWill sets the message that the broker publishes if the connection ends without a
// DISCONNECT.
func (o *ClientOptions) SetWill(topic string, payload string, qos byte, retained bool) *ClientOptions {
	return o.SetBinaryWill(topic, []byte(payload), qos, retained)
}

// SetBinaryWill is [ClientOptions.SetWill] for bytes.
func (o *ClientOptions) SetBinaryWill(topic string, payload []byte, qos byte, retained bool) *ClientOptions {
	o.WillEnabled, o.WillTopic, o.WillPayload, o.WillQos, o.WillRetained = true, topic, payload, qos, retained
	return o
}

// SetDefaultPublishHandler sets the callback of messages that match no route.
func (o *ClientOptions) SetDefaultPublishHandler(defaultHandler MessageHandler) *ClientOptions {
	o.DefaultPublishHandler = defaultHandler
	return o
}

// SetOnConnectHandler sets the function that is called after every accepted connection.
// It runs on its own goroutine and may use the client.
func (o *ClientOptions) SetOnConnectHandler(onConn OnConnectHandler) *ClientOptions {
	o.OnConnect = onConn
	return o
}

// SetConnectionLostHandler sets the function that is called after a connection loss. It
// runs on its own goroutine.
func (o *ClientOptions) SetConnectionLostHandler(onLost ConnectionLostHandler) *ClientOptions {
	o.OnConnectionLost = onLost
	return o
}

// SetReconnectingHandler sets the function that is called before each attempt to
// reconnect. The attempt waits until it returns, at most for the connect timeout.
func (o *ClientOptions) SetReconnectingHandler(cb ReconnectHandler) *ClientOptions {
	o.OnReconnecting = cb
	return o
}

// SetConnectionAttemptHandler sets the function that is called before each attempt to
// connect to a broker. The attempt waits until it returns, at most for the connect
// timeout.
func (o *ClientOptions) SetConnectionAttemptHandler(onConnectAttempt ConnectionAttemptHandler) *ClientOptions {
	o.OnConnectAttempt = onConnectAttempt
	return o
}

// SetConnectionNotificationHandler sets the function that is called with every event of
// the connection.
func (o *ClientOptions) SetConnectionNotificationHandler(onConnectionNotification ConnectionNotificationHandler) *ClientOptions {
	o.OnConnectionNotification = onConnectionNotification
	return o
}

// SetWriteTimeout limits how long Publish waits while the queue is full. 0, the default,
// means 30 s.
func (o *ClientOptions) SetWriteTimeout(t time.Duration) *ClientOptions {
	o.WriteTimeout = t
	return o
}

// SetConnectTimeout limits an attempt to connect to a broker, until the broker has
// accepted the connection. The default is 30 s, and 0 means no limit.
func (o *ClientOptions) SetConnectTimeout(t time.Duration) *ClientOptions {
	o.ConnectTimeout = t
	if o.Dialer != nil {
		o.Dialer.Timeout = t
	}
	return o
}

// SetMaxReconnectInterval sets the longest delay between attempts to reconnect. The
// default is 10 min. The first delay is 1 s, and each further delay is twice as long.
// Delays are shortened at random, by up to a half.
func (o *ClientOptions) SetMaxReconnectInterval(t time.Duration) *ClientOptions {
	o.MaxReconnectInterval = t
	return o
}

// SetAutoReconnect sets whether the client reconnects after a connection loss. The
// default is true.
func (o *ClientOptions) SetAutoReconnect(a bool) *ClientOptions {
	o.AutoReconnect = a
	return o
}

// SetConnectRetryInterval sets the delay between attempts to connect with
// [ClientOptions.SetConnectRetry]. The default is 30 s.
func (o *ClientOptions) SetConnectRetryInterval(t time.Duration) *ClientOptions {
	o.ConnectRetryInterval = t
	return o
}

// SetConnectRetry makes Connect try again until it succeeds or Disconnect is called.
// Messages can be published meanwhile: the client sends them after the connect.
func (o *ClientOptions) SetConnectRetry(a bool) *ClientOptions {
	o.ConnectRetry = a
	return o
}

// SetMessageChannelDepth has no effect.
func (o *ClientOptions) SetMessageChannelDepth(s uint) *ClientOptions {
	o.MessageChannelDepth = s
	return o
}

// SetHTTPHeaders adds headers to the HTTP request of a websocket.
func (o *ClientOptions) SetHTTPHeaders(h http.Header) *ClientOptions {
	o.HTTPHeaders = h
	return o
}

// SetWebsocketOptions sets the options of websockets.
func (o *ClientOptions) SetWebsocketOptions(w *WebsocketOptions) *ClientOptions {
	o.WebsocketOptions = w
	return o
}

// SetMaxResumePubInFlight limits how many messages of QoS 1 and 2 are in flight. 0 means
// the default of package mosquitto/mqtt.
func (o *ClientOptions) SetMaxResumePubInFlight(n int) *ClientOptions {
	o.MaxResumePubInFlight = n
	return o
}

// SetDialer sets the dialer of TCP connections and unix sockets.
func (o *ClientOptions) SetDialer(dialer *net.Dialer) *ClientOptions {
	o.Dialer = dialer
	return o
}

// SetCustomOpenConnectionFn sets the function that opens connections. nil changes
// nothing.
func (o *ClientOptions) SetCustomOpenConnectionFn(customOpenConnectionFn OpenConnectionFunc) *ClientOptions {
	if customOpenConnectionFn != nil {
		o.CustomOpenConnectionFn = customOpenConnectionFn
	}
	return o
}

// SetAutoAckDisabled cannot be used: [Client.Connect] returns an error if it is set.
// libmosquitto acknowledges a message when its callback has returned.
func (o *ClientOptions) SetAutoAckDisabled(autoAckDisabled bool) *ClientOptions {
	o.AutoAckDisabled = autoAckDisabled
	return o
}

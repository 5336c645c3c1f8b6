package mqtt

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/mosquitto-go/mosquitto/paho/packets"
)

// Client is an MQTT client. Its methods are safe for concurrent use. Callbacks may call
// all of them.
type Client interface {
	// IsConnected reports whether the client is connected or connects by itself: after a
	// loss with SetAutoReconnect, or before the first connection with SetConnectRetry.
	IsConnected() bool
	// IsConnectionOpen reports whether the client is connected now.
	IsConnectionOpen() bool
	// Connect connects to the first broker that accepts the client. The token ends when
	// a broker has accepted it, or when all brokers have failed. With SetConnectRetry
	// failures do not end it. Connect can be called again after Disconnect or a failure.
	Connect() Token
	// Disconnect ends the connection. It first waits until all messages are acknowledged,
	// at most for quiesce milliseconds. Then it sends DISCONNECT. All pending tokens end.
	Disconnect(quiesce uint)
	// Publish sends a message. The payload is a string, a []byte or a bytes.Buffer. The
	// token ends when the broker has acknowledged the message, and with QoS 0 when it is
	// written. Messages that are published during a reconnect are sent after it.
	Publish(topic string, qos byte, retained bool, payload any) Token
	// Subscribe subscribes to a filter and adds a route for its messages, unless callback
	// is nil. The client subscribes again after a reconnect.
	Subscribe(topic string, qos byte, callback MessageHandler) Token
	// SubscribeMultiple is Subscribe for several filters with the same callback.
	SubscribeMultiple(filters map[string]byte, callback MessageHandler) Token
	// Unsubscribe removes subscriptions and their routes.
	Unsubscribe(topics ...string) Token
	// AddRoute sets the callback of messages whose topic matches a filter, without a
	// subscription. A nil callback changes nothing. All routes that match a message get
	// it, in the order in which they were added.
	AddRoute(topic string, callback MessageHandler)
	// OptionsReader returns a reader for the options of the client.
	OptionsReader() ClientOptionsReader
}

// client is a Client.
type client struct {
	options    ClientOptions // OnReconnecting may change them
	anyVersion bool          // the client chooses the version of MQTT
	addresses  []string      // of the brokers at the last Connect
	router     router

	mu      sync.Mutex
	session *session // nil while disconnected
}

// NewClient returns a client with a copy of the options. It is not connected yet.
func NewClient(o *ClientOptions) Client {
	c := &client{options: *o}
	c.options.Servers = slices.Clone(o.Servers)
	c.anyVersion = c.options.normalize()
	c.router.fallback = o.DefaultPublishHandler
	return c
}

// DefaultConnectionLostHandler logs the cause of a connection loss to [DEBUG].
func DefaultConnectionLostHandler(client Client, reason error) {
	DEBUG.Println(CLI, "connection lost:", reason)
}

// OptionsReader returns a reader for the options of the client.
func (c *client) OptionsReader() ClientOptionsReader { return ClientOptionsReader{&c.options} }

// current returns the session, or nil.
func (c *client) current() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// forget removes a session that has ended.
func (c *client) forget(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == s {
		c.session = nil
	}
}

// IsConnected reports whether the client is connected or connects by itself.
func (c *client) IsConnected() bool { return c.current().isUsable() }

// IsConnectionOpen reports whether the client is connected now.
func (c *client) IsConnectionOpen() bool { return c.current().isOnline() }

// Connect connects the client.
func (c *client) Connect() Token {
	token := &ConnectToken{baseToken: newBase(nil)}
	c.mu.Lock()
	defer c.mu.Unlock()
	previous := c.session
	if previous != nil && !previous.isEnding() {
		token.setError(previous.secondConnect())
		return token
	}
	if err := c.options.check(); err != nil {
		token.end(err, func() { token.returnCode = packets.ErrNetworkError })
		return token
	}
	c.session = newSession(c, token)
	go c.session.connect(previous)
	return token
}

// Disconnect ends the connection.
func (c *client) Disconnect(quiesce uint) {
	if s := c.current(); s != nil {
		s.disconnect(time.Duration(quiesce) * time.Millisecond)
	}
}

// Publish sends a message.
func (c *client) Publish(topic string, qos byte, retained bool, payload any) Token {
	s := c.current()
	if !s.isUsable() {
		return failedPublish(ErrNotConnected)
	}
	content, err := bytesOf(payload)
	switch {
	case err != nil:
		return failedPublish(err)
	case qos > 2:
		return failedPublish(ErrInvalidQos)
	case topic == "":
		return failedPublish(ErrInvalidTopicEmptyString)
	}
	return s.publish(publication{topic, content, qos, retained})
}

func failedPublish(err error) Token {
	return &PublishToken{baseToken: baseToken{complete: closed, err: err}}
}

// bytesOf returns the bytes of a payload.
func bytesOf(payload any) ([]byte, error) {
	switch p := payload.(type) {
	case string:
		return []byte(p), nil
	case []byte:
		return p, nil
	case bytes.Buffer:
		return p.Bytes(), nil
	}
	return nil, errPayloadType
}

// Subscribe subscribes to a filter.
func (c *client) Subscribe(topic string, qos byte, callback MessageHandler) Token {
	return c.subscribe([]string{topic}, []byte{qos}, callback, routeFilter)
}

// SubscribeMultiple subscribes to several filters.
func (c *client) SubscribeMultiple(filters map[string]byte, callback MessageHandler) Token {
	var names []string
	for name := range filters {
		names = append(names, name)
	}
	slices.Sort(names)
	var qos []byte
	for _, name := range names {
		qos = append(qos, filters[name])
	}
	return c.subscribe(names, qos, callback, func(filter string) string { return filter })
}

// subscribe subscribes to filters. resultKey returns the key of a filter in the results.
func (c *client) subscribe(filters []string, qos []byte, callback MessageHandler, resultKey func(string) string) Token {
	s := c.current()
	token := newSubscribeToken(s.dispatcher())
	if err := s.mayChangeSubscriptions(); err != nil {
		token.setError(err)
		return token
	}
	if len(filters) == 0 {
		token.setError(errNoFilter)
		return token
	}
	for i, filter := range filters {
		if err := checkFilter(filter, qos[i]); err != nil {
			token.setError(err)
			return token
		}
	}
	for _, filter := range filters {
		c.AddRoute(routeFilter(filter), callback)
	}
	s.subscribe(token, filters, qos, resultKey)
	return token
}

// Unsubscribe removes subscriptions and their routes.
func (c *client) Unsubscribe(topics ...string) Token {
	s := c.current()
	token := &UnsubscribeToken{baseToken: newBase(s.dispatcher())}
	err := s.mayChangeSubscriptions()
	if err == nil && len(topics) == 0 {
		err = errNoFilter
	}
	if err != nil {
		token.setError(err)
		return token
	}
	for _, topic := range topics {
		c.router.remove(routeFilter(topic))
	}
	s.unsubscribe(token, slices.Clone(topics))
	return token
}

// AddRoute sets the callback of messages whose topic matches a filter.
func (c *client) AddRoute(topic string, callback MessageHandler) {
	if callback != nil {
		c.router.add(topic, callback)
	}
}

// notify calls the notification handler.
func (c *client) notify(n ConnectionNotification) {
	if f := c.options.OnConnectionNotification; f != nil {
		f(c, n)
	}
}

// notifyLater calls the notification handler on a goroutine of its own.
func (c *client) notifyLater(n ConnectionNotification) {
	if f := c.options.OnConnectionNotification; f != nil {
		go f(c, n)
	}
}

// call runs the callbacks of a message, one after the other.
func (c *client) call(m *message) {
	for _, callback := range m.callbacks {
		callback(c, m)
	}
}

package mqtt

import (
	"context"
	"slices"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/paho/packets"
)

// This file makes the connection of a session, and follows its changes.

// connect is the goroutine of Connect.
func (s *session) connect(previous *session) {
	if previous != nil {
		<-previous.done
	}
	s.client.options.Store.Open()
	m, connack, err := s.firstConnection()
	if err == nil && !s.establish(m) {
		closeNow(m)
		err = errDisconnected
	}
	if err != nil {
		s.fail(err)
		return
	}
	if s.cleanSession {
		s.client.options.Store.Reset() // the broker has discarded the session, too
	}
	s.connected()
	s.token.end(nil, func() { s.token.sessionPresent = connack.SessionPresent })
	close(s.ready)
}

// fail ends a session without a connection.
func (s *session) fail(err error) {
	code, err := refusal(err)
	if s.isEnding() {
		err = errDisconnected
	}
	s.end()
	close(s.ready)
	s.token.end(err, func() { s.token.returnCode = code })
}

// closeNow ends a client without waiting for its messages.
func closeNow(m *mqtt.Client) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.Close(ctx) // tokens return the errors
}

// firstConnection dials until a broker accepts the client. Without SetConnectRetry it
// dials once.
func (s *session) firstConnection() (*mqtt.Client, *mqtt.Connack, error) {
	interval := s.client.options.ConnectRetryInterval
	if interval <= 0 {
		interval = firstDelay
	}
	options, err := s.settings()
	close(s.prepared)
	if err != nil {
		return nil, nil, err
	}
	for attempt := 0; ; attempt++ {
		s.client.notify(ConnectionNotificationConnecting{false, attempt})
		m, connack, err := s.dial(options)
		if err == nil {
			return m, connack, nil
		}
		_, reason := refusal(err)
		s.client.notify(ConnectionNotificationFailed{reason})
		if !s.connectRetry || !isAttempt(err) {
			return nil, nil, err
		}
		WARN.Println(CLI, "connecting failed, next attempt in", interval, reason)
		select {
		case <-time.After(interval):
		case <-s.ctx.Done():
			return nil, nil, err
		}
	}
}

// settings returns the options of package mosquitto/mqtt, and prepares the store.
func (s *session) settings() ([]mqtt.Option, error) {
	c := s.client
	options := append(c.options.settings(c.anyVersion),
		mqtt.WithCredentialsFunc(s.beginAttempt),
		mqtt.WithDefaultHandler(s.receive),
		mqtt.WithHooks(mqtt.Hooks{Receive: s.beginMessage}),
	)
	if s.callbacks != nil {
		options = append(options, mqtt.WithLibrarySetup(func(m *mosquitto.Client) error {
			m.OnAcknowledge(s.callbacks.beforeAcknowledging)
			return nil
		}))
	}
	c.addresses = nil
	for _, broker := range c.options.Servers {
		c.addresses = append(c.addresses, addressOf(broker))
	}
	if c.options.dialsInGo() {
		options = append(options, mqtt.WithDialer((&transport{client: c, last: -1}).dial))
	}
	if s.cleanSession {
		return options, nil
	}
	stored, pending, err := openStore(c.options.Store)
	if err != nil {
		return nil, err
	}
	s.stored = stored
	if s.resumeSubs {
		s.resume(pending)
	}
	return append(options, mqtt.WithOutbox(stored)), nil
}

// resume queues the subscriptions of an earlier process.
func (s *session) resume(pending []packets.ControlPacket) {
	for _, packet := range pending {
		switch p := packet.(type) {
		case *packets.SubscribePacket:
			s.subscribe(newSubscribeToken(nil), p.Topics, p.Qoss, routeFilter)
		case *packets.UnsubscribePacket:
			s.unsubscribe(&UnsubscribeToken{baseToken: newBase(nil)}, p.Topics)
		}
	}
}

// dial makes a client of package mosquitto/mqtt. connack is the broker's answer.
func (s *session) dial(options []mqtt.Option) (m *mqtt.Client, connack *mqtt.Connack, err error) {
	var servers []string
	for _, broker := range s.client.options.Servers {
		servers = append(servers, serverOf(broker))
	}
	first := make(chan *mqtt.Connack, 1)
	accepted := false // owned by the goroutine of state handlers
	watch := mqtt.WithStateHandler(func(m *mqtt.Client, change mqtt.StateChange) {
		switch {
		case accepted:
			<-s.ready
			s.changed(m, change)
		case change.State == mqtt.StateConnected:
			accepted = true
			first <- change.Connack
		}
	})
	if m, err = mqtt.Dial(s.ctx, servers, append(slices.Clip(options), watch)...); err != nil {
		return nil, nil, err
	}
	return m, <-first, nil
}

// beginAttempt is called before each attempt to connect. It returns the credentials.
func (s *session) beginAttempt(context.Context) (username, password string, err error) {
	o := &s.client.options
	if s.online.Load() == nil {
		username, password = o.credentials()
		return username, password, nil
	}
	if !s.autoReconnect {
		return "", "", errNoReconnect
	}
	if o.OnReconnecting != nil {
		o.OnReconnecting(s.client, o)
	}
	s.client.notify(ConnectionNotificationConnecting{true, int(s.attempts.Add(1)) - 1})
	username, password = o.credentials()
	return username, password, nil
}

// changed follows the changes of the connection, after the first connection.
func (s *session) changed(m *mqtt.Client, change mqtt.StateChange) {
	if m != s.online.Load() || s.isEnding() {
		return
	}
	switch change.State {
	case mqtt.StateConnected:
		s.attempts.Store(0)
		s.connected()
	case mqtt.StateConnecting:
		_, reason := refusal(change.Err)
		s.client.notify(ConnectionNotificationFailed{reason})
	case mqtt.StateDisconnected:
		s.lost(change.Err)
	case mqtt.StateClosed:
		s.endAfterLoss(m)
	}
}

// connected reports to the program that a broker has accepted the client.
func (s *session) connected() {
	c := s.client
	if f := c.options.OnConnect; f != nil {
		go f(c)
	}
	c.notifyLater(ConnectionNotificationConnected{})
}

// lost ends the calls that end with the connection, and reports the loss to the program.
func (s *session) lost(reason error) {
	s.endCalls()
	if !s.autoReconnect {
		s.endAfterLoss(s.online.Load())
	}
	c := s.client
	if f := c.options.OnConnectionLost; f != nil {
		go f(c, reason)
	}
	c.notifyLater(ConnectionNotificationLost{reason})
}

// endAfterLoss ends a session that does not reconnect.
func (s *session) endAfterLoss(m *mqtt.Client) {
	if s.beginEnd() {
		closeNow(m)
		s.end()
	}
}

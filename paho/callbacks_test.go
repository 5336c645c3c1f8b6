package mqtt_test

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/require"
)

func TestOnConnect_MayUseTheClient(t *testing.T) {
	b := start(t)
	p := faultproxy.Start(t, b.Addr())
	callback, got := collect()
	done := make(chan error, 1)
	o := options(p.Port).SetOnConnectHandler(func(c paho.Client) {
		token := c.Subscribe("a", 1, callback)
		token.Wait()
		published := c.Publish("a", 1, false, "x")
		published.Wait()
		done <- fmt.Errorf("%w, %w, %t", token.Error(), published.Error(), c.IsConnectionOpen())
	})
	c := connect(t, o)
	for range 3 {
		require.Equal(t, "%!w(<nil>), %!w(<nil>), true", wait.For(t, done, "OnConnect").Error())
		wait.For(t, got, "the message")
		p.Cut()
	}
	_ = c
}

func TestOnConnect_MayBlock(t *testing.T) {
	b := start(t)
	hold := make(chan struct{})
	defer close(hold)
	c := connect(t, options(b.Port).SetOnConnectHandler(func(paho.Client) { <-hold }))
	succeed(t, c.Publish("a", 1, false, "x"))
}

func TestConnectionLost_IsCalledWithTheCause(t *testing.T) {
	b := start(t)
	p := faultproxy.Start(t, b.Addr())
	lost, connected := make(chan error, 10), make(chan bool, 10)
	o := options(p.Port).SetOnConnectHandler(func(c paho.Client) { connected <- c.IsConnected() })
	c := connect(t, o.SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err }))
	require.True(t, wait.For(t, connected, "OnConnect"))
	p.Cut()
	require.Error(t, wait.For(t, lost, "the loss"))
	require.True(t, wait.For(t, connected, "the reconnect"))
	c.Disconnect(100)
	wait.None(t, lost, "loss after Disconnect")
}

func TestAutoReconnect_OffEndsTheClient(t *testing.T) {
	p := fakebroker.Listen(t)
	lost := make(chan bool, 1)
	o := options(p.Port).SetAutoReconnect(false)
	c, conn := attach(t, p, o.SetConnectionLostHandler(func(c paho.Client, _ error) { lost <- c.IsConnected() }))
	published := c.Publish("a", 1, false, "x")
	conn.Expect(fakebroker.PUBLISH)
	conn.Close()
	require.False(t, wait.For(t, lost, "the loss"))
	require.Error(t, outcome(t, published))
	require.Equal(t, paho.ErrNotConnected, outcome(t, c.Publish("a", 1, false, "x")))

	token := c.Connect()
	next := p.AcceptConnect() // the first connection since the loss
	succeed(t, token)
	require.True(t, c.IsConnectionOpen())
	c.Disconnect(0)
	next.Expect(fakebroker.DISCONNECT)
}

func TestConnectionLost_MayConnectAgain(t *testing.T) {
	b := start(t)
	p := faultproxy.Start(t, b.Addr())
	connected := make(chan error, 1)
	o := options(p.Port).SetAutoReconnect(false)
	c := connect(t, o.SetConnectionLostHandler(func(c paho.Client, _ error) {
		token := c.Connect()
		token.Wait()
		connected <- token.Error()
	}))
	for range 3 {
		p.Cut()
		require.NoError(t, wait.For(t, connected, "the connect"))
	}
	require.True(t, c.IsConnectionOpen())
}

func TestReconnecting_ChangesTheOptions(t *testing.T) {
	p, next := fakebroker.Listen(t), fakebroker.Listen(t)
	o := options(p.Port).SetUsername("first").SetReconnectingHandler(func(_ paho.Client, o *paho.ClientOptions) {
		o.SetUsername("second")
		o.Servers = nil
		o.AddBroker(address(next.Port))
	})
	c, conn := attach(t, p, o)
	conn.Close()
	again := next.Accept()
	connect := again.Expect(fakebroker.CONNECT)
	require.Contains(t, string(connect.Body), "second")
	again.Send(fakebroker.V311.Connack(false, 0))
	wait.Until(t, "the reconnect", c.IsConnectionOpen)
	reader := c.OptionsReader()
	require.Equal(t, "second", reader.Username())
}

func TestReconnecting_IsCalledBeforeEachAttempt(t *testing.T) {
	b := start(t)
	calls := make(chan bool, 1000)
	o := options(b.Port).SetReconnectingHandler(func(c paho.Client, _ *paho.ClientOptions) { calls <- c.IsConnectionOpen() })
	c := connect(t, o)
	wait.None(t, calls, "call before a loss")
	b.Kill()
	for range 3 {
		require.False(t, wait.For(t, calls, "an attempt"))
	}
	b.Restart()
	wait.Until(t, "the reconnect", c.IsConnectionOpen)
}

func TestConnectionAttempt_IsCalledWithTheBroker(t *testing.T) {
	b := start(t)
	brokers := make(chan string, 10)
	o := options(broker.FreePort(t), b.Port).SetConnectionAttemptHandler(func(broker *url.URL, config *tls.Config) *tls.Config {
		brokers <- broker.Host
		return config
	})
	connect(t, o)
	require.Equal(t, o.Servers[0].Host, wait.For(t, brokers, "the first attempt"))
	require.Equal(t, o.Servers[1].Host, wait.For(t, brokers, "the second attempt"))
	wait.None(t, brokers, "attempt")
}

func TestNotifications_ReportEveryEvent(t *testing.T) {
	b := start(t)
	p := faultproxy.Start(t, b.Addr())
	closed := broker.FreePort(t)
	events := make(chan paho.ConnectionNotification, 1000)
	o := options(closed, p.Port).SetConnectionNotificationHandler(func(_ paho.Client, n paho.ConnectionNotification) { events <- n })
	c := connect(t, o)
	next := func() paho.ConnectionNotification { return wait.For(t, events, "a notification") }
	require.Equal(t, paho.ConnectionNotificationConnecting{}, next())
	require.Equal(t, paho.ConnectionNotificationBroker{Broker: o.Servers[0]}, next())
	failed := next().(paho.ConnectionNotificationBrokerFailed)
	require.Equal(t, o.Servers[0], failed.Broker)
	require.Error(t, failed.Reason)
	require.Equal(t, paho.ConnectionNotificationBroker{Broker: o.Servers[1]}, next())
	require.Equal(t, paho.ConnectionNotificationConnected{}, next())

	p.CloseNew()
	p.Cut()
	seen := map[paho.ConnectionNotificationType]bool{}
	for !seen[paho.ConnectionNotificationTypeLost] || !seen[paho.ConnectionNotificationTypeFailed] {
		n := next()
		seen[n.Type()] = true
		if n, ok := n.(paho.ConnectionNotificationConnecting); ok {
			require.True(t, n.IsReconnect)
		}
	}
	p.AcceptNew()
	for next().Type() != paho.ConnectionNotificationTypeConnected {
	}
	require.True(t, c.IsConnected())
}

func TestNotifications_FailedConnect(t *testing.T) {
	events := make(chan paho.ConnectionNotificationType, 10)
	o := options(broker.FreePort(t)).SetConnectionNotificationHandler(func(_ paho.Client, n paho.ConnectionNotification) { events <- n.Type() })
	require.Error(t, outcome(t, paho.NewClient(o).Connect()))
	for _, want := range []paho.ConnectionNotificationType{
		paho.ConnectionNotificationTypeConnecting, paho.ConnectionNotificationTypeBroker,
		paho.ConnectionNotificationTypeBrokerFailed, paho.ConnectionNotificationTypeFailed,
	} {
		require.Equal(t, want, wait.For(t, events, "a notification"))
	}
}

func TestDisconnect_InsideCallbacks(t *testing.T) {
	b := start(t)
	for name, set := range map[string]func(*paho.ClientOptions, func(paho.Client)){
		"OnConnect": func(o *paho.ClientOptions, f func(paho.Client)) { o.SetOnConnectHandler(f) },
		"ConnectionLost": func(o *paho.ClientOptions, f func(paho.Client)) {
			o.SetConnectionLostHandler(func(c paho.Client, _ error) { f(c) })
		},
		"Reconnecting": func(o *paho.ClientOptions, f func(paho.Client)) {
			o.SetReconnectingHandler(func(c paho.Client, _ *paho.ClientOptions) { f(c) })
		},
		"message": func(o *paho.ClientOptions, f func(paho.Client)) {
			o.SetDefaultPublishHandler(func(c paho.Client, _ paho.Message) { f(c) })
		},
		"unordered message": func(o *paho.ClientOptions, f func(paho.Client)) {
			o.SetOrderMatters(false).SetDefaultPublishHandler(func(c paho.Client, _ paho.Message) { f(c) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := faultproxy.Start(t, b.Addr())
			done := make(chan bool, 10)
			o := options(p.Port)
			set(o, func(c paho.Client) {
				c.Disconnect(50)
				done <- c.IsConnected()
			})
			c := connect(t, o)
			switch name {
			case "OnConnect":
			case "ConnectionLost", "Reconnecting":
				p.Cut()
			default:
				c.Subscribe("a", 1, nil)
				c.Publish("a", 1, false, "x")
			}
			require.False(t, wait.For(t, done, "Disconnect"))
			wait.Until(t, "the end", func() bool { return p.Open() == 0 })
		})
	}
}

func TestDisconnect_InsideACallbackSendsMessagesFirst(t *testing.T) {
	b := start(t)
	outcomes := make(chan error, 1)
	c := connect(t, options(b.Port))
	succeed(t, c.Subscribe("a", 1, func(c paho.Client, _ paho.Message) {
		token := c.Publish("b", 1, false, "x")
		c.Disconnect(uint(wait.Patience.Milliseconds()))
		outcomes <- paho.WaitTokenTimeout(token, 0)
	}))
	c.Publish("a", 1, false, "x")
	require.NoError(t, wait.For(t, outcomes, "Disconnect"))
}

func TestKeepAlive_DetectsASilentServer(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the keepalive")
	}
	b := start(t)
	p := faultproxy.Start(t, b.Addr())
	lost := make(chan error, 1)
	connect(t, options(p.Port).SetKeepAlive(5*time.Second).SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err }))
	p.Stall(faultproxy.Down)
	select {
	case err := <-lost:
		require.Error(t, err)
	case <-time.After(30 * time.Second):
		require.Fail(t, "the loss is not detected")
	}
}

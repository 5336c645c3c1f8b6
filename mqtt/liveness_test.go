//go:build cgo

package mqtt_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// acknowledgesNothing is a script that acknowledges no message.
func acknowledgesNothing(_ *brokerConn, p packet) bool { return p.Type() == fakebroker.PUBLISH }

// Publishers wait for capacity in the queue. Each acknowledgement wakes one publisher.
func TestLiveness_EachAcknowledgementWakesAPublisher(t *testing.T) {
	t.Parallel()
	const capacity = 100
	b := startFakeBroker(t, acknowledgesNothing)
	c := dial(t, b.port, mqtt.WithQueue(capacity, 1<<20, mqtt.WaitForRoom))
	for range capacity {
		c.PublishAsync(wait.Soon(t), "queued", nil)
	}
	wait.Until(t, "the first messages", func() bool { return len(b.published("queued")) >= 2 })
	queued := make(chan *mqtt.Token, 2)
	for n := range 2 {
		waiting := observe(context.Background())
		go func() { queued <- c.PublishAsync(waiting, "waits", nil) }()
		wait.For(t, waiting.waits, "a publisher that waits")
		wait.None(t, queued, "message in a queue that is full")
		b.conn().acknowledge(b.published("queued")[n])
		require.NoError(t, wait.For(t, queued, "the publisher that waits").Err())
		require.Equal(t, capacity, c.Stats().Queued)
	}
}

// A slow state handler gets every change, in order.
func TestLiveness_SlowStateHandlerGetsEveryChange(t *testing.T) {
	t.Parallel()
	const attempts = 600
	var tried atomic.Int32
	release := make(chan struct{})
	defer func() { closeOnce(release) }()
	changes := make(chan mqtt.StateChange, 10*attempts)
	c := dial(t, broker.FreePort(t), mqtt.WithBackgroundConnect(), mqtt.WithBackoff(time.Microsecond, time.Microsecond, 0),
		mqtt.WithCredentialsFunc(func(context.Context) (string, string, error) {
			tried.Add(1)
			return "", "", errors.New("no credentials") // a failed attempt without a connection
		}),
		mqtt.WithStateHandler(func(_ *mqtt.Client, s mqtt.StateChange) {
			<-release
			changes <- s
		}))
	wait.Until(t, "the attempts", func() bool { return tried.Load() > attempts })
	closeOnce(release)
	for attempt := 1; attempt <= attempts; attempt++ {
		require.Equal(t, attempt, awaitFailure(t, changes).Attempt)
	}
	closeNow(t, c)
	awaitState(t, changes, mqtt.StateClosed)
}

// A second Close with a shorter context ends the first Close. Neither error reports a running
// handler, because there is none.
func TestLiveness_SecondCloseEndsTheFirst(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, acknowledgesNothing)
	c := dial(t, b.port)
	token := c.PublishAsync(context.Background(), "a", nil)
	wait.Until(t, "the message", func() bool { return len(b.published("a")) == 1 })
	first := inBackground(func() error { return c.Close(context.Background()) })
	wait.Until(t, "the first Close", func() bool {
		return errors.Is(c.PublishAsync(context.Background(), "refused", nil, mqtt.WithQoS(0)).Err(), mqtt.ErrClosed)
	})
	second := inBackground(func() error { return c.Close(context100ms(t)) })
	errs := []error{wait.For(t, second, "the second Close"), wait.For(t, first, "the first Close")}
	wait.For(t, c.Done(), "the end of the client")
	require.ErrorIs(t, token.Err(), mqtt.ErrClosed)
	var unsent *mqtt.CloseError
	require.ErrorAs(t, errors.Join(errs...), &unsent)
	require.Contains(t, unsent.Unsent, mqtt.Unsent{Topic: "a", QoS: 1, Sent: true})
	require.NotContains(t, errors.Join(errs...).Error(), "handler")
}

// The client must not search a long queue for each cancelled message: the test would exceed
// its time limit.
func TestLiveness_ManyMessagesAreCancelled(t *testing.T) {
	t.Parallel()
	const messages = 200_000
	c := dial(t, broker.FreePort(t), mqtt.WithBackgroundConnect(), mqtt.WithQueue(messages, 1<<30, mqtt.WaitForRoom))
	all := make([]*mqtt.Token, messages)
	for n := range all {
		all[n] = c.PublishAsync(context.Background(), "a", nil)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	limit := wait.Soon(t)
	for n := range all {
		require.NoError(t, limit.Err(), "%d of %d messages are cancelled", n, messages)
		err := all[len(all)-1-n].Wait(ended) // from the last to the first: a search from the front would take longest
		if !errors.Is(err, context.Canceled) || errors.Is(err, mqtt.ErrAbandoned) {
			require.FailNow(t, "not cancelled", "%v", err)
		}
	}
	require.Zero(t, c.Stats().Queued)
}

// Dial returns when its context ends, although a handler does not return.
func TestLiveness_DialReturnsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]mqtt.HandlerMode{"inline": mqtt.Inline(), "worker": mqtt.Worker(1, mqtt.Block)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
				if p.Type() == fakebroker.SUBSCRIBE {
					for n := range 5 {
						c.publish(0, "a/1", 0, fmt.Sprint(n)) // messages of an earlier subscription, without SUBACK
					}
				}
				return p.Type() == fakebroker.SUBSCRIBE
			})
			started, release := make(chan struct{}, 5), make(chan struct{})
			ended := make(chan struct{})
			defer func() {
				close(release)
				wait.For(t, ended, "the handler")
			}()
			handler := func(context.Context, mqtt.Message) {
				started <- struct{}{}
				<-release
				closeOnce(ended)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			dialled := inBackground(func() error {
				_, err := mqtt.Dial(ctx, []string{url(b.port)}, fast(), mqtt.WithHandlerMode(mode), mqtt.WithSubscription("a/#", 1, handler))
				return err
			})
			wait.For(t, started, "the handler")
			cancel()
			require.ErrorIs(t, wait.For(t, dialled, "Dial"), context.Canceled)
		})
	}
}

// An acknowledged message resets the backoff: the delay before the next attempt does not grow.
func TestLiveness_BackoffDoesNotGrowAfterAnAcknowledgement(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		if p.Type() != fakebroker.PUBLISH {
			return false
		}
		c.acknowledge(p)
		c.Close()
		return true
	})
	c := dial(t, b.port, mqtt.WithBackoff(20*time.Millisecond, time.Hour, 0))
	const connections = 20 // otherwise the last delay would exceed an hour
	for range connections {
		require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	}
	require.GreaterOrEqual(t, b.connections(), connections)
}

// alertOnce is a TLS listener that sends a TLS alert to the first clients, as a starting broker
// may do, and accepts later clients.
type alertOnce struct {
	net.Listener
	alerts int
}

// internalError is a fatal TLS alert.
var internalError = []byte{21, 3, 3, 0, 2, 2, 80}

func (a *alertOnce) Accept() (net.Conn, error) {
	for {
		conn, err := a.Listener.Accept()
		if err != nil || a.alerts == 0 {
			return conn, err
		}
		a.alerts--
		sendAlert(conn)
	}
}

func sendAlert(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(wait.Patience))
	hello := make([]byte, 16<<10)
	_, _ = conn.Read(hello)
	_, _ = conn.Write(internalError)
}

func TestLiveness_AlertOfABrokerThatStartsIsTemporary(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "test CA")
	cert := ca.Issue("broker", "127.0.0.1")
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	require.NoError(t, err)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	b := fakeBrokerOn(t, tls.NewListener(&alertOnce{l, 3}, &tls.Config{Certificates: []tls.Certificate{pair}}), nil)
	option, changes := watchStates()
	c, err := mqtt.Dial(wait.Soon(t), []string{fmt.Sprint("mqtts://127.0.0.1:", b.port)}, fast(), mqtt.WithConnectRetry(), option,
		mqtt.WithTLS(mqtt.TLS{CAFile: ca.File}))
	require.NoError(t, err)
	t.Cleanup(func() { closeNow(t, c) })
	require.Positive(t, awaitAttempts(t, changes))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
}

// awaitAttempts waits for the connection and returns the number of failed attempts before it.
func awaitAttempts(t *testing.T, changes <-chan mqtt.StateChange) (failed int) {
	t.Helper()
	for {
		switch change := wait.For(t, changes, "the connection"); change.State {
		case mqtt.StateConnected:
			return failed
		case mqtt.StateDisconnected, mqtt.StateConnecting:
			failed++
		}
	}
}

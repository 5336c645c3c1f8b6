package mqtt_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/require"
)

func TestOrderMatters_CallbacksRunOneAfterTheOther(t *testing.T) {
	b := start(t)
	var running atomic.Int32
	got := make(chan string, 5000)
	c := connect(t, options(b.Port))
	succeed(t, c.Subscribe("a/+", 2, func(_ paho.Client, m paho.Message) {
		if running.Add(1) > 1 {
			got <- "two callbacks at a time"
		}
		got <- string(m.Payload())
		running.Add(-1)
	}))
	for qos := range byte(3) {
		for i := range 1500 {
			c.Publish(fmt.Sprint("a/", qos), qos, false, fmt.Sprint(i))
		}
		for i := range 1500 {
			require.Equal(t, fmt.Sprint(i), wait.For(t, got, "a message"))
		}
	}
}

func TestOrderMatters_FalseRunsCallbacksAtATime(t *testing.T) {
	b := start(t)
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	c := connect(t, options(b.Port).SetOrderMatters(false))
	succeed(t, c.Subscribe("a", 1, func(paho.Client, paho.Message) {
		entered <- struct{}{}
		<-leave
	}))
	for range 10 {
		succeed(t, c.Publish("a", 1, false, "x"))
	}
	for range 10 {
		wait.For(t, entered, "a callback, while others have not returned")
	}
	close(leave)
}

func TestCallback_MayWait(t *testing.T) {
	b := start(t)
	for _, order := range []bool{true, false} {
		t.Run(fmt.Sprint("order ", order), func(t *testing.T) {
			outcomes := make(chan error, 1000)
			c := connect(t, options(b.Port).SetOrderMatters(order))
			succeed(t, c.Subscribe("a", 2, func(c paho.Client, m paho.Message) {
				topic := "b/" + string(m.Payload())
				for _, token := range []paho.Token{
					c.Publish(topic, 1, false, "x"), c.Publish(topic, 2, false, "x"), c.Subscribe(topic, 1, nil), c.Unsubscribe(topic),
				} {
					if !token.WaitTimeout(wait.Patience) {
						outcomes <- fmt.Errorf("%T does not end", token)
					}
					token.Wait()
					<-token.Done()
					outcomes <- token.Error()
				}
			}))
			for i := range 60 {
				c.Publish("a", byte(i%3), false, fmt.Sprint(i))
			}
			for range 240 {
				require.NoError(t, wait.For(t, outcomes, "an operation in a callback"))
			}
		})
	}
}

func TestCallback_MayWaitAtOnce(t *testing.T) {
	p := fakebroker.Listen(t)
	done := make(chan struct{}, 1)
	_, conn := attach(t, p, options(p.Port).SetDefaultPublishHandler(func(c paho.Client, _ paho.Message) {
		c.Publish("b", 1, false, "x").Wait()
		done <- struct{}{}
	}))
	all := time.After(wait.Patience)
	for i := range uint16(30) { // a second for each would be too long
		conn.Send(fakebroker.Publish(2, "a", i+1, "x"))
		for range 2 { // the message of the callback, and PUBACK
			if m, err := conn.Next(); err == nil && m.Type() == fakebroker.PUBLISH {
				conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(m)))
			}
		}
		select {
		case <-done:
		case <-all:
			require.Fail(t, "the callbacks wait too long")
		}
	}
}

func TestCallback_MaySelectOnDone(t *testing.T) {
	b := start(t)
	done := make(chan struct{}, 10)
	c := connect(t, options(b.Port))
	succeed(t, c.Subscribe("a", 1, func(c paho.Client, _ paho.Message) {
		token := c.Publish("b", 1, false, "x")
		select {
		case <-token.Done():
			done <- struct{}{}
		case <-time.After(wait.Patience):
		}
	}))
	for range 10 {
		c.Publish("a", 1, false, "x")
	}
	for range 10 {
		wait.For(t, done, "a callback that waits")
	}
}

func TestCallback_MayWaitForAGoroutineThatWaits(t *testing.T) {
	b := start(t)
	done := make(chan struct{}, 1)
	c := connect(t, options(b.Port))
	succeed(t, c.Subscribe("a", 1, func(c paho.Client, _ paho.Message) {
		other := make(chan bool)
		go func() { other <- c.Publish("b", 1, false, "x").Wait() }()
		<-other
		done <- struct{}{}
	}))
	c.Publish("a", 1, false, "x")
	wait.For(t, done, "the callback")
}

func TestMessage_IsAcknowledgedAfterItsCallback(t *testing.T) {
	p := fakebroker.Listen(t)
	entered, leave := make(chan struct{}, 1), make(chan struct{})
	_, conn := attach(t, p, options(p.Port).SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		entered <- struct{}{}
		<-leave
	}))
	conn.Send(fakebroker.Publish(2, "a", 7, "x"))
	wait.For(t, entered, "the callback")
	acknowledged := make(chan fakebroker.Packet, 1)
	go func() {
		packet, _ := conn.Next()
		acknowledged <- packet
	}()
	select {
	case <-acknowledged:
		require.Fail(t, "acknowledged before the callback has returned")
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	require.EqualValues(t, fakebroker.PUBACK, wait.For(t, acknowledged, "PUBACK").Type())
}

// The broker sends many messages at once, and each callback takes long.
func TestMessage_IsAcknowledgedAfterItsSlowCallback(t *testing.T) {
	const messages, took = 24, 60 * time.Millisecond
	p := fakebroker.Listen(t)
	var returned atomic.Int32
	c, conn := attach(t, p, options(p.Port).SetDefaultPublishHandler(func(paho.Client, paho.Message) {
		time.Sleep(took)
		returned.Add(1)
	}))
	var all []byte
	for id := range uint16(messages) {
		all = append(all, fakebroker.Publish(2, "a", id+1, "x")...)
	}
	conn.Send(all)
	time.Sleep(took)
	sent := time.Now()
	go c.Publish("b", 1, false, "x").Wait() // detaches the loop after a second
	for acknowledged := int32(0); acknowledged < messages; {
		switch packet, err := conn.Next(); {
		case err != nil:
			require.NoError(t, err)
		case packet.Type() == fakebroker.PUBLISH:
			require.Less(t, time.Since(sent), 8*took, "the message waits for the callbacks of many others")
			conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(packet)))
		case packet.Type() == fakebroker.PUBACK:
			acknowledged++
			require.LessOrEqual(t, acknowledged, returned.Load(), "acknowledged before its callback has returned")
		}
	}
}

func TestMessage_IsDeliveredAgainAfterACrashInItsCallback(t *testing.T) {
	b := start(t)
	callback, got := collect()
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	o := func() *paho.ClientOptions { return options(b.Port).SetClientID("me").SetCleanSession(false) }
	entered := make(chan struct{}, 1)
	first := connect(t, o().SetAutoReconnect(false))
	succeed(t, first.Subscribe("a", 1, func(paho.Client, paho.Message) {
		entered <- struct{}{}
		<-hold
	}))
	other := connect(t, options(b.Port))
	succeed(t, other.Publish("a", 1, false, "x"))
	wait.For(t, entered, "the callback")
	second := paho.NewClient(o()) // takes the session over
	second.AddRoute("a", callback)
	succeed(t, second.Connect())
	defer second.Disconnect(0)
	require.Equal(t, "x", string(wait.For(t, got, "the message again").Payload()))
}

func TestCallback_LongerThanTheKeepaliveKeepsTheConnection(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the keepalive")
	}
	b := start(t)
	lost, done := make(chan error, 10), make(chan struct{}, 1)
	c := connect(t, options(b.Port).SetKeepAlive(5*time.Second).SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err }))
	succeed(t, c.Subscribe("a", 1, func(paho.Client, paho.Message) {
		time.Sleep(9 * time.Second)
		done <- struct{}{}
	}))
	succeed(t, c.Publish("a", 1, false, "x"))
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		require.Fail(t, "the callback does not return")
	}
	succeed(t, c.Publish("b", 1, false, "x"))
	wait.None(t, lost, "loss")
}

func TestCallback_SlowOneHoldsTheBrokerBack(t *testing.T) {
	p := fakebroker.Listen(t)
	hold := make(chan struct{})
	_, conn := attach(t, p, options(p.Port).SetDefaultPublishHandler(func(paho.Client, paho.Message) { <-hold }))
	t.Cleanup(func() { close(hold) })
	message := fakebroker.Publish(0, "a", 0, string(make([]byte, 100_000)))
	require.NoError(t, conn.SetWriteDeadline(time.Now().Add(500*time.Millisecond)))
	sent := 0
	for ; sent < 500; sent++ {
		if _, err := conn.Write(message); err != nil {
			break
		}
	}
	require.Less(t, sent, 500, "the client reads without limit")
}

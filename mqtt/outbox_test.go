//go:build cgo

package mqtt_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// memoryOutbox is an outbox in memory.
type memoryOutbox struct {
	mu       sync.Mutex
	last     uint64
	stored   map[uint64]mqtt.Publication
	damaged  uint64        // key of a message that cannot be read
	pause    chan struct{} // unless nil, Put blocks until it is closed
	storing  chan struct{} // receives a value when Put begins to block
	mostRead int           // highest number of messages that one call of Load has read
}

var errDamaged = errors.New("damaged")

// filled returns an outbox with n messages on the topic "left". Their payloads are numbers
// from 0.
func filled(n int) *memoryOutbox {
	o := &memoryOutbox{stored: map[uint64]mqtt.Publication{}, storing: make(chan struct{}, 10)}
	for i := range n {
		_, _ = o.Put(&mqtt.Publication{Topic: "left", Payload: fmt.Append(nil, i), QoS: 1})
	}
	return o
}

func (o *memoryOutbox) Put(p *mqtt.Publication) (uint64, error) {
	if o.pause != nil {
		o.storing <- struct{}{}
		<-o.pause
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last++
	stored := *p
	stored.Payload = slices.Clone(p.Payload)
	o.stored[o.last] = stored
	return o.last, nil
}

func (o *memoryOutbox) Delete(key uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.stored, key)
}

func (o *memoryOutbox) Load(after uint64, f func(uint64, *mqtt.Publication) bool) error {
	for n, key := range o.keys(after) {
		o.mu.Lock()
		p := o.stored[key]
		o.mostRead = max(o.mostRead, n)
		o.mu.Unlock()
		if key == o.damaged {
			return errDamaged
		}
		if !f(key, &p) {
			break
		}
	}
	return nil
}

func (o *memoryOutbox) keys(after uint64) (keys []uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.stored {
		if key > after {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (o *memoryOutbox) len() int { return len(o.keys(0)) }

// offline returns a client that is not connected, and its broker, which is stopped.
func offline(t *testing.T, options ...mqtt.Option) (*mqtt.Client, *broker.Broker) {
	t.Helper()
	b := broker.Start(t, broker.Config{Extra: "set_tcp_nodelay true"})
	b.Stop()
	return dial(t, b.Port, append(options, mqtt.WithBackgroundConnect())...), b
}

// awaitNumbered requires messages on topic with the payloads 0 to n-1, in order.
func awaitNumbered(t *testing.T, got <-chan mqtt.Message, topic string, n int) {
	t.Helper()
	for i := range n {
		m := wait.For(t, got, fmt.Sprintf("message %d on %s", i, topic))
		require.Equal(t, fmt.Sprintf("%s %d", topic, i), fmt.Sprintf("%s %s", m.Topic, m.Payload))
	}
}

func TestOutbox_IsReadWhenTheQueueHasCapacity(t *testing.T) {
	for _, limits := range []struct{ messages, bytes int }{{10, 1 << 20}, {1, 1 << 20}, {10_000, 60}} {
		t.Run(fmt.Sprint(limits), func(t *testing.T) {
			o := filled(300)
			h, got := collect()
			c, b := offline(t, mqtt.WithOutbox(o), mqtt.WithQueue(limits.messages, limits.bytes, mqtt.WaitForRoom),
				mqtt.WithSubscription("#", 2, h))
			now := c.Stats()
			require.Positive(t, now.Queued)
			require.LessOrEqual(t, now.Queued, limits.messages)
			require.LessOrEqual(t, now.QueuedBytes, limits.bytes)

			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			require.ErrorIs(t, c.Publish(ctx, "new", nil), context.Canceled)
			after := make(chan error, 1)
			go func() { after <- c.Publish(wait.Soon(t), "new", []byte("0")) }()
			b.Restart()
			awaitNumbered(t, got, "left", 300)
			awaitNumbered(t, got, "new", 1)
			require.NoError(t, wait.For(t, after, "Publish"))
			require.NoError(t, c.Close(wait.Soon(t)))
			require.Zero(t, o.len())
			require.LessOrEqual(t, o.mostRead, limits.messages)
		})
	}
}

func TestOutbox_UnreadMessagesMakeTheQueueFull(t *testing.T) {
	for _, policy := range []mqtt.QueueFull{mqtt.Refuse, mqtt.DropOldestQoS0} {
		o := filled(100)
		c, b := offline(t, mqtt.WithOutbox(o), mqtt.WithQueue(10, 1<<20, policy))
		for _, qos := range []mqtt.QoS{0, 1, 2} {
			err := c.PublishAsync(wait.Soon(t), "new", nil, mqtt.WithQoS(qos)).Err()
			require.ErrorIs(t, err, mqtt.ErrQueueFull)
			require.ErrorContains(t, err, "the outbox has more")
		}
		b.Restart()
		wait.Until(t, "the end of the outbox", func() bool { return o.len() == 0 })
		require.NoError(t, c.Publish(wait.Soon(t), "new", nil))
	}
}

// The outbox may hold messages that are larger than the queue, because the program had a
// larger queue when it stored them.
func TestOutbox_MessageLargerThanTheQueueIsSent(t *testing.T) {
	o := filled(0)
	for _, size := range []int{1, 5000, 5000, 1} {
		_, err := o.Put(&mqtt.Publication{Topic: "a", Payload: make([]byte, size), QoS: 1})
		require.NoError(t, err)
	}
	h, got := collect()
	_, b := offline(t, mqtt.WithOutbox(o), mqtt.WithQueue(10, 1000, mqtt.Refuse), mqtt.WithSubscription("#", 1, h))
	b.Restart()
	for _, size := range []int{1, 5000, 5000, 1} {
		require.Len(t, wait.For(t, got, "a message").Payload, size)
	}
	wait.Until(t, "the end of the outbox", func() bool { return o.len() == 0 })
}

func TestOutbox_CloseErrorReportsUnreadMessages(t *testing.T) {
	o := filled(100)
	c, b := offline(t, mqtt.WithOutbox(o), mqtt.WithQueue(10, 1<<20, mqtt.Refuse))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	var unsent *mqtt.CloseError
	require.ErrorAs(t, c.Close(ctx), &unsent)
	require.Len(t, unsent.Unsent, 10)
	require.Equal(t, mqtt.Unsent{Topic: "left", QoS: 1, Stored: true}, unsent.Unsent[0])
	require.True(t, unsent.MoreInOutbox)
	require.ErrorContains(t, unsent, "the outbox has more")
	require.Equal(t, 100, o.len())

	b.Restart()
	h, got := collect()
	next := dial(t, b.Port, mqtt.WithOutbox(o), mqtt.WithQueue(10, 1<<20, mqtt.Refuse), mqtt.WithSubscription("#", 2, h))
	require.NoError(t, next.Close(wait.Soon(t)), "Close waits for the whole outbox")
	require.Zero(t, o.len())
	awaitNumbered(t, got, "left", 100)
}

func TestOutbox_ReadErrorEndsTheClient(t *testing.T) {
	o := filled(100)
	o.damaged = 1
	_, err := mqtt.Dial(wait.Soon(t), []string{url(1)}, mqtt.WithOutbox(o))
	require.ErrorIs(t, err, errDamaged)

	o.damaged = 50
	c, b := offline(t, mqtt.WithOutbox(o), mqtt.WithQueue(10, 1<<20, mqtt.WaitForRoom))
	ended := make(chan error, 1)
	go func() { ended <- c.Publish(wait.Soon(t), "new", nil) }()
	b.Restart()
	wait.For(t, c.Done(), "the end of the client")
	require.ErrorIs(t, c.Err(), errDamaged)
	require.ErrorIs(t, wait.For(t, ended, "Publish"), mqtt.ErrClosed)
	require.Contains(t, o.keys(0), uint64(50), "the damaged message stays in the outbox")
	require.Contains(t, o.keys(0), uint64(100))
}

func TestOutbox_PropertiesNeedMQTT5(t *testing.T) {
	b := plain(t)
	o := filled(0)
	_, err := o.Put(&mqtt.Publication{Topic: "a", QoS: 1, Properties: mqtt.Properties{{ID: 3, Text: "text/plain"}}})
	require.NoError(t, err)
	_, err = mqtt.Dial(wait.Soon(t), []string{url(b.Port)}, mqtt.WithOutbox(o))
	require.ErrorContains(t, err, `a stored message on "a" has properties that need MQTT 5`)
	require.Equal(t, 1, o.len())

	h, got := collect()
	dial(t, b.Port, mqtt.WithOutbox(o), mqtt.WithProtocol(mqtt.V5), mqtt.WithSubscription("a", 1, h))
	kind, _ := wait.For(t, got, "the message").Properties.Text(3)
	require.Equal(t, "text/plain", kind)
}

// A stored message is sent later, even if its Publish returned an error. The error is then
// ErrAbandoned.
func TestOutbox_ErrorsOfStoredMessagesAreErrAbandoned(t *testing.T) {
	o := filled(0)
	c, b := offline(t, mqtt.WithOutbox(o))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := c.Publish(ctx, "left", []byte("0"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, mqtt.ErrAbandoned)
	stored, lost := c.PublishAsync(wait.Soon(t), "left", []byte("1")), c.PublishAsync(wait.Soon(t), "left", nil, mqtt.WithQoS(0))
	o.pause = make(chan struct{})
	late := make(chan error, 1)
	go func() { late <- c.Publish(wait.Soon(t), "left", []byte("2")) }()
	wait.For(t, o.storing, "Put")
	closeNow(t, c)
	close(o.pause)

	for _, err := range []error{stored.Err(), wait.For(t, late, "Publish")} {
		require.ErrorIs(t, err, mqtt.ErrClosed)
		require.ErrorIs(t, err, mqtt.ErrAbandoned)
	}
	require.ErrorIs(t, lost.Err(), mqtt.ErrClosed)
	require.NotErrorIs(t, lost.Err(), mqtt.ErrAbandoned)
	require.Equal(t, 3, o.len())

	b.Restart()
	h, got := collect()
	dial(t, b.Port, mqtt.WithOutbox(o), mqtt.WithSubscription("left", 1, h))
	awaitNumbered(t, got, "left", 3)
}

// The client deletes a message that the broker refused, and does not send it again.
func TestOutbox_RefusedMessagesAreDeleted(t *testing.T) {
	p := fakebroker.Listen(t)
	o := filled(1)
	lines := make(lines, 100)
	dial(t, p.Port, mqtt.WithBackgroundConnect(), mqtt.WithProtocol(mqtt.V5), mqtt.WithOutbox(o), mqtt.WithLogger(slog.New(slog.NewTextHandler(lines, nil))))
	conn := p.AcceptConnect()
	sent := conn.Expect(fakebroker.PUBLISH)
	mid := binary.BigEndian.Uint16(sent.Body[2+len("left"):])
	conn.Send(fakebroker.V5.Answer(fakebroker.PUBACK, mid, byte(mosquitto.RCNotAuthorized)))
	wait.Until(t, "the end of the outbox", func() bool { return o.len() == 0 })
	for line := ""; !strings.Contains(line, "message of an earlier process not delivered"); {
		line = wait.For(t, lines, "the log line about the refused message")
	}
}

// A broker that lost the session has also lost QoS 2 messages for which it sent PUBREC. It
// may acknowledge their PUBREL all the same, so the client must send PUBLISH again.
func TestOutbox_QoS2MessageSurvivesALostSession(t *testing.T) {
	for _, kept := range []bool{false, true} {
		t.Run(fmt.Sprintf("kept %t", kept), func(t *testing.T) {
			p := fakebroker.Listen(t)
			o := filled(0)
			c := dial(t, p.Port, mqtt.WithBackgroundConnect(), mqtt.WithOutbox(o), mqtt.WithClientID("x"), mqtt.WithSession(0))
			token := c.PublishAsync(wait.Soon(t), "a", []byte("once"), mqtt.WithQoS(2))
			conn := p.AcceptConnect()
			mid := expectPublish(t, conn, "once")
			conn.Send(fakebroker.V311.Pubrec(mid))
			conn.Expect(fakebroker.PUBREL)
			conn.Close()

			conn = p.Accept()
			conn.Expect(fakebroker.CONNECT)
			conn.Send(fakebroker.V311.Connack(kept, 0))
			if !kept { // the client reconnects, because the library would send PUBREL
				conn.Close()
				conn = p.Accept()
				conn.Expect(fakebroker.CONNECT)
				conn.Send(fakebroker.V311.Connack(true, 0))
				mid = expectPublish(t, conn, "once")
				require.Equal(t, 1, o.len())
				conn.Send(fakebroker.V311.Pubrec(mid))
			}
			conn.Expect(fakebroker.PUBREL)
			conn.Send(fakebroker.V311.Pubcomp(mid))
			require.NoError(t, token.Wait(wait.Soon(t)))
			require.Zero(t, o.len())
		})
	}
}

// expectPublish expects a message on the topic "a" and returns its packet id.
func expectPublish(t *testing.T, conn *fakebroker.Conn, payload string) (mid uint16) {
	t.Helper()
	p := conn.Expect(fakebroker.PUBLISH)
	require.Equal(t, payload, string(p.Body[5:]))
	return binary.BigEndian.Uint16(p.Body[3:])
}

// lines is a writer that sends each line on a channel.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

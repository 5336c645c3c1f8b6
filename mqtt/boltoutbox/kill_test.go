package boltoutbox_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/boltoutbox"
	"github.com/stretchr/testify/require"
)

const (
	portVariable  = "BOLTOUTBOX_TEST_PORT"
	roundVariable = "BOLTOUTBOX_TEST_ROUND"
	qosVariable   = "BOLTOUTBOX_TEST_QOS"

	rounds   = 8
	workers  = 4   // goroutines of a process; each has its own topic
	perRound = 300 // messages of a worker, if the process lives long enough
)

func numberFrom(variable string) int {
	n, _ := strconv.Atoi(os.Getenv(variable))
	return n
}

// dialInChild opens the outbox and connects a client.
func dialInChild() (*boltoutbox.Outbox, *mqtt.Client) {
	o, err := boltoutbox.Open(os.Getenv(fileVariable))
	if err != nil {
		panic(err)
	}
	c, err := mqtt.Dial(context.Background(), []string{url(numberFrom(portVariable))}, mqtt.WithClientID("meter"),
		mqtt.WithOutbox(o), mqtt.WithBackgroundConnect(), mqtt.WithBackoff(5*time.Millisecond, 20*time.Millisecond, 0))
	if err != nil {
		panic(err)
	}
	return o, c
}

// publishInChild publishes, and prints each accepted message, until it is killed.
func publishInChild() {
	_, c := dialInChild()
	round, qos := numberFrom(roundVariable), mqtt.QoS(numberFrom(qosVariable))
	var all sync.WaitGroup
	for w := range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range perRound {
				text := fmt.Sprintf("%d %d", w, round*perRound+i)
				token := c.PublishAsync(context.Background(), fmt.Sprint("worker/", w), []byte(text), mqtt.WithQoS(qos))
				if err := token.Err(); err != nil {
					panic(err)
				}
				fmt.Println(text)
			}
		}()
	}
	all.Wait()
	fmt.Println("end")
	select {}
}

// drainInChild delivers the stored messages and exits.
func drainInChild() {
	o, c := dialInChild()
	ctx, cancel := context.WithTimeout(context.Background(), wait.Patience)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		panic(err)
	}
	n, err := o.Len()
	if err == nil {
		err = o.Close()
	}
	fmt.Println("left", n, err)
}

// ledger holds the accepted and the delivered messages of each worker.
type ledger struct {
	ordered   bool
	accepted  [workers]map[int]bool
	delivered [workers]map[int]bool
	last      [workers]int // highest number so far, of the first deliveries
	twice     int
}

func newLedger(ordered bool) *ledger {
	l := &ledger{ordered: ordered}
	for w := range workers {
		l.accepted[w], l.delivered[w], l.last[w] = map[int]bool{}, map[int]bool{}, -1
	}
	return l
}

func parse(t *testing.T, text string) (worker, n int) {
	t.Helper()
	_, err := fmt.Sscanf(text, "%d %d", &worker, &n)
	require.NoError(t, err, text)
	return worker, n
}

// deliver records a delivered message.
func (l *ledger) deliver(t *testing.T, text string) {
	t.Helper()
	w, n := parse(t, text)
	if l.delivered[w][n] {
		l.twice++
		return
	}
	if l.ordered {
		require.Greater(t, n, l.last[w], "worker %d: first deliveries out of order", w)
	}
	l.delivered[w][n], l.last[w] = true, n
}

func (l *ledger) check(t *testing.T) {
	t.Helper()
	accepted, unnoted := 0, 0
	for w := range workers {
		for n := range l.accepted[w] {
			require.True(t, l.delivered[w][n], "lost: worker %d, message %d", w, n)
		}
		accepted += len(l.accepted[w])
		unnoted += len(l.delivered[w]) - len(l.accepted[w])
	}
	t.Logf("%d messages accepted and delivered, %d of them more than once; %d delivered before the process could print them",
		accepted, l.twice, unnoted)
	require.LessOrEqual(t, unnoted, rounds*workers)
}

// The test kills a publisher repeatedly, in several states of the network and the
// broker. Later processes deliver every accepted message, in order. There is one
// exception: if a connection with QoS 2 is lost together with the session, messages in
// the middle of the handshake are delivered late.
func TestKill9_LosesNoAcceptedMessage(t *testing.T) {
	t.Run("QoS1", func(t *testing.T) { killAgainAndAgain(t, 1, true, fine, refusing, paused, cut) })
	t.Run("QoS2", func(t *testing.T) { killAgainAndAgain(t, 2, true, fine, refusing, paused) })
	t.Run("QoS2CutOff", func(t *testing.T) { killAgainAndAgain(t, 2, false, cut) })
}

// state is a state of the network and the broker.
type state int

const (
	fine state = iota
	refusing
	paused
	cut
)

func killAgainAndAgain(t *testing.T, qos int, ordered bool, states ...state) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	b := brisk(t)
	proxy := faultproxy.Start(t, b.Addr())
	got := collect(t, b)
	environment := []string{
		fileVariable + "=" + newFile(t), fmt.Sprintf("%s=%d", portVariable, proxy.Port), fmt.Sprintf("%s=%d", qosVariable, qos),
	}
	l := newLedger(ordered)
	for round := range rounds {
		spoil(b, proxy, states[round%len(states)])
		c := start(t, "publish", append(environment, fmt.Sprintf("%s=%d", roundVariable, round))...)
		killAfter(t, c, random.IntN(workers*perRound/4), l)
		repair(b, proxy)
	}

	for range 2 { // the second process has no stored messages
		c := start(t, "drain", environment...)
		require.Equal(t, []string{"left 0 <nil>"}, c.finish(t))
		end := dial(t, b.Port)
		require.NoError(t, end.Publish(wait.Soon(t), "end", nil, mqtt.WithQoS(mqtt.QoS(qos)))) // arrives after all other messages
		before := l.twice
		for m := wait.For(t, got, "a message"); m.Topic != "end"; m = wait.For(t, got, "a message") {
			l.deliver(t, string(m.Payload))
		}
		l.check(t)
		t.Logf("%d duplicates in this round", l.twice-before)
	}
}

// spoil puts the network and the broker into a state.
func spoil(b *broker.Broker, proxy *faultproxy.Proxy, s state) {
	switch s {
	case refusing:
		proxy.RefuseNew()
	case paused:
		b.Pause()
	case cut:
		proxy.CutAfter(faultproxy.Up, 3000)
	}
}

func repair(b *broker.Broker, proxy *faultproxy.Proxy) {
	b.Resume()
	proxy.Heal()
}

// killAfter kills a publisher after it has printed this number of messages.
func killAfter(t *testing.T, c *child, messages int, l *ledger) {
	t.Helper()
	for n := 0; ; n++ {
		if n == messages {
			c.kill()
		}
		line, more := awaitLine(t, c)
		if !more {
			return
		}
		if !strings.HasPrefix(line, "end") {
			w, i := parse(t, line)
			l.accepted[w][i] = true
		}
	}
}

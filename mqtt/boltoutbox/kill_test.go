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

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/boltoutbox"
	"github.com/mosquitto-go/mosquitto/test/broker"
	"github.com/mosquitto-go/mosquitto/test/fault"
	"github.com/stretchr/testify/require"
)

const (
	portVariable  = "BOLTOUTBOX_TEST_PORT"
	roundVariable = "BOLTOUTBOX_TEST_ROUND"

	rounds   = 8
	workers  = 4   // in a process; each has a topic, and QoS 1 or 2
	perRound = 300 // messages of a worker, if the process lives that long
)

// dialInChild opens the outbox and connects.
func dialInChild() (*boltoutbox.Outbox, *mqtt.Client) {
	o, err := boltoutbox.Open(os.Getenv(fileVariable))
	if err != nil {
		panic(err)
	}
	port, _ := strconv.Atoi(os.Getenv(portVariable))
	c, err := mqtt.Dial(context.Background(), []string{url(port)}, mqtt.WithClientID("meter"), mqtt.WithOutbox(o),
		mqtt.WithBackground(), mqtt.WithBackoff(5*time.Millisecond, 20*time.Millisecond, 0))
	if err != nil {
		panic(err)
	}
	return o, c
}

// publishInChild prints each message that was accepted, until it is killed.
func publishInChild() {
	_, c := dialInChild()
	round, _ := strconv.Atoi(os.Getenv(roundVariable))
	var all sync.WaitGroup
	for w := range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range perRound {
				text := fmt.Sprintf("%d %d", w, round*perRound+i)
				token := c.PublishAsync(context.Background(), fmt.Sprint("worker/", w), []byte(text), mqtt.QoS(mqtt.QoSLevel(1+w%2)))
				if err := token.Err(); err != nil {
					panic(err)
				}
				os.Stdout.WriteString(text + "\n")
			}
		}()
	}
	all.Wait()
	fmt.Println("end")
	select {}
}

// drainInChild delivers what is stored, and ends in peace.
func drainInChild() {
	o, c := dialInChild()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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

// ledger is what was accepted and what was delivered, by worker.
type ledger struct {
	accepted  [workers]map[int]bool
	delivered [workers]map[int]bool
	last      [workers]int // of the first deliveries
	twice     int
}

func newLedger() *ledger {
	l := &ledger{}
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

// deliver notes a message. A first delivery is behind those before it.
func (l *ledger) deliver(t *testing.T, text string) {
	t.Helper()
	w, n := parse(t, text)
	if l.delivered[w][n] {
		l.twice++
		return
	}
	require.Greater(t, n, l.last[w], "worker %d: first deliveries out of order", w)
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
	t.Logf("%d messages accepted and delivered, %d of them twice or more; %d delivered that the process had no time to note",
		accepted, l.twice, unnoted)
	require.LessOrEqual(t, unnoted, rounds*workers)
}

// TestKill9 kills a publisher again and again, with the network and the broker in
// all states. Whatever it had accepted is delivered by those that come after.
func TestKill9(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	b := brisk(t)
	proxy := fault.Start(t, b.Addr())
	got := collect(t, b)
	file := newFile(t)
	l := newLedger()
	for round := range rounds {
		spoil(b, proxy, round)
		c := start(t, "publish", fileVariable+"="+file, fmt.Sprintf("%s=%d", portVariable, proxy.Port), fmt.Sprintf("%s=%d", roundVariable, round))
		killAfter(t, c, random.IntN(workers*perRound/4), l)
		repair(b, proxy)
	}

	for range 2 { // the second has nothing to do
		c := start(t, "drain", fileVariable+"="+file, fmt.Sprintf("%s=%d", portVariable, proxy.Port))
		require.Equal(t, []string{"left 0 <nil>"}, c.finish(t))
		end := dial(t, b.Port)
		require.NoError(t, end.Publish(soon(t), "end", nil, mqtt.QoS(2))) // behind all others
		before := l.twice
		for m := await(t, got, "a message"); m.Topic != "end"; m = await(t, got, "a message") {
			l.deliver(t, string(m.Payload))
		}
		l.check(t)
		t.Logf("%d repeated since", l.twice-before)
	}
}

// spoil puts the network and the broker into a state, by turns.
func spoil(b *broker.Broker, proxy *fault.Proxy, round int) {
	switch round % 4 {
	case 0: // all is well
	case 1:
		proxy.RefuseNew()
	case 2:
		b.Pause()
	case 3:
		proxy.CutAfter(fault.Up, 5000)
	}
}

func repair(b *broker.Broker, proxy *fault.Proxy) {
	b.Resume()
	proxy.Heal()
}

// killAfter kills a publisher when it has noted so many messages.
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

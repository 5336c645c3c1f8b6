package paho_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUsers_ObserveTheSame runs the kinds of program that users have against the real
// broker, compiled against paho.mqtt.golang and against ours, through the same events.
// The lines that they print must be the same, and so must the messages that others receive.
func TestUsers_ObserveTheSame(t *testing.T) {
	fewInFlight := broker.Config{Persistence: true, Extra: "max_inflight_messages 4\n"} // less than the consumer holds
	for name, u := range map[string]struct {
		config broker.Config
		play   func(*user)
	}{
		"exporter": {broker.Config{}, playExporter},
		"load":     {broker.Config{}, playLoad},
		"home":     {broker.Config{Persistence: true}, playHome},
		"consumer": {fewInFlight, playConsumer},
	} {
		config, play := u.config, u.play
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var observed [][]string
			for _, s := range sides {
				t.Run(s.name, func(t *testing.T) {
					u := &user{t: t, side: s, program: name, broker: broker.Start(t, config)}
					u.other = u.dial()
					play(u)
					observed = append(observed, u.observed)
				})
			}
			require.Len(t, observed, len(sides), "a side failed")
			require.NotEmpty(t, observed[0])
			assert.Equal(t, observed[0], observed[1])
		})
	}
}

// user is a program of one side in its surroundings.
type user struct {
	t        *testing.T
	side     side
	program  string
	broker   *broker.Broker
	other    *mqtt.Client // publishes to the program and watches it
	observed []string
}

func (u *user) dial() *mqtt.Client {
	u.t.Helper()
	c, err := mqtt.Dial(wait.Soon(u.t), []string{"mqtt://" + u.broker.Addr()}, mqtt.WithBackoff(10*time.Millisecond, 100*time.Millisecond, 0))
	require.NoError(u.t, err)
	u.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wait.Patience)
		defer cancel()
		_ = c.Close(ctx)
	})
	return c
}

func (u *user) start(args ...string) *process {
	u.t.Helper()
	return start(u.t, u.side, u.program, append([]string{u.broker.Addr()}, args...)...)
}

// publish sends with QoS 1 and waits for the acknowledgement.
func (u *user) publish(topic, payload string, options ...mqtt.PublishOption) {
	u.t.Helper()
	require.NoError(u.t, u.other.Publish(wait.Soon(u.t), topic, []byte(payload), options...))
}

// watch returns the messages that arrive at a filter, as text.
func (u *user) watch(filter string) <-chan string {
	u.t.Helper()
	arrived := make(chan string, 1000)
	require.NoError(u.t, u.other.Subscribe(wait.Soon(u.t), filter, 1, func(_ context.Context, m mqtt.Message) {
		arrived <- fmt.Sprintf("%s %s (QoS %d, retained %v)", m.Topic, m.Payload, m.QoS, m.Retain)
	}))
	return arrived
}

func (u *user) note(lines ...string) { u.observed = append(u.observed, lines...) }

// noteNext notes the next messages.
func (u *user) noteNext(messages <-chan string, n int) {
	u.t.Helper()
	for i := range n {
		u.note(wait.For(u.t, messages, fmt.Sprintf("message %d of %d", i+1, n)))
	}
}

func terminate(p *process) []string {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	return p.end()
}

func playExporter(u *user) {
	p := u.start()
	url := p.await("http://")
	scrape := func(last string) {
		u.t.Helper()
		var text string
		wait.Until(u.t, last, func() bool {
			answer, err := http.Get(url)
			if err != nil {
				return false
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			text = string(body)
			return err == nil && strings.Contains(text, last)
		})
		u.note(text)
	}
	defer http.DefaultClient.CloseIdleConnections()
	scrape("connections_total 1\nconnected true")
	for range 20 {
		u.publish("sensors/hall/temperature", "21.5") // always the same: the handlers have no order
	}
	u.publish("sensors/kitchen/humidity", "high")
	u.publish("sensors/kitchen/humidity", "55")
	u.publish("sensors/too/many/levels", "1")
	u.publish("sensors/end/end", "1")
	scrape(`room="end"} 1`)
	u.broker.Kill()
	scrape("connected false")
	u.broker.Restart()
	scrape("connections_total 2\nconnected true")
	u.publish("sensors/end/end", "2")
	scrape(`room="end"} 2`)
	u.note(terminate(p)[1:]...) // the first is the address
}

func playLoad(u *user) {
	for _, args := range [][]string{{"1", "1000", "64", "0"}, {"5", "400", "16", "1"}, {"3", "15", "5000", "2"}} {
		u.note(u.start(args...).end()...)
	}
}

func playHome(u *user) {
	status, errors := u.watch("home/status"), u.watch("home/errors")
	hall, kitchen := u.watch("home/lamp/hall/state"), u.watch("home/lamp/kitchen/state")
	u.publish("home/lamp/hall/state", `{"on":true,"brightness":40}`, mqtt.WithRetain(true))
	u.noteNext(hall, 1)

	p := u.start()
	u.noteNext(status, 1)
	p.await("online")
	u.publish("home/lamp/hall/set", `{"brightness":70}`)
	u.noteNext(hall, 1)
	u.publish("home/lamp/attic/set", `{"on":true}`)
	u.publish("home/lamp/hall/set", `bright`)
	u.publish("home/scene/unknown/one", "")
	u.noteNext(errors, 3)
	u.publish("home/scene/night", "")
	u.noteNext(hall, 1)
	u.noteNext(kitchen, 1)

	// The process is killed: the broker publishes the will. The next process restores the
	// retained states.
	require.NoError(u.t, p.cmd.Process.Kill())
	u.noteNext(status, 1)
	p = u.start()
	u.noteNext(status, 1)
	p.await("online")

	u.broker.Kill()
	p.await("connection lost")
	u.broker.Restart()
	p.await("online")
	u.publish("home/lamp/kitchen/set", `{"on":false}`)
	wait.Until(u.t, "the last state of the kitchen", func() bool { // the broker may also repeat retained messages
		return strings.Contains(wait.For(u.t, kitchen, "a state of the kitchen"), `{"on":false,"brightness":1}`)
	})
	u.note(terminate(p)...)
	late := u.dial()
	last := make(chan string, 10)
	require.NoError(u.t, late.Subscribe(wait.Soon(u.t), "home/status", 1, func(_ context.Context, m mqtt.Message) { last <- string(m.Payload) }))
	u.noteNext(last, 1)
}

func playConsumer(u *user) {
	p := u.start()
	p.await("connected")
	for i := range 30 {
		u.publish("metrics/a", fmt.Sprint(i))
	}
	p.await("held back")
	p.step() // the output begins to write
	p.await("a=29")
	note := func(lines []string) { // the handler runs beside Connect: they have no order
		u.note(slices.DeleteFunc(lines, func(line string) bool { return line == "held back" })...)
	}
	note(terminate(p))

	// Messages for a consumer that does not run are stored, and written once.
	for i := range 30 {
		u.publish("metrics/b", fmt.Sprint(i))
	}
	p = u.start()
	p.await("held back")
	p.step()
	p.await("b=29")

	// After a connection loss the broker sends unacknowledged messages again.
	wait.Until(u.t, "60 PUBACKs", func() bool { return strings.Count(u.broker.Log(), "Received PUBACK from consumer") == 60 })
	u.broker.Stop() // the broker writes its sessions to the disk
	p.await("connection lost")
	u.broker.Restart()
	p.await("connected")
	u.publish("metrics/c", "0")
	p.await("c=0")
	note(terminate(p))
}

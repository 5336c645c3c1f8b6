package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// loadResult is the report of one publisher of load.
type loadResult struct {
	sent, failed int
	slowest      time.Duration
}

// load is a load generator: several clients publish at the same time and wait for their
// acknowledgements; another client counts what arrives. Further arguments are the
// number of clients, the messages of each, their size and their QoS.
func load() {
	clients, count, size, qos := number(3), number(4), number(5), byte(number(6))
	var received, wrong atomic.Int64
	all := make(chan struct{})
	subscriber := dial("load-subscriber", func(o *mqtt.ClientOptions) {
		o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			if len(m.Payload()) != size {
				wrong.Add(1)
			}
			if received.Add(1) == int64(clients*count) {
				close(all)
			}
		})
	})
	program.Must("subscribe", subscriber.Subscribe("load/#", qos, nil))

	results := make([]loadResult, clients)
	var running sync.WaitGroup
	started := time.Now()
	for i := range clients {
		running.Add(1)
		go func() {
			defer running.Done()
			results[i] = publisher(i, count, size, qos)
		}()
	}
	running.Wait()
	program.Receive("all messages", all)

	var total loadResult
	for _, r := range results {
		total.sent += r.sent
		total.failed += r.failed
		total.slowest = max(total.slowest, r.slowest)
	}
	rate := float64(total.sent) / time.Since(started).Seconds()
	fmt.Fprintf(os.Stderr, "%.0f messages/s, slowest %v\n", rate, total.slowest) // not compared
	program.Say("sent %d, failed %d, received %d, of a wrong size %d", total.sent, total.failed, received.Load(), wrong.Load())
	subscriber.Disconnect(250)
}

func number(argument int) int {
	n, err := strconv.Atoi(os.Args[argument])
	if err != nil {
		program.Fail("arguments", err)
	}
	return n
}

// dial connects a client.
func dial(id string, more func(*mqtt.ClientOptions)) mqtt.Client {
	opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID(id).SetCleanSession(true).SetAutoReconnect(false)
	if more != nil {
		more(opts)
	}
	c := mqtt.NewClient(opts)
	program.Must("connect", c.Connect())
	return c
}

// publisher publishes all messages of one client, and then waits for each.
func publisher(i, count, size int, qos byte) (r loadResult) {
	c := dial(fmt.Sprintf("load-%d", i), nil)
	defer c.Disconnect(250)
	type pending struct {
		mqtt.Token
		since time.Time
	}
	tokens := make([]pending, 0, count)
	for n := range count {
		payload := make([]byte, size)
		binary.BigEndian.PutUint32(payload, uint32(n))
		payload[size-1] = byte(rand.Uint32())
		tokens = append(tokens, pending{c.Publish(fmt.Sprintf("load/%d", i), qos, false, payload), time.Now()})
	}
	for _, t := range tokens {
		if !t.WaitTimeout(program.Patience) || t.Error() != nil {
			r.failed++
			continue
		}
		r.sent++
		r.slowest = max(r.slowest, time.Since(t.since))
	}
	return r
}

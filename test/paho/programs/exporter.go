package main

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// metrics are the counters of exporter.
type metrics struct {
	mu          sync.Mutex
	values      map[string]float64 // by room and kind
	received    map[string]int     // by room
	invalid     int
	connections int
	connected   bool
}

// exporter subscribes to sensors, keeps their last values and counts, and serves both
// over HTTP, as exporters for Prometheus do.
func exporter() {
	m := &metrics{values: map[string]float64{}, received: map[string]int{}}
	opts := mqtt.NewClientOptions()
	opts.AddBroker(program.Server())
	opts.SetClientID(fmt.Sprintf("exporter-%d", os.Getpid()))
	opts.SetOrderMatters(false)
	opts.SetKeepAlive(30 * time.Second)
	opts.SetPingTimeout(5 * time.Second)
	opts.SetMaxReconnectInterval(200 * time.Millisecond)
	opts.OnConnect = func(c mqtt.Client) {
		if t := c.Subscribe("sensors/+/+", 1, m.handle); t.Wait() && t.Error() != nil {
			program.Fail("subscribe", t.Error())
		}
		m.online(true)
	}
	opts.OnConnectionLost = func(mqtt.Client, error) { m.online(false) }

	client := mqtt.NewClient(opts)
	if token := client.Connect(); token.Wait() && token.Error() != nil {
		program.Fail("connect", token.Error())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		program.Fail("listen", err)
	}
	server := &http.Server{Handler: m, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	program.Say("http://%s/metrics", listener.Addr())

	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	client.Disconnect(250)
	_ = server.Close()
	program.Say("stopped")
}

// online is called for each connection and each loss.
func (m *metrics) online(connected bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.connected = connected
	if connected {
		m.connections++
	}
}

// handle is the handler of all sensors.
func (m *metrics) handle(_ mqtt.Client, message mqtt.Message) {
	levels := strings.Split(message.Topic(), "/")
	value, err := strconv.ParseFloat(string(message.Payload()), 64)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.invalid++
		return
	}
	m.received[levels[1]]++
	m.values[levels[1]+"/"+levels[2]] = value
}

// ServeHTTP writes the metrics in the text format.
func (m *metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.values)) {
		fmt.Fprintf(w, "sensor_value{sensor=%q} %g\n", name, m.values[name])
	}
	for _, room := range slices.Sorted(maps.Keys(m.received)) {
		fmt.Fprintf(w, "sensor_messages_total{room=%q} %d\n", room, m.received[room])
	}
	fmt.Fprintf(w, "invalid_messages_total %d\nconnections_total %d\nconnected %v\n", m.invalid, m.connections, m.connected)
}

package main

import (
	"encoding/json"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// house is a home automation server: it keeps the state of lamps as retained messages,
// obeys commands, and is seen as offline by its will.
type house struct {
	client mqtt.Client
	mu     sync.Mutex
	lamps  map[string]lamp
	synced chan struct{} // closed when the retained states have arrived
}

type lamp struct {
	On         bool `json:"on"`
	Brightness int  `json:"brightness"`
}

func home() {
	h := &house{lamps: map[string]lamp{"hall": {}, "kitchen": {}}, synced: make(chan struct{})}
	opts := mqtt.NewClientOptions().
		AddBroker(program.Server()).
		SetClientID("home").
		SetWill("home/status", "offline", 1, true).
		SetAutoReconnect(true).
		SetConnectRetry(true).
		SetConnectRetryInterval(100 * time.Millisecond).
		SetMaxReconnectInterval(200 * time.Millisecond).
		SetOrderMatters(true).
		SetDefaultPublishHandler(h.unknown).
		SetOnConnectHandler(h.connected).
		SetConnectionLostHandler(func(mqtt.Client, error) { program.Say("connection lost") })
	h.client = mqtt.NewClient(opts)
	h.client.AddRoute("home/lamp/+/state", h.restore)
	h.client.AddRoute("home/lamp/+/set", h.command)
	program.Must("connect", h.client.Connect())

	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	program.Must("offline", h.client.Publish("home/status", 1, true, "offline"))
	h.client.Disconnect(500)
	program.Say("stopped")
}

// connected subscribes: the session is clean. A marker on a topic of its own tells when
// all retained states have arrived.
func (h *house) connected(c mqtt.Client) {
	program.Must("subscribe to states", c.Subscribe("home/lamp/+/state", 1, nil))
	program.Must("subscribe to the rest", c.SubscribeMultiple(map[string]byte{"home/lamp/+/set": 1, "home/scene/#": 1, "home/synced": 1}, nil))
	program.Must("synced", c.Publish("home/synced", 1, false, "1"))
	program.Receive("retained states", h.synced)
	program.Must("online", c.Publish("home/status", 1, true, "online"))
	program.Say("online")
}

// restore adopts a retained state. It ignores messages without the retained flag: the
// server published these states itself.
func (h *house) restore(_ mqtt.Client, m mqtt.Message) {
	if !m.Retained() {
		return
	}
	var state lamp
	if err := json.Unmarshal(m.Payload(), &state); err != nil {
		return
	}
	name := strings.Split(m.Topic(), "/")[2]
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lamps[name] = state
	program.Say("restored %s %+v", name, state)
}

// command changes a lamp and publishes its state. It must not wait: handlers are called
// in order.
func (h *house) command(c mqtt.Client, m mqtt.Message) {
	name := strings.Split(m.Topic(), "/")[2]
	h.mu.Lock()
	state, ok := h.lamps[name]
	var err error
	if ok {
		err = json.Unmarshal(m.Payload(), &state)
	}
	if !ok || err != nil {
		h.mu.Unlock()
		c.Publish("home/errors", 1, false, "cannot set "+name)
		return
	}
	h.lamps[name] = state
	h.mu.Unlock()
	encoded, err := json.Marshal(state)
	if err != nil {
		program.Fail("encode", err)
	}
	c.Publish("home/lamp/"+name+"/state", 1, true, encoded)
}

// unknown is the default handler: scenes, and the marker.
func (h *house) unknown(c mqtt.Client, m mqtt.Message) {
	switch m.Topic() {
	case "home/synced":
		select {
		case <-h.synced: // of an earlier connection
		default:
			close(h.synced)
		}
	case "home/scene/night":
		c.Publish("home/lamp/hall/set", 1, false, `{"on":false}`)
		c.Publish("home/lamp/kitchen/set", 1, false, `{"on":true,"brightness":1}`)
	default:
		c.Publish("home/errors", 1, false, "cannot handle "+m.Topic())
	}
}

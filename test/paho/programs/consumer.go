package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/eclipse/paho.mqtt.golang" // without a name: that of the package is mqtt
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// undelivered is how many messages consumer takes before it has written the first.
const undelivered = 5

// agent is a consumer such as the MQTT input of telegraf. It has a persistent session, and a
// limit of messages that are not yet written. It checks and renews its connection by itself.
type agent struct {
	client mqtt.Client
	opts   *mqtt.ClientOptions
	slots  chan struct{}
	queue  chan string
	held   sync.Once
}

func consumer() {
	a := &agent{slots: make(chan struct{}, undelivered), queue: make(chan string, undelivered)}
	a.opts = mqtt.NewClientOptions().AddBroker(program.Server()).
		SetClientID("consumer").
		SetCleanSession(false).
		SetAutoReconnect(false).
		SetConnectTimeout(5 * time.Second).
		SetKeepAlive(30 * time.Second).
		SetConnectionLostHandler(a.lost)
	a.client = mqtt.NewClient(a.opts)
	a.client.AddRoute("metrics/#", a.take) // before Connect: stored messages arrive at once
	if err := a.connect(); err != nil {
		program.Fail("connect", err)
	}
	stopped := make(chan struct{})
	go a.write(stopped)

	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	check := time.NewTicker(50 * time.Millisecond)
	defer check.Stop()
	for {
		select {
		case <-check.C:
			if !a.client.IsConnected() {
				if err := a.connect(); err != nil {
					continue // the next check tries again
				}
			}
		case <-end:
			a.client.Disconnect(200)
			close(a.queue)
			<-stopped
			program.Say("stopped")
			return
		}
	}
}

// connect subscribes only if the server has no session.
func (a *agent) connect() error {
	token := a.client.Connect()
	if token.Wait() && token.Error() != nil {
		return token.Error()
	}
	present := false
	if ct, ok := token.(*mqtt.ConnectToken); ok {
		present = ct.SessionPresent()
	}
	if !present {
		subscription := a.client.SubscribeMultiple(map[string]byte{"metrics/#": 1}, a.take)
		if subscription.Wait() && subscription.Error() != nil {
			a.client.Disconnect(0)
			return fmt.Errorf("subscribe: %w", subscription.Error())
		}
	}
	program.Say("connected, session present %v", present)
	return nil
}

func (a *agent) lost(c mqtt.Client, err error) {
	program.Say("connection lost: error %v, connected %v", err != nil, c.IsConnected())
}

// take blocks while too many messages are not written: the server must wait.
func (a *agent) take(_ mqtt.Client, m mqtt.Message) {
	select {
	case a.slots <- struct{}{}:
	default:
		a.held.Do(func() { program.Say("held back") })
		a.slots <- struct{}{}
	}
	a.queue <- m.Topic() + "=" + string(m.Payload())
}

// write is the output. It waits until the test continues the program.
func (a *agent) write(stopped chan<- struct{}) {
	defer close(stopped)
	program.Step()
	for line := range a.queue {
		program.Say("%s", strings.TrimPrefix(line, "metrics/"))
		<-a.slots
	}
}

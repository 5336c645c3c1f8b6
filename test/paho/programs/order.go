package main

import (
	"fmt"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// order receives many messages of each QoS on several topics, in order, and answers each
// inside its handler without waiting.
func order() {
	received := make(chan string, 1000)
	handler := func(c mqtt.Client, m mqtt.Message) {
		go c.Publish("answer", 0, false, "") // a handler must not block
		received <- fmt.Sprintf("%s %s", m.Topic(), m.Payload())
	}
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("order"))
	program.Must("connect", c.Connect())
	program.Must("subscribe", c.Subscribe("o/+", 1, handler))
	program.Say("ready")
	for range 300 {
		program.Say("%s", program.Receive("message", received))
	}
	program.Step()
	c.Disconnect(500)
}

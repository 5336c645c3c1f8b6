package main

import (
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// again connects, disconnects and connects again with the same client.
func again() {
	received := make(chan string, 1)
	opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("again").SetCleanSession(true).
		SetConnectionLostHandler(func(mqtt.Client, error) { program.Say("lost") })
	c := mqtt.NewClient(opts)
	for range 3 {
		program.Wait("connect", c.Connect())
		program.Wait("subscribe", c.Subscribe("again", 1, func(_ mqtt.Client, m mqtt.Message) { received <- string(m.Payload()) }))
		program.Wait("publish", c.Publish("again", 1, false, "x"))
		program.Say("received %s", program.Receive("message", received))
		program.Step()
		c.Disconnect(500)
		program.Say("disconnected: %v %v", c.IsConnected(), c.IsConnectionOpen())
	}
}

package main

import (
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// unordered publishes and waits inside a handler, as SetOrderMatters(false)
// permits.
func unordered() {
	done := make(chan struct{}, 3)
	opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("unordered").SetOrderMatters(false).
		SetOnConnectHandler(func(c mqtt.Client) {
			program.Must("subscribe in OnConnect", c.Subscribe("question", 1, func(c mqtt.Client, m mqtt.Message) {
				program.Wait("publish in a handler", c.Publish("answer", 1, false, m.Payload()))
				program.Wait("subscribe in a handler", c.Subscribe("more", 0, nil))
				done <- struct{}{}
			}))
			done <- struct{}{}
		})
	c := mqtt.NewClient(opts)
	program.Must("connect", c.Connect())
	program.Receive("OnConnect", done)
	program.Say("ready")
	program.Receive("handler", done)
	program.Step()
	c.Disconnect(500)
}

package main

import (
	"fmt"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// routes receives through routes, handlers of subscriptions and the default
// handler.
func routes() {
	events := make(chan string, 100)
	named := func(name string) mqtt.MessageHandler {
		return func(_ mqtt.Client, m mqtt.Message) {
			events <- fmt.Sprintf("%s: %s %s", name, m.Topic(), m.Payload())
			if string(m.Payload()) == "end" {
				close(events)
			}
		}
	}
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("routes").SetDefaultPublishHandler(named("default")))
	c.AddRoute("a/+", named("route a/+"))
	c.AddRoute("a/b", named("route a/b"))
	c.AddRoute("ignored", nil)
	program.Must("connect", c.Connect())
	program.Must("subscribe", c.Subscribe("#", 1, nil))
	program.Must("subscribe", c.Subscribe("c/#", 1, named("subscription c/#")))
	program.Must("subscribe", c.Subscribe("$share/group/d", 1, named("shared d")))
	program.Must("subscribe", c.Subscribe("a/b", 1, named("replaced a/b")))
	program.Must("subscribe", c.Subscribe("gone", 0, named("gone")))
	program.Must("unsubscribe", c.Unsubscribe("gone"))
	program.Say("ready")
	for event := range events {
		program.Say("%s", event)
	}
	c.Disconnect(500)
}

package main

import (
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// oldversion meets a server that knows MQTT 3.1 only, and then asks for it.
func oldversion() {
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("fallback"))
	program.Wait("connect", c.Connect())
	program.Wait("publish", c.Publish("old", 1, false, "1"))
	c.Disconnect(500)
	c = mqtt.NewClient(mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("old").SetProtocolVersion(3))
	program.Wait("connect", c.Connect())
	program.Wait("publish", c.Publish("old", 1, false, "2"))
	c.Disconnect(500)
}

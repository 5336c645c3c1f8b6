package main

import (
	"github.com/eclipse/paho.mqtt.golang" // without a name: that of the package is mqtt
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// plain connects with the default options and no client id.
func plain() {
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(program.Server()))
	program.Wait("connect", c.Connect())
	reader := c.OptionsReader()
	program.Say("keepalive %v, clean %v, order %v", reader.KeepAlive(), reader.CleanSession(), reader.Order())
	c.Disconnect(500)
}

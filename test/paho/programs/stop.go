package main

import (
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// stop disconnects inside a handler that runs in a goroutine of its own.
func stop() {
	stopped := make(chan struct{})
	opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("stop").
		SetConnectionLostHandler(func(mqtt.Client, error) { program.Say("lost") }).
		SetDefaultPublishHandler(func(c mqtt.Client, m mqtt.Message) {
			go func() {
				c.Disconnect(500)
				close(stopped)
			}()
		})
	c := mqtt.NewClient(opts)
	program.Must("connect", c.Connect())
	program.Must("subscribe", c.Subscribe("stop", 0, nil))
	program.Say("ready")
	program.Receive("Disconnect", stopped)
	program.Say("stopped: %v %v", c.IsConnected(), c.IsConnectionOpen())
}

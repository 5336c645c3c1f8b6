package main

import (
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// noreconnect has AutoReconnect off: it connects again itself.
func noreconnect() {
	lost := make(chan error, 1)
	opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("noreconnect").SetAutoReconnect(false).
		SetConnectionLostHandler(func(c mqtt.Client, err error) { lost <- err })
	c := mqtt.NewClient(opts)
	program.Must("connect", c.Connect())
	pending := c.Publish("n/first", 1, false, "1")
	program.Say("lost: error %v", program.Receive("OnConnectionLost", lost) != nil)
	program.Wait("pending publish", pending)
	program.Say("offline: %v %v", c.IsConnected(), c.IsConnectionOpen())
	program.Wait("publish offline", c.Publish("n/offline", 1, false, "2"))
	program.Wait("subscribe offline", c.Subscribe("n", 1, nil))
	program.Wait("connect again", c.Connect())
	program.Wait("publish", c.Publish("n/second", 1, false, "3"))
	c.Disconnect(500)
}

package main

import (
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// will connects with a will and credentials, publishes once and disconnects.
func will() {
	connected := make(chan struct{}, 1)
	opts := mqtt.NewClientOptions().
		AddBroker(program.Server()).
		SetClientID("will").
		SetUsername("user").
		SetPassword("secret").
		SetKeepAlive(2*time.Minute).
		SetBinaryWill("last/words", []byte{0, 1, 2, 255}, 2, true).
		SetOnConnectHandler(func(c mqtt.Client) {
			program.Say("connected: %v %v", c.IsConnected(), c.IsConnectionOpen())
			connected <- struct{}{}
		})
	c := mqtt.NewClient(opts)
	program.Say("before: %v %v", c.IsConnected(), c.IsConnectionOpen())
	token := c.Connect()
	program.Must("connect", token)
	program.Receive("OnConnect", connected)
	ct := token.(*mqtt.ConnectToken)
	program.Say("code %d, session present %v", ct.ReturnCode(), ct.SessionPresent())
	program.Wait("publish", c.Publish("first/words", 0, true, "hello"))
	c.Disconnect(500)
	program.Say("after: %v %v", c.IsConnected(), c.IsConnectionOpen())
}

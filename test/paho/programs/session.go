package main

import (
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// session resumes a persistent session: messages arrive before it can subscribe.
func session() {
	received, connected := make(chan string, 10), make(chan struct{}, 10)
	opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("session").SetCleanSession(false).SetResumeSubs(true).
		SetMaxReconnectInterval(time.Second).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { received <- m.Topic() + " " + string(m.Payload()) }).
		SetOnConnectHandler(func(mqtt.Client) { connected <- struct{}{} })
	c := mqtt.NewClient(opts)
	token := c.Connect()
	program.Wait("connect", token)
	program.Say("session present %v", token.(*mqtt.ConnectToken).SessionPresent())
	program.Receive("OnConnect", connected)
	program.Say("stored: %s", program.Receive("message", received))
	program.Step()
	subscription := c.Subscribe("session/#", 2, nil) // the connection is lost before the SUBACK
	program.Receive("OnConnect", connected)
	program.Say("reconnected")
	program.Wait("subscribe", subscription)
	program.Say("after the reconnect: %s", program.Receive("message", received))
	program.Step()
	c.Disconnect(500)
}

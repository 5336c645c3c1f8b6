package main

import (
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// resend loses its connection in a persistent session, with messages in flight.
func resend() {
	connected := make(chan struct{}, 2)
	opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("resend").SetCleanSession(false).
		SetStore(mqtt.NewOrderedMemoryStore()).SetMaxReconnectInterval(time.Second).
		SetOnConnectHandler(func(mqtt.Client) { connected <- struct{}{} })
	c := mqtt.NewClient(opts)
	program.Must("connect", c.Connect())
	program.Receive("OnConnect", connected)
	tokens := map[string]mqtt.Token{}
	topics := []string{"one", "two", "three", "four"}
	for i, topic := range topics {
		tokens[topic] = c.Publish("resend/"+topic, byte(1+i%2), false, topic)
	}
	program.Say("published")
	program.Receive("OnConnect", connected)
	for _, topic := range topics {
		program.Wait(topic, tokens[topic])
	}
	program.Step()
	c.Disconnect(500)
}

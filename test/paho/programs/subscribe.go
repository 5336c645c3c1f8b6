package main

import (
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// subscribe subscribes with each QoS, receives with each QoS and unsubscribes.
func subscribe() {
	received := make(chan mqtt.Message, 10)
	show := func() {
		m := program.Receive("message", received)
		program.Say("%s %q QoS %d retained %v duplicate %v, id %v", m.Topic(), m.Payload(), m.Qos(), m.Retained(), m.Duplicate(), m.MessageID() != 0)
	}
	handler := func(_ mqtt.Client, m mqtt.Message) { received <- m }
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("subscribe"))
	program.Must("connect", c.Connect())
	for _, qos := range []byte{0, 1, 2} {
		token := c.Subscribe("s/"+string('0'+qos), qos, handler)
		program.Wait("subscribe", token)
		program.Say("granted %v", token.(*mqtt.SubscribeToken).Result())
	}
	program.Wait("multiple", c.SubscribeMultiple(map[string]byte{"m/+/x/#": 1}, handler))
	refused := c.Subscribe("refused", 1, handler)
	refused.Wait() // paho's token has no error then, ours has
	program.Say("granted %v", refused.(*mqtt.SubscribeToken).Result())
	for range 5 {
		show()
	}
	program.Wait("unsubscribe", c.Unsubscribe("s/0"))
	program.Wait("unsubscribe two", c.Unsubscribe("s/1", "s/2"))
	c.Disconnect(500)
}

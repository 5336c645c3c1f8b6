package main

import (
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// reconnect loses its connection with a QoS 1 and a QoS 2 message in flight, and
// publishes while it is offline. It subscribes in OnConnect, as programs should.
func reconnect() {
	subscribed, lost, reconnecting := make(chan mqtt.Token, 9), make(chan error, 9), make(chan struct{}, 9)
	hold := make(chan struct{})
	opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("reconnect").
		SetMaxReconnectInterval(time.Second).
		SetOnConnectHandler(func(c mqtt.Client) { subscribed <- c.Subscribe("r/+", 1, nil) }).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { lost <- err }).
		SetReconnectingHandler(func(mqtt.Client, *mqtt.ClientOptions) {
			reconnecting <- struct{}{}
			<-hold // offline until the program has published
		})
	c := mqtt.NewClient(opts)
	program.Must("connect", c.Connect())
	program.Must("subscribe", program.Receive("OnConnect", subscribed))
	first := c.Publish("r/first", 1, false, "1")
	second := c.Publish("r/second", 2, false, "2")
	program.Say("published")
	program.Say("lost: error %v", program.Receive("OnConnectionLost", lost) != nil)
	program.Receive("OnReconnecting", reconnecting)
	program.Say("reconnecting: %v %v", c.IsConnected(), c.IsConnectionOpen())
	third := c.Publish("r/third", 1, false, "3")
	select {
	case <-third.Done():
		program.Say("QoS 1 completed offline")
	default:
		program.Say("QoS 1 pending offline")
	}
	program.Wait("QoS 0 offline", c.Publish("r/dropped", 0, false, "0"))
	program.Wait("subscribe offline", c.Subscribe("r/offline", 0, nil))
	close(hold)
	program.Must("subscribe again", program.Receive("OnConnect", subscribed))
	program.Wait("first", first)
	program.Wait("second", second)
	program.Wait("third", third)
	program.Say("reconnected: %v %v", c.IsConnected(), c.IsConnectionOpen())
	program.Step()
	c.Disconnect(500)
}

package main

import (
	"fmt"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// credentials connects with what a function returns, with what the URL contains, and
// with what its OnReconnecting sets.
func credentials() {
	n := 0
	connected := make(chan struct{}, 9)
	opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("provider").
		SetMaxReconnectInterval(time.Second).
		SetWill("credentials", "not sent", 1, false).
		UnsetWill().
		SetCredentialsProvider(func() (string, string) {
			n++
			return fmt.Sprintf("user-%d", n), fmt.Sprintf("password-%d", n)
		}).
		SetOnConnectHandler(func(mqtt.Client) { connected <- struct{}{} })
	c := mqtt.NewClient(opts)
	program.Wait("connect", c.Connect())
	program.Receive("OnConnect", connected)
	program.Step()
	program.Receive("OnConnect", connected)
	program.Say("reconnected")
	c.Disconnect(500)

	opts = mqtt.NewClientOptions().AddBroker("tcp://eve:apple@" + program.Server()[len("tcp://"):]).SetClientID("url").
		SetMaxReconnectInterval(time.Second).
		SetReconnectingHandler(func(_ mqtt.Client, o *mqtt.ClientOptions) {
			o.Servers[0].User = nil
			o.SetUsername("adam").SetPassword("")
		}).
		SetOnConnectHandler(func(mqtt.Client) { connected <- struct{}{} })
	c = mqtt.NewClient(opts)
	program.Wait("connect", c.Connect())
	program.Receive("OnConnect", connected)
	program.Step()
	program.Receive("OnConnect", connected)
	program.Say("reconnected")
	c.Disconnect(500)
}

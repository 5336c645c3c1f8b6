package main

import (
	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// refused is refused with each return code.
func refused() {
	for range 5 {
		opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("refused").SetProtocolVersion(4).
			SetOnConnectHandler(func(mqtt.Client) { program.Say("connected") }).
			SetConnectionLostHandler(func(mqtt.Client, error) { program.Say("lost") })
		c := mqtt.NewClient(opts)
		token := c.Connect()
		program.Wait("connect", token)
		program.Say("code %d; %v %v", token.(*mqtt.ConnectToken).ReturnCode(), c.IsConnected(), c.IsConnectionOpen())
	}
}

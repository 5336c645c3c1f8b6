package main

import (
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// retry connects with ConnectRetry while the server does not answer, and
// publishes before it is connected.
func retry() {
	opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("retry").SetCleanSession(false).SetProtocolVersion(4).
		SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond)
	c := mqtt.NewClient(opts)
	token := c.Connect()
	program.Say("connecting: %v %v", c.IsConnected(), c.IsConnectionOpen())
	early := c.Publish("retry/early", 1, false, "early")
	select {
	case <-token.Done():
		program.Say("connected too early")
	case <-early.Done():
		program.Say("published too early")
	default:
		program.Say("pending")
	}
	program.Say("ready")
	program.Wait("connect", token)
	program.Wait("early publish", early)
	c.Disconnect(500)
}

package main

import (
	"bytes"
	"strings"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// publish sends with each QoS and each type of payload.
func publish() {
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("publish"))
	program.Must("connect", c.Connect())
	program.Wait("QoS 0", c.Publish("q/0", 0, false, "text"))
	program.Wait("QoS 1", c.Publish("q/1", 1, false, []byte("bytes")))
	program.Wait("QoS 2", c.Publish("q/2", 2, true, *bytes.NewBufferString("buffer")))
	program.Wait("empty", c.Publish("q/empty", 1, true, ""))
	program.Wait("long", c.Publish("q/long", 1, false, strings.Repeat("x", 20_000)))
	program.Wait("number", c.Publish("q/number", 0, false, 42))

	// Two messages in flight, acknowledged in the other order.
	first, second := c.Publish("q/first", 1, false, "1"), c.Publish("q/second", 1, false, "2")
	<-second.Done()
	program.Say("second before first")
	program.Step()
	<-first.Done()
	ids := first.(*mqtt.PublishToken).MessageID() != second.(*mqtt.PublishToken).MessageID()
	program.Say("ids differ: %v", ids)
	c.Disconnect(500)
	program.Wait("publish after Disconnect", c.Publish("q/0", 0, false, "late"))
	program.Say("ErrNotConnected: %v", c.Publish("q/1", 1, false, "late").Error() == mqtt.ErrNotConnected) //nolint:errorlint // as programs compare it
}

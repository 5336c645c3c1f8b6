package main

import (
	"os"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// store keeps its messages in a folder, which is its third argument. The test kills it
// before they are acknowledged; then it runs again, with a fourth argument.
func store() {
	opts := mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("store").SetCleanSession(false).
		SetStore(mqtt.NewFileStore(os.Args[3]))
	c := mqtt.NewClient(opts)
	program.Wait("connect", c.Connect())
	if len(os.Args) == 4 {
		c.Publish("store/1", 1, false, "one")
		program.Step()
		c.Publish("store/2", 2, true, "two")
		program.Step()
		program.Fail("store", os.ErrDeadlineExceeded) // the test has killed it before
	}
	program.Step()
	program.Wait("publish", c.Publish("store/3", 1, false, "three"))
	c.Disconnect(500)
}

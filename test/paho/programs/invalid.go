package main

import (
	"errors"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// invalid makes calls that the client refuses itself.
func invalid() {
	show := func(what string, err error) {
		known := "unknown"
		for name, sentinel := range map[string]error{
			"ErrInvalidQos":              mqtt.ErrInvalidQos,
			"ErrInvalidTopicEmptyString": mqtt.ErrInvalidTopicEmptyString,
			"ErrInvalidTopicMultilevel":  mqtt.ErrInvalidTopicMultilevel,
			"ErrNotConnected":            mqtt.ErrNotConnected,
			"TimedOut":                   mqtt.TimedOut,
		} {
			if errors.Is(err, sentinel) {
				known = name
			}
		}
		program.Say("%s: error %v, %s", what, err != nil, known)
	}
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("invalid"))
	show("publish before Connect", c.Publish("a", 1, false, "").Error())
	show("subscribe before Connect", c.Subscribe("a", 1, nil).Error())
	show("subscribe to several before Connect", c.SubscribeMultiple(map[string]byte{"a": 1}, nil).Error())
	show("unsubscribe before Connect", c.Unsubscribe("a").Error())
	c.Disconnect(10)
	program.Must("connect", c.Connect())
	show("empty filter", c.Subscribe("", 0, nil).Error())
	show("QoS 3", c.Subscribe("a", 3, nil).Error())
	show("# in the middle", c.Subscribe("a/#/b", 0, nil).Error())
	show("several with QoS 3", c.SubscribeMultiple(map[string]byte{"a": 3}, nil).Error())
	show("none of several", c.SubscribeMultiple(nil, nil).Error())
	show("payload of a wrong type", c.Publish("a", 0, false, struct{}{}).Error())
	unanswered := c.Publish("unanswered", 1, false, "")
	show("no PUBACK", mqtt.WaitTokenTimeout(unanswered, 50_000_000))
	show("its error", unanswered.Error())
	program.Wait("connect again", c.Connect())
	c.Disconnect(500)
	nowhere := mqtt.NewClient(mqtt.NewClientOptions())
	program.Wait("no servers", nowhere.Connect())
}

package main

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// notify prints the connection notifications of a refusal, of a connection and
// of its loss.
func notify() {
	events := make(chan string, 100)
	opts := mqtt.NewClientOptions().AddBroker("tcp://127.0.0.1:1").AddBroker(program.Server()).SetClientID("notify").SetProtocolVersion(4).
		SetMaxReconnectInterval(time.Second).
		SetConnectionAttemptHandler(func(server *url.URL, config *tls.Config) *tls.Config {
			events <- "attempt, first server " + fmt.Sprint(server.Port() == "1")
			return config
		}).
		SetConnectionNotificationHandler(func(_ mqtt.Client, n mqtt.ConnectionNotification) {
			switch n := n.(type) {
			case mqtt.ConnectionNotificationConnecting:
				events <- fmt.Sprintf("connecting: reconnect %v, attempt %d", n.IsReconnect, n.Attempt)
			case mqtt.ConnectionNotificationConnected:
				events <- "connected"
			case mqtt.ConnectionNotificationBroker:
				events <- "server, first " + fmt.Sprint(n.Broker.Port() == "1")
			case mqtt.ConnectionNotificationBrokerFailed:
				events <- fmt.Sprintf("server failed, first %v: error %v", n.Broker.Port() == "1", n.Reason != nil)
			case mqtt.ConnectionNotificationFailed:
				events <- fmt.Sprintf("failed: error %v", n.Reason != nil)
			case mqtt.ConnectionNotificationLost:
				events <- fmt.Sprintf("lost: error %v", n.Reason != nil)
			}
		})
	c := mqtt.NewClient(opts)
	show := func(last string) {
		for event := ""; event != last; program.Say("%s", event) {
			event = program.Receive("notification", events)
		}
	}
	c.Connect().Wait()
	show("failed: error true")
	c = mqtt.NewClient(opts) // paho's may still be busy with the failure when its token is completed
	program.Must("connect", c.Connect())
	show("connected")
	program.Step()
	var lost, again []string // two goroutines in paho: their order is not fixed
	for len(again) == 0 || again[len(again)-1] != "connected" {
		switch event := program.Receive("notification", events); event {
		case "lost: error true":
			lost = append(lost, event)
		case "attempt, first server true", "server, first true", "server failed, first true: error true":
			// paho.mqtt.golang tries the first server first, package paho the last server.
		default:
			again = append(again, event)
		}
	}
	for len(lost) == 0 {
		lost = append(lost, program.Receive("notification", events))
	}
	for _, event := range append(lost, again...) {
		program.Say("%s", event)
	}
	c.Disconnect(500)
}

package main

import (
	"net"
	"net/url"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// opener makes its connections itself.
func opener() {
	address := strings.TrimPrefix(program.Server(), "tcp://")
	opts := mqtt.NewClientOptions().AddBroker("pipe://somewhere:1234/path").SetClientID("opener").
		SetMaxReconnectInterval(time.Second).
		SetCustomOpenConnectionFn(func(uri *url.URL, options mqtt.ClientOptions) (net.Conn, error) {
			program.Say("open %s for %s", uri, options.ClientID)
			return net.Dial("tcp", address)
		}).
		SetConnectionLostHandler(func(mqtt.Client, error) { program.Say("lost") })
	c := mqtt.NewClient(opts)
	program.Wait("connect", c.Connect())
	program.Wait("publish", c.Publish("opener", 1, false, "x"))
	c.Disconnect(500)

	opts = mqtt.NewClientOptions().AddBroker(program.Server()).SetClientID("dialer").
		SetDialer(&net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}})
	c = mqtt.NewClient(opts)
	program.Wait("connect", c.Connect())
	program.Step()
	c.Disconnect(500)
}

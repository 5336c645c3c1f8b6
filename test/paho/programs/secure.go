package main

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"strings"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/mosquitto-go/mosquitto/test/paho/program"
)

// secure connects with TLS. Its third argument is the file of a CA.
func secure() {
	pem, err := os.ReadFile(os.Args[3])
	if err != nil {
		program.Fail("CA", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: pool, ServerName: "broker.test", MinVersion: tls.VersionTLS12}
	for _, scheme := range []string{"ssl", "tls", "mqtts", "tcps"} {
		server := strings.Replace(program.Server(), "tcp", scheme, 1)
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(server).SetClientID(scheme).SetTLSConfig(config))
		program.Wait("connect", c.Connect())
		program.Wait("publish", c.Publish("secure", 1, false, "x"))
		c.Disconnect(500)
	}
	server := strings.Replace(program.Server(), "tcp", "ssl", 1)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(server).SetClientID("wrong").SetProtocolVersion(4).
		SetTLSConfig(&tls.Config{RootCAs: pool, ServerName: "other.test", MinVersion: tls.VersionTLS12}))
	program.Wait("connect with a wrong name", c.Connect())
}

// websockets connects through a websocket with headers of its own.
func websockets() {
	server := strings.Replace(program.Server(), "tcp", "ws", 1) + "/a/path?token=1"
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(server).SetClientID("websockets").
		SetHTTPHeaders(http.Header{"X-Token": {"secret"}, "X-List": {"a", "b"}}).
		SetWebsocketOptions(&mqtt.WebsocketOptions{ReadBufferSize: 1000}))
	program.Wait("connect", c.Connect())
	program.Wait("publish", c.Publish("websockets", 2, false, strings.Repeat("x", 5000)))
	c.Disconnect(500)
}

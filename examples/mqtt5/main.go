// Mqtt5 sends a request and receives the response with properties of MQTT 5. The request
// names the topic for the response (response topic) and identifies the request
// (correlation data). The program sends both the request and the response.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

func main() {
	host := flag.String("host", "127.0.0.1", "host of the broker")
	port := flag.Int("port", 1883, "port of the broker")
	flag.Parse()
	requests, responses := fmt.Sprint("example/requests/", os.Getpid()), fmt.Sprint("example/responses/", os.Getpid())

	client, err := mosquitto.New("", true, nil)
	check(err)
	defer client.Close()
	check(client.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV5))
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		check(ack.Err())
		queued(c.SubscribeMultiple([]string{requests, responses}, 1, 0, nil))
	})
	client.OnSubscribe(func(c *mosquitto.Client, _ int, granted []mosquitto.ReasonCode, _ mosquitto.Properties) {
		for _, code := range granted {
			check(code.Err())
		}
		var props mosquitto.Properties
		check(props.AddString(mosquitto.PropResponseTopic, responses))
		check(props.AddBinary(mosquitto.PropCorrelationData, []byte("request 1")))
		check(props.AddInt32(mosquitto.PropMessageExpiryInterval, 10)) // seconds; the program waits no longer
		queued(c.PublishV5(requests, []byte("hello world"), 1, false, props))
	})
	client.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		id, _ := m.Properties.Binary(mosquitto.PropCorrelationData)
		if m.Topic == responses {
			responder, _ := m.Properties.UserProperty("responder")
			fmt.Printf("response to %s from %s: %s\n", id, responder, m.Payload)
			check(c.Disconnect())
			return
		}
		responseTopic, ok := m.Properties.Text(mosquitto.PropResponseTopic)
		if !ok {
			return // the message is not a request
		}
		var props mosquitto.Properties
		check(props.AddBinary(mosquitto.PropCorrelationData, id))
		check(props.AddStringPair(mosquitto.PropUserProperty, "responder", "mqtt5"))
		queued(c.PublishV5(responseTopic, bytes.ToUpper(m.Payload), 1, false, props))
	})

	time.AfterFunc(10*time.Second, func() { log.Fatal("mqtt5: no response within 10 s") })
	check(client.Connect(*host, *port, time.Minute))
	check(client.LoopForever(-1))
}

func check(err error) {
	if err != nil {
		log.Fatal("mqtt5: ", err)
	}
}

// queued checks the error of a call that returns a packet id.
func queued(_ int, err error) { check(err) }

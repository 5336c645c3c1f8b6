// Mqtt5 asks a question with the properties of MQTT 5 and gets its answer: the
// request says where to answer (response topic) and which question it is
// (correlation data). It plays both parts.
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
	host := flag.String("host", "127.0.0.1", "the broker")
	port := flag.Int("port", 1883, "its port")
	flag.Parse()
	questions, answers := fmt.Sprint("example/questions/", os.Getpid()), fmt.Sprint("example/answers/", os.Getpid())

	client, err := mosquitto.New("", true, nil)
	check(err)
	defer client.Close()
	check(client.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV5))
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		check(ack.Err())
		queued(c.SubscribeMultiple([]string{questions, answers}, 1, 0, nil))
	})
	client.OnSubscribe(func(c *mosquitto.Client, _ int, granted []mosquitto.ReasonCode, _ mosquitto.Properties) {
		for _, code := range granted {
			check(code.Err())
		}
		var props mosquitto.Properties
		check(props.AddString(mosquitto.PropResponseTopic, answers))
		check(props.AddBinary(mosquitto.PropCorrelationData, []byte("question 1")))
		check(props.AddInt32(mosquitto.PropMessageExpiryInterval, 10)) // seconds: nobody waits longer
		queued(c.PublishV5(questions, []byte("is there anybody"), 1, false, props))
	})
	client.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		id, _ := m.Properties.Binary(mosquitto.PropCorrelationData)
		if m.Topic == answers {
			by, _ := m.Properties.UserProperty("answered-by")
			fmt.Printf("the answer to %s, by %s: %s\n", id, by, m.Payload)
			check(c.Disconnect())
			return
		}
		to, asked := m.Properties.Text(mosquitto.PropResponseTopic)
		if !asked {
			return // nobody waits for an answer
		}
		var props mosquitto.Properties
		check(props.AddBinary(mosquitto.PropCorrelationData, id))
		check(props.AddStringPair(mosquitto.PropUserProperty, "answered-by", "the example"))
		queued(c.PublishV5(to, bytes.ToUpper(m.Payload), 1, false, props))
	})

	time.AfterFunc(10*time.Second, func() { log.Fatal("mqtt5: no answer within 10 s") })
	check(client.Connect(*host, *port, time.Minute))
	check(client.LoopForever(-1))
}

func check(err error) {
	if err != nil {
		log.Fatal("mqtt5: ", err)
	}
}

func queued(_ int, err error) { check(err) }

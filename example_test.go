package mosquitto_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// A subscriber runs until it is interrupted.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	client, err := mosquitto.New("test-client", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		if err := ack.Err(); err != nil {
			log.Print(err)
			return
		}
		if _, err := c.Subscribe("my/#", 1); err != nil { // subscribes at each connect
			log.Print(err)
		}
	})
	client.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		fmt.Println(m.Topic, string(m.Payload))
	})
	if err := client.Connect("127.0.0.1", 1883, time.Minute); err != nil {
		log.Print(err) // Run retries
	}
	log.Print(client.Run(ctx))
}

// Run reconnects after every connection loss, until its context ends or Disconnect is
// called.
func ExampleClient_Run() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	client, err := mosquitto.New("test-client", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.ReconnectDelaySet(time.Second, time.Minute, true); err != nil {
		log.Fatal(err)
	}
	client.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) {
		log.Print("disconnected: ", d.Err)
	})
	if err := client.Connect("broker.example", 1883, time.Minute); err != nil {
		log.Print(err)
	}
	err = client.Run(ctx)
	var refused mosquitto.ConnackError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("the hour is over; a DISCONNECT was sent")
	case errors.As(err, &refused):
		fmt.Println("the broker has refused the connection:", refused.Code)
	case err != nil:
		log.Print(err)
	}
}

func ExampleNew() {
	type shop struct{ name string }
	client, err := mosquitto.New("till-1", true, &shop{"corner"})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(client.UserData().(*shop).name)
	// Output: corner
}

// New refuses invalid arguments before they reach the library.
func ExampleNew_badInput() {
	_, err := mosquitto.New("", false, nil)
	fmt.Println(errors.Is(err, mosquitto.ErrInval))

	var failed *mosquitto.OpError
	if errors.As(err, &failed) {
		fmt.Println(failed.Op)
		fmt.Println(failed.Detail)
	}
	// Output:
	// true
	// new
	// clientID: empty, which needs cleanSession
}

// Without a connection, a QoS 1 or 2 message is queued, and Publish returns its message
// id.
func ExampleClient_Publish_offline() {
	client, err := mosquitto.New("test-client", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	mid, err := client.Publish("my/topic", []byte("kept"), 1, false)
	fmt.Println(mid, errors.Is(err, mosquitto.ErrNoConn))
	// Output: 1 true
}

// Publish only queues. OnPublish reports the acknowledgement of the broker.
func ExampleClient_Publish() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		if err := ack.Err(); err != nil {
			log.Print(err)
			c.Disconnect() // otherwise the loop would retry for ever
			return
		}
		if _, err := c.Publish("my/topic", []byte("hello world"), 1, false); err != nil {
			log.Print(err)
		}
	})
	client.OnPublish(func(c *mosquitto.Client, mid int, _ mosquitto.ReasonCode, _ mosquitto.Properties) {
		fmt.Println("published", mid)
		c.Disconnect()
	})
	if err := client.Connect("127.0.0.1", 1883, time.Minute); err != nil {
		log.Fatal(err)
	}
	if err := client.LoopForever(-1); err != nil { // nil after Disconnect
		log.Print(err)
	}
}

// The library's own thread reads and writes.
func ExampleClient_LoopStart() {
	client, err := mosquitto.New("test-client", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	connected := make(chan error, 1)
	client.OnConnect(func(_ *mosquitto.Client, ack mosquitto.Connack) {
		select {
		case connected <- ack.Err():
		default: // a reconnect
		}
	})
	if err := client.LoopStart(); err != nil {
		log.Fatal(err)
	}
	defer client.LoopStop(false)
	if err := client.Connect("127.0.0.1", 1883, time.Minute); err != nil {
		log.Print(err)
		return
	}
	if err := <-connected; err != nil {
		log.Print(err)
		return
	}
	if _, err := client.Publish("my/topic", []byte("hello world"), 0, false); err != nil {
		log.Print(err)
	}
}

// A message may be kept and sent to another goroutine.
func ExampleClient_OnMessage() {
	client, err := mosquitto.New("test-client", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	messages := make(chan mosquitto.Message, 100)
	client.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		messages <- m // if the channel is full, the loop waits
	})
	go func() {
		for m := range messages {
			fmt.Println(m.Topic, m.QoS, m.Retain, string(m.Payload))
		}
	}()
}

// OnLog gets the errors and warnings of the library. If a handshake fails, they contain
// OpenSSL's error text.
func ExampleClient_OnLog() {
	client, err := mosquitto.New("test-client", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnLog(func(_ *mosquitto.Client, level mosquitto.LogLevel, text string) {
		log.Print(level, ": ", text)
	}, mosquitto.LogErr, mosquitto.LogWarning)
}

// TLSSet sets the CA and a client certificate with a key.
func ExampleClient_TLSSet() {
	client, err := mosquitto.New("test-client", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	password := func(*mosquitto.Client) (string, error) { return os.Getenv("KEY_PASSWORD"), nil }
	if err := client.TLSSet("ca.pem", "", "client.pem", "client.key", password); err != nil {
		log.Print(err)
		return
	}
	if err := client.Connect("broker.example", 8883, time.Minute); err != nil {
		log.Print(err)
	}
}

// TLS with a pre-shared key.
func ExampleClient_TLSPSKSet() {
	client, err := mosquitto.New("sensor-7", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.TLSPSKSet("6d6f7371756974746f", "sensor-7", ""); err != nil {
		log.Print(err)
		return
	}
	if err := client.Connect("broker.example", 8883, time.Minute); err != nil {
		log.Print(err)
	}
}

// A request with MQTT 5 names the topic for the answer. Correlation data identifies the
// answer.
func ExampleClient_PublishV5() {
	client, err := mosquitto.New("client-1", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV5); err != nil {
		log.Fatal(err)
	}
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		if err := ack.Err(); err != nil {
			log.Print(err) // the loop returns the refusal
			return
		}
		if _, err := c.Subscribe("answers/client-1", 1); err != nil {
			log.Print(err)
		}
	})
	client.OnSubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		request := mosquitto.Properties{
			{ID: mosquitto.PropResponseTopic, Text: "answers/client-1"},
			{ID: mosquitto.PropCorrelationData, Data: []byte("42")},
		}
		if _, err := c.PublishV5("square", []byte("7"), 1, false, request); err != nil {
			log.Print(err)
		}
	})
	client.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		id, _ := m.Properties.Binary(mosquitto.PropCorrelationData)
		fmt.Printf("answer to %s: %s\n", id, m.Payload)
		c.Disconnect()
	})
	if err := client.Connect("127.0.0.1", 1883, time.Minute); err != nil {
		log.Fatal(err)
	}
	if err := client.LoopForever(-1); err != nil {
		log.Print(err)
	}
}

// SubscribeSimple receives one message, and waits at most 10 s.
func ExampleSubscribeSimple() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	o := mosquitto.SimpleOptions{Host: "127.0.0.1", Port: 1883, Keepalive: time.Minute, CleanSession: true}
	messages, err := mosquitto.SubscribeSimple(ctx, o, "my/topic", 1, 1, true)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(string(messages[0].Payload))
}

func ExampleTopicMatchesSub() {
	for _, sub := range []string{"house/+/lamp", "house/#", "house/lamp", "#/lamp"} {
		yes, err := mosquitto.TopicMatchesSub(sub, "house/kitchen/lamp")
		fmt.Println(sub, yes, err != nil)
	}
	// Output:
	// house/+/lamp true false
	// house/# true false
	// house/lamp false false
	// #/lamp false true
}

func ExamplePubTopicCheck() {
	fmt.Println(mosquitto.PubTopicCheck("house/kitchen"))
	fmt.Println(errors.Is(mosquitto.PubTopicCheck("house/+"), mosquitto.ErrInval))
	// Output:
	// <nil>
	// true
}

func ExampleSubTopicCheck() {
	fmt.Println(mosquitto.SubTopicCheck("house/+/lamp"))
	fmt.Println(errors.Is(mosquitto.SubTopicCheck("house/#/lamp"), mosquitto.ErrInval))
	// Output:
	// <nil>
	// true
}

func ExampleSubTopicTokenise() {
	levels, err := mosquitto.SubTopicTokenise("house//lamp")
	fmt.Printf("%q %v\n", levels, err)
	// Output: ["house" "" "lamp"] <nil>
}

func ExampleValidateUTF8() {
	fmt.Println(mosquitto.ValidateUTF8([]byte("Küche")))
	fmt.Println(errors.Is(mosquitto.ValidateUTF8([]byte("K\xfcche")), mosquitto.ErrMalformedUTF8))
	// Output:
	// <nil>
	// true
}

func ExampleProperties() {
	props := mosquitto.Properties{
		{ID: mosquitto.PropContentType, Text: "text/plain"},
		{ID: mosquitto.PropUserProperty, Name: "room", Text: "kitchen"},
	}
	if err := props.AddInt32(mosquitto.PropMessageExpiryInterval, 60); err != nil {
		fmt.Println(err)
	}
	seconds, ok := props.Int32(mosquitto.PropMessageExpiryInterval)
	fmt.Println(seconds, ok)
	_, ok = props.Text(mosquitto.PropResponseTopic)
	fmt.Println(ok)
	room, _ := props.UserProperty("room")
	fmt.Println(room)
	fmt.Println(mosquitto.PropertyCheckAll(mosquitto.CmdPublish, props))
	// Output:
	// 60 true
	// false
	// kitchen
	// <nil>
}

// All returns all properties with the same id.
func ExampleProperties_All() {
	var props mosquitto.Properties
	for _, name := range []string{"a", "b"} {
		if err := props.AddStringPair(mosquitto.PropUserProperty, name, "1"); err != nil {
			fmt.Println(err)
		}
	}
	for p := range props.All(mosquitto.PropUserProperty) {
		fmt.Println(p.Name, p.Text)
	}
	// Output:
	// a 1
	// b 1
}

func ExamplePropertyCheckCommand() {
	fmt.Println(mosquitto.PropertyCheckCommand(mosquitto.CmdPublish, mosquitto.PropTopicAlias))
	err := mosquitto.PropertyCheckCommand(mosquitto.CmdConnect, mosquitto.PropTopicAlias)
	fmt.Println(errors.Is(err, mosquitto.ErrProtocol))
	// Output:
	// <nil>
	// true
}

func ExampleStringToPropertyInfo() {
	id, kind, err := mosquitto.StringToPropertyInfo("content-type")
	fmt.Println(id == mosquitto.PropContentType, kind == mosquitto.TypeString, err)
	fmt.Println(id)
	// Output:
	// true true <nil>
	// content-type
}

func ExampleOpError() {
	client, err := mosquitto.New("test-client", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	client.Close()
	_, err = client.Publish("my/topic", nil, 0, false)
	fmt.Println(errors.Is(err, mosquitto.ErrClosed))
	fmt.Println(err)
	// Output:
	// true
	// mosquitto: publish: client is closed
}

// The error of a refused connection contains its code.
func ExampleConnackError() {
	ack := mosquitto.Connack{Code: mosquitto.ConnackRefusedNotAuthorized} // as passed to OnConnect
	err := ack.Err()
	fmt.Println(errors.Is(err, mosquitto.ConnackError{Code: mosquitto.ConnackRefusedNotAuthorized}))
	// Output: true
}

func ExampleReasonCode() {
	granted := []mosquitto.ReasonCode{mosquitto.RCGrantedQoS1, mosquitto.RCNotAuthorized} // as passed to OnSubscribe
	for _, code := range granted {
		fmt.Println(int(code), code.Failed())
	}
	// Output:
	// 1 false
	// 135 true
}

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

// A program subscribes at each connect, publishes a message to itself, and prints it.
// brokerPort returns the port of a broker, such as 1883.
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
		if _, err := c.Subscribe("my/#", 1); err != nil {
			log.Print(err)
		}
	})
	client.OnSubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		if _, err := c.Publish("my/topic", []byte("hello world"), 1, false); err != nil {
			log.Print(err)
		}
	})
	client.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		fmt.Println(m.Topic, string(m.Payload))
		c.Disconnect() // ends Run
	})
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err) // Run retries
	}
	fmt.Println(client.Run(ctx))
	// Output:
	// my/topic hello world
	// <nil>
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

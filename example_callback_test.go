package mosquitto_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// Publish only queues. OnPublish reports the acknowledgement of the broker.
func ExampleClient_Publish() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		if ack.Err() != nil {
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
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	fmt.Println(client.Run(context.Background()))
	// Output:
	// published 1
	// <nil>
}

// OnSubscribe reports the granted QoS of each filter, OnUnsubscribe the removal.
func ExampleClient_SubscribeMultiple() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) {
		if _, err := c.SubscribeMultiple([]string{"my/topic", "other/#"}, 1, 0, nil); err != nil {
			log.Print(err)
		}
	})
	client.OnSubscribe(func(c *mosquitto.Client, _ int, granted []mosquitto.ReasonCode, _ mosquitto.Properties) {
		for _, code := range granted {
			fmt.Println("QoS", int(code), "refused:", code.Failed())
		}
		if _, err := c.Unsubscribe("my/topic"); err != nil {
			log.Print(err)
		}
	})
	client.OnUnsubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		fmt.Println("unsubscribed")
		c.Disconnect()
	})
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	if err := client.Run(context.Background()); err != nil {
		log.Print(err)
	}
	// Output:
	// QoS 1 refused: false
	// QoS 1 refused: false
	// unsubscribed
}

// A message may be kept and sent to another goroutine.
func ExampleClient_OnMessage() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	messages := make(chan mosquitto.Message, 100)
	client.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		messages <- m // if the channel is full, the loop waits
	})
	client.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) {
		if _, err := c.Subscribe("my/message", 1); err != nil {
			log.Print(err)
		}
	})
	client.OnSubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		if _, err := c.Publish("my/message", []byte("hello"), 1, false); err != nil {
			log.Print(err)
		}
	})
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- client.Run(context.Background()) }()
	m := <-messages
	fmt.Println(m.Topic, m.QoS, m.Retain, string(m.Payload))
	client.Disconnect()
	<-ended
	// Output: my/message 1 false hello
}

// OnConnect and OnDisconnect report the events of a connection.
func ExampleClient_OnDisconnect() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		fmt.Println("accepted:", ack.Err() == nil, "session kept:", ack.SessionPresent)
		c.Disconnect()
	})
	client.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) {
		fmt.Println("connection lost:", d.Err != nil)
	})
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	if err := client.Run(context.Background()); err != nil {
		log.Print(err)
	}
	// Output:
	// accepted: true session kept: false
	// connection lost: false
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

// Run raises the panic of a callback again. Its value holds the stack of the callback.
func ExamplePanicError() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { panic("no such account") })
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	defer func() {
		err, _ := recover().(error)
		var failure *mosquitto.PanicError
		if errors.As(err, &failure) {
			fmt.Println("panic:", failure.Value, "stack:", len(failure.Stack) > 0)
		}
	}()
	log.Print(client.Run(context.Background()))
	// Output: panic: no such account stack: true
}

// The errors of methods unwrap to the codes of the library.
func ExampleClient_Connect_failure() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	err = client.Connect("127.0.0.1", 1, time.Minute)
	var failed *mosquitto.OpError
	switch {
	case err == nil:
		fmt.Println("connected")
	case errors.Is(err, mosquitto.ErrEAI):
		fmt.Println("unknown host")
	case errors.As(err, &failed):
		fmt.Println("failed:", failed.Op)
	}
	// Output: failed: connect
}

// SubscribeSimple receives one message, and waits at most 10 s.
func ExampleSubscribeSimple() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	publishRetained("house/state", "on")
	o := mosquitto.SimpleOptions{Host: "127.0.0.1", Port: brokerPort(), Keepalive: time.Minute, CleanSession: true}
	messages, err := mosquitto.SubscribeSimple(ctx, o, "house/state", 1, 1, true)
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(string(messages[0].Payload))
	// Output: on
}

// publishRetained publishes a retained message.
func publishRetained(topic, payload string) {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) {
		if _, err := c.Publish(topic, []byte(payload), 1, true); err != nil {
			log.Print(err)
		}
	})
	client.OnPublish(func(c *mosquitto.Client, _ int, _ mosquitto.ReasonCode, _ mosquitto.Properties) { c.Disconnect() })
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Fatal(err)
	}
	if err := client.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

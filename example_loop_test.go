package mosquitto_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// Run reconnects after every connection loss, until its context ends or Disconnect is
// called. When the context ends, Run sends DISCONNECT.
func ExampleClient_Run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.ReconnectDelaySet(time.Second, time.Minute, true); err != nil {
		log.Fatal(err)
	}
	client.OnConnect(func(_ *mosquitto.Client, ack mosquitto.Connack) {
		fmt.Println("accepted:", ack.Err() == nil)
		cancel() // for example at the end of the program
	})
	client.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) {
		log.Print("disconnected: ", d.Err)
	})
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err) // Run retries
	}
	err = client.Run(ctx)
	var refused mosquitto.ConnackError
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Println("the context has ended")
	case errors.As(err, &refused):
		fmt.Println("the broker has refused the connection:", refused.Code)
	case err != nil:
		log.Print(err)
	}
	// Output:
	// accepted: true
	// the context has ended
}

// RunOnce serves one connection, so a program can select the server of each connection.
func ExampleClient_RunOnce() {
	ctx := context.Background()
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) { c.Disconnect() })
	const closedPort = 1
	for server, port := range []int{closedPort, brokerPort()} {
		err := client.ConnectAsyncContext(ctx, "127.0.0.1", port, time.Minute, "", nil)
		if err == nil {
			err = client.RunOnce(ctx) // nil after Disconnect
		}
		fmt.Println("server", server, "accepted the client:", err == nil)
	}
	// Output:
	// server 0 accepted the client: false
	// server 1 accepted the client: true
}

// Loop is one iteration: the program decides when to run the next one. LoopForever
// repeats it.
func ExampleClient_Loop() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		fmt.Println("accepted:", ack.Err() == nil)
		c.Disconnect()
	})
	done := false
	client.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) {
		fmt.Println("disconnected:", d.Err) // nil: the client called Disconnect
		done = true
	})
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	for !done {
		if err := client.Loop(time.Second); err != nil && !done {
			log.Print(err) // the connection is lost
			return
		}
	}
	// Output:
	// accepted: true
	// disconnected: <nil>
}

// The library's own loop runs in the calling goroutine until Disconnect.
func ExampleClient_LoopForever() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		fmt.Println("accepted:", ack.Err() == nil)
		c.Disconnect() // without it the loop would retry for ever if an MQTT 3 broker refuses
	})
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	fmt.Println(client.LoopForever(-1))
	// Output:
	// accepted: true
	// <nil>
}

// The library's own thread reads and writes.
func ExampleClient_LoopStart() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	published := make(chan int, 1)
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		if ack.Err() != nil {
			return
		}
		if _, err := c.Publish("my/topic", []byte("hello world"), 1, false); err != nil {
			log.Print(err)
		}
	})
	client.OnPublish(func(_ *mosquitto.Client, mid int, _ mosquitto.ReasonCode, _ mosquitto.Properties) {
		select {
		case published <- mid:
		default: // after a reconnect
		}
	})
	if err := client.LoopStart(); err != nil {
		log.Print(err)
		return
	}
	defer client.LoopStop(false)
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	fmt.Println("published", <-published)
	client.Disconnect()
	// Output: published 1
}

// Post runs a function on the goroutine of Run, between two packets.
func ExampleClient_Post() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	connected := make(chan bool, 1)
	client.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { connected <- true })
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- client.Run(context.Background()) }()
	<-connected
	err = client.Post(func() {
		fmt.Println("between two packets")
		client.Disconnect()
	})
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(<-ended)
	// Output:
	// between two packets
	// <nil>
}

// A program whose queue is full pauses reading. The broker then holds its messages back.
func ExampleClient_PauseReading() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	queue := make(chan mosquitto.Message, 2)
	client.OnConnect(func(c *mosquitto.Client, _ mosquitto.Connack) {
		if _, err := c.Subscribe("numbers", 0); err != nil {
			log.Print(err)
		}
	})
	client.OnSubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		for i := range 5 {
			if _, err := c.Publish("numbers", fmt.Append(nil, i), 0, false); err != nil {
				log.Print(err)
			}
		}
	})
	client.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		queue <- m
		if len(queue) < cap(queue) {
			return
		}
		if err := c.PauseReading(); err != nil {
			log.Print(err)
		}
	})
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- client.Run(context.Background()) }()
	for range 5 {
		m := <-queue
		fmt.Println(string(m.Payload))
		if err := client.ResumeReading(); err != nil {
			log.Print(err)
		}
	}
	client.Disconnect()
	<-ended
	// Output:
	// 0
	// 1
	// 2
	// 3
	// 4
}

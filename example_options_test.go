package mosquitto_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// SetTLS sets all TLS settings: here the trusted authority.
func ExampleClient_SetTLS() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.SetTLS(mosquitto.TLS{CAFile: caFile()}); err != nil {
		log.Print(err)
		return
	}
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		fmt.Println("accepted:", ack.Err() == nil)
		c.Disconnect()
	})
	if err := client.Connect("localhost", tlsPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	if err := client.Run(context.Background()); err != nil {
		log.Print(err)
	}
	// Output: accepted: true
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

// With port 0 the host is the path of a unix socket.
func ExampleClient_Connect_unixSocket() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		fmt.Println("accepted:", ack.Err() == nil)
		c.Disconnect()
	})
	if err := client.Connect(socketPath(), 0, time.Minute); err != nil {
		log.Print(err)
		return
	}
	if err := client.Run(context.Background()); err != nil {
		log.Print(err)
	}
	// Output: accepted: true
}

// A SOCKS5 proxy resolves the name of the broker.
func ExampleClient_Socks5Set() {
	client, err := mosquitto.New("test-client", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.Socks5Set("proxy.example", 1080, "user", os.Getenv("PROXY_PASSWORD")); err != nil {
		log.Print(err)
		return
	}
	if err := client.Connect("broker.example", 1883, time.Minute); err != nil {
		log.Print(err)
	}
}

// WebSockets need libmosquitto 2.1.
func ExampleClient_IntOption() {
	client, err := mosquitto.New("test-client", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	err = client.IntOption(mosquitto.OptTransport, mosquitto.TransportWebsockets)
	if errors.Is(err, mosquitto.ErrNotSupported) {
		log.Print("the installed libmosquitto has no WebSockets")
		return
	}
	if err := client.Connect("broker.example", 80, time.Minute); err != nil {
		log.Print(err)
	}
}

// The will is published when the connection ends without a DISCONNECT.
func ExampleClient_WillSet() {
	client, err := mosquitto.New("till-1", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(client.WillSet("tills/1/online", []byte("no"), 1, true))
	// Output: <nil>
}

// The properties of CONNECT need MQTT 5. CONNACK has the client id that the broker has
// chosen.
func ExampleClient_ConnectBindV5() {
	client, err := mosquitto.New("", true, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.IntOption(mosquitto.OptProtocolVersion, mosquitto.ProtocolV5); err != nil {
		log.Fatal(err)
	}
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		_, assigned := ack.Properties.Text(mosquitto.PropAssignedClientIdentifier)
		fmt.Println("the broker has chosen the client id:", assigned)
		c.Disconnect()
	})
	var props mosquitto.Properties
	if err := props.AddInt32(mosquitto.PropSessionExpiryInterval, 3600); err != nil {
		log.Fatal(err)
	}
	if err := client.ConnectBindV5("127.0.0.1", brokerPort(), time.Minute, "", props); err != nil {
		log.Print(err)
		return
	}
	if err := client.Run(context.Background()); err != nil {
		log.Print(err)
	}
	// Output: the broker has chosen the client id: true
}

// A request with MQTT 5 names the topic for the response. Correlation data identifies the
// response. Here the client responds to its own request.
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
		if ack.Err() != nil {
			return // Run returns the refusal
		}
		if _, err := c.SubscribeMultiple([]string{"square", "responses/client-1"}, 1, 0, nil); err != nil {
			log.Print(err)
		}
	})
	client.OnSubscribe(func(c *mosquitto.Client, _ int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		request := mosquitto.Properties{
			{ID: mosquitto.PropResponseTopic, Text: "responses/client-1"},
			{ID: mosquitto.PropCorrelationData, Data: []byte("42")},
		}
		if _, err := c.PublishV5("square", []byte("7"), 1, false, request); err != nil {
			log.Print(err)
		}
	})
	client.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		id, _ := m.Properties.Binary(mosquitto.PropCorrelationData)
		if topic, ok := m.Properties.Text(mosquitto.PropResponseTopic); ok { // a request
			response := mosquitto.Properties{{ID: mosquitto.PropCorrelationData, Data: id}}
			if _, err := c.PublishV5(topic, []byte("49"), m.QoS, false, response); err != nil {
				log.Print(err)
			}
			return
		}
		fmt.Printf("response to %s: %s\n", id, m.Payload)
		c.Disconnect()
	})
	if err := client.Connect("127.0.0.1", brokerPort(), time.Minute); err != nil {
		log.Print(err)
		return
	}
	if err := client.Run(context.Background()); err != nil {
		log.Print(err)
	}
	// Output: response to 42: 49
}

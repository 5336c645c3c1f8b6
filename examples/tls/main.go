// Tls publishes a message over TLS. It trusts the CA of -cafile or, by default, the
// system's certificates. With -cert and -key it authenticates with a client certificate.
// The environment variable KEY_PASSWORD has the password of an encrypted key.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

func main() {
	log.SetFlags(0)
	host := flag.String("host", "test.mosquitto.org", "host of the broker; its certificate must have this name")
	port := flag.Int("port", 8886, "port of the broker")
	cafile := flag.String("cafile", "", "PEM `file` of the CA to trust (default: the system's certificates)")
	cert := flag.String("cert", "", "PEM `file` of a client certificate")
	key := flag.String("key", "", "PEM `file` of the private key for -cert")
	flag.Parse()

	client, err := mosquitto.New("", true, nil)
	check(err)
	defer client.Close()
	if *cafile == "" {
		check(client.IntOption(mosquitto.OptTLSUseOSCerts, 1))
	} else {
		check(client.TLSSet(*cafile, "", *cert, *key, func(*mosquitto.Client) (string, error) {
			password, ok := os.LookupEnv("KEY_PASSWORD")
			if !ok {
				return "", errors.New("KEY_PASSWORD is not set")
			}
			return password, nil
		}))
	}
	// Only the library's log has the reason for a failed handshake.
	client.OnLog(func(_ *mosquitto.Client, _ mosquitto.LogLevel, text string) {
		log.Print("OnLog: ", text)
	}, mosquitto.LogErr, mosquitto.LogWarning)
	var refused error
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		if refused = ack.Err(); refused != nil {
			_ = c.Disconnect()
			return
		}
		fmt.Println("OnConnect: accepted, over TLS:", c.SSLGet() != nil)
		_, refused = c.Publish("example/tls", []byte("hello world"), 1, false)
	})
	client.OnPublish(func(c *mosquitto.Client, _ int, _ mosquitto.ReasonCode, _ mosquitto.Properties) {
		fmt.Println("OnPublish: acknowledged")
		_ = c.Disconnect()
	})
	client.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) {
		fmt.Println("OnDisconnect: code", d.Code)
	})
	check(client.Connect(*host, *port, time.Minute)) // the loop may complete the handshake
	err = client.LoopForever(-1)
	check(refused)
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal("tls: ", err)
	}
}

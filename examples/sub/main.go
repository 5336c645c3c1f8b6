// Sub subscribes to one or more topics and prints the messages, like mosquitto_sub.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

var protocols = map[string]int{"31": mosquitto.ProtocolV31, "311": mosquitto.ProtocolV311, "5": mosquitto.ProtocolV5}

func main() {
	log.SetFlags(0)
	log.SetPrefix("sub: ")
	var topics []string
	flag.Func("t", "`topic` filter to subscribe to; may be repeated", func(t string) error { topics = append(topics, t); return nil })
	qos := flag.Uint("q", 0, "QoS of the subscriptions")
	count := flag.Uint("C", 0, "exit after this `number` of messages (0: no limit)")
	verbose := flag.Bool("v", false, "print the topic before each message")
	host := flag.String("h", "localhost", "`host` of the broker")
	port := flag.Int("p", 0, "`port` of the broker (default 1883, with TLS 8883)")
	id := flag.String("i", "", "client `id` (default: chosen by the library or the broker)")
	keep := flag.Bool("c", false, "no clean session: the broker keeps the session of this client id")
	keepalive := flag.Int("k", 60, "keepalive in `seconds`")
	version := flag.String("V", "mqttv311", "`protocol`: mqttv31, mqttv311 or mqttv5")
	username := flag.String("u", "", "`username`")
	password := flag.String("P", "", "`password`")
	cafile := flag.String("cafile", "", "use TLS with this `file` of trusted CA certificates")
	capath := flag.String("capath", "", "use TLS with this `directory` of trusted CA certificates")
	cert := flag.String("cert", "", "`file` of a client certificate")
	key := flag.String("key", "", "`file` of the private key for -cert")
	insecure := flag.Bool("insecure", false, "do not verify the broker's host name")
	psk := flag.String("psk", "", "use TLS with this pre-shared key in `hex`")
	identity := flag.String("psk-identity", "", "`identity` of the pre-shared key")
	willTopic := flag.String("will-topic", "", "`topic` of the will")
	willPayload := flag.String("will-payload", "", "`text` of the will")
	willQoS := flag.Uint("will-qos", 0, "QoS of the will")
	willRetain := flag.Bool("will-retain", false, "retain the will")
	debug := flag.Bool("d", false, "print the library's log")
	flag.Parse()
	protocol, known := protocols[strings.TrimPrefix(*version, "mqttv")]
	if len(topics) == 0 || !known || flag.NArg() > 0 {
		log.Print("-t is required; -V must be a known protocol; there must be no other arguments")
		flag.Usage()
		os.Exit(2)
	}

	client, err := mosquitto.New(*id, !*keep, nil)
	check(err)
	defer client.Close()
	check(client.IntOption(mosquitto.OptProtocolVersion, protocol))
	check(client.UsernamePwSet(*username, *password))
	tls := *cafile+*capath+*cert+*key != ""
	if tls {
		check(client.TLSSet(*cafile, *capath, *cert, *key, nil))
		check(client.TLSInsecureSet(*insecure))
	}
	if *psk != "" {
		check(client.TLSPSKSet(*psk, *identity, ""))
	}
	if *willTopic != "" {
		check(client.WillSet(*willTopic, []byte(*willPayload), mosquitto.QoS(min(*willQoS, 3)), *willRetain))
	}
	if *debug {
		client.OnLog(func(_ *mosquitto.Client, level mosquitto.LogLevel, text string) { log.Print(level, ": ", text) })
	}

	var failed error // the error for which a callback ended the loop
	disconnect := func(c *mosquitto.Client, err error) {
		if failed == nil {
			failed = err
		}
		_ = c.Disconnect() // also ends the loop if there is no connection
	}
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		err := ack.Err()
		if err == nil {
			_, err = c.SubscribeMultiple(topics, mosquitto.QoS(min(*qos, 3)), 0, nil)
		}
		if err != nil {
			disconnect(c, err)
		}
	})
	client.OnSubscribe(func(c *mosquitto.Client, _ int, granted []mosquitto.ReasonCode, _ mosquitto.Properties) {
		for i, code := range granted {
			if code.Failed() {
				disconnect(c, fmt.Errorf("%s: %w", topics[i], code.Err()))
			}
		}
	})
	received := uint(0)
	client.OnMessage(func(c *mosquitto.Client, m mosquitto.Message) {
		if received++; *count > 0 && received > *count { // it arrived after Disconnect
			return
		}
		if *verbose {
			fmt.Print(m.Topic, " ")
		}
		fmt.Printf("%s\n", m.Payload)
		if received == *count {
			disconnect(c, nil)
		}
	})

	if *port == 0 {
		*port = 1883
		if tls || *psk != "" {
			*port = 8883
		}
	}
	var props mosquitto.Properties
	if protocol == mosquitto.ProtocolV5 && *keep { // with MQTT 5 the broker keeps a session for the session expiry interval
		check(props.AddInt32(mosquitto.PropSessionExpiryInterval, math.MaxUint32))
	}
	check(client.ConnectBindV5(*host, *port, time.Duration(*keepalive)*time.Second, "", props))
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(interrupted, stop) // a second signal ends the program at once
	err = client.Run(interrupted)
	check(failed)
	if !errors.Is(err, context.Canceled) {
		check(err)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

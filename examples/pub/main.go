// Pub publishes a message, or each line of standard input, like mosquitto_pub. It exits
// when the broker has acknowledged all messages.
package main

import (
	"bufio"
	"errors"
	"flag"
	"iter"
	"log"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// window is the maximum number of unacknowledged messages.
const window = 100

var protocols = map[string]int{"31": mosquitto.ProtocolV31, "311": mosquitto.ProtocolV311, "5": mosquitto.ProtocolV5}

func main() {
	log.SetFlags(0)
	log.SetPrefix("pub: ")
	topic := flag.String("t", "", "`topic` to publish to")
	var payloads iter.Seq[[]byte]
	one := func(payload []byte) { payloads = slices.Values([][]byte{payload}) }
	flag.Func("m", "`text` of the message", func(text string) error { one([]byte(text)); return nil })
	flag.BoolFunc("n", "publish an empty message", func(string) error { one(nil); return nil })
	flag.BoolFunc("l", "publish each line of standard input as a message", func(string) error { payloads = lines; return nil })
	qos := flag.Uint("q", 0, "QoS of the messages")
	retain := flag.Bool("r", false, "retain the messages")
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
	if *topic == "" || payloads == nil || !known || flag.NArg() > 0 {
		log.Print("-t and -m, -n or -l are required; -V must be a known protocol; there must be no other arguments")
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

	accepted, acknowledged := make(chan struct{}, 1), make(chan struct{}, window)
	ended := make(chan error, 10)
	client.OnConnect(func(_ *mosquitto.Client, ack mosquitto.Connack) {
		if ack.Err() != nil {
			ended <- ack.Err()
			return
		}
		accepted <- struct{}{}
	})
	client.OnPublish(func(_ *mosquitto.Client, _ int, code mosquitto.ReasonCode, _ mosquitto.Properties) {
		if code.Failed() {
			ended <- code.Err()
			return
		}
		acknowledged <- struct{}{}
	})
	client.OnDisconnect(func(c *mosquitto.Client, d mosquitto.Disconnection) {
		ended <- d.Err
		_ = c.Disconnect() // do not reconnect, because QoS 0 messages would be lost without an error
	})
	await := func(event <-chan struct{}) {
		select {
		case <-event:
		case err := <-ended:
			check(err)
			check(errors.New("the broker has closed the connection"))
		}
	}

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
	go func() { ended <- client.LoopForever(-1) }()
	await(accepted)
	pending := 0
	for payload := range payloads {
		if pending == window {
			await(acknowledged)
			pending--
		}
		_, err := client.Publish(*topic, payload, mosquitto.QoS(min(*qos, 3)), *retain)
		check(err)
		pending++
	}
	for ; pending > 0; pending-- {
		await(acknowledged)
	}
	_ = client.Disconnect() // the loop reports the result, possibly before Disconnect returns
	check(<-ended)
}

func lines(yield func([]byte) bool) {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, mosquitto.MaxPayload)
	for input.Scan() && yield(input.Bytes()) {
	}
	check(input.Err())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

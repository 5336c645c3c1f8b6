// Pub publishes a message, or each line of its input, as mosquitto_pub does,
// and leaves when the broker has acknowledged them all.
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

// window is how many messages may wait for their acknowledgement.
const window = 100

var protocols = map[string]int{"31": mosquitto.ProtocolV31, "311": mosquitto.ProtocolV311, "5": mosquitto.ProtocolV5}

func main() {
	log.SetFlags(0)
	log.SetPrefix("pub: ")
	topic := flag.String("t", "", "`topic` to publish on")
	var payloads iter.Seq[[]byte]
	one := func(payload []byte) { payloads = slices.Values([][]byte{payload}) }
	flag.Func("m", "`text` of the message", func(text string) error { one([]byte(text)); return nil })
	flag.BoolFunc("n", "a message of no bytes", func(string) error { one(nil); return nil })
	flag.BoolFunc("l", "a message for each line of the input", func(string) error { payloads = lines; return nil })
	qos := flag.Uint("q", 0, "QoS of the messages")
	retain := flag.Bool("r", false, "retain the messages")
	host := flag.String("h", "localhost", "`host` of the broker")
	port := flag.Int("p", 0, "its port (default 1883, with TLS 8883)")
	id := flag.String("i", "", "client `id` (default: the library or the broker chooses)")
	keep := flag.Bool("c", false, "keep the session of this id: no clean session")
	keepalive := flag.Int("k", 60, "keepalive in `seconds`")
	version := flag.String("V", "mqttv311", "`protocol`: mqttv31, mqttv311 or mqttv5")
	username := flag.String("u", "", "`username`")
	password := flag.String("P", "", "`password`")
	cafile := flag.String("cafile", "", "`file` of trusted certificates: use TLS")
	capath := flag.String("capath", "", "`directory` of trusted certificates: use TLS")
	cert := flag.String("cert", "", "`file` of the client's certificate")
	key := flag.String("key", "", "`file` of its key")
	insecure := flag.Bool("insecure", false, "do not check the broker's host name")
	psk := flag.String("psk", "", "pre-shared key in `hex`: use TLS with it")
	identity := flag.String("psk-identity", "", "`name` of the pre-shared key")
	willTopic := flag.String("will-topic", "", "`topic` of the will")
	willPayload := flag.String("will-payload", "", "`text` of the will")
	willQoS := flag.Uint("will-qos", 0, "QoS of the will")
	willRetain := flag.Bool("will-retain", false, "retain the will")
	debug := flag.Bool("d", false, "print the library's log")
	flag.Parse()
	protocol, known := protocols[strings.TrimPrefix(*version, "mqttv")]
	if *topic == "" || payloads == nil || !known || flag.NArg() > 0 {
		log.Print("a topic (-t), one of -m, -n and -l, and a known protocol (-V) are needed, and nothing but flags")
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
		_ = c.Disconnect() // no reconnecting: QoS 0 messages would be lost in silence
	})
	await := func(event <-chan struct{}) {
		select {
		case <-event:
		case err := <-ended:
			check(err)
			check(errors.New("the broker has ended the connection"))
		}
	}

	if *port == 0 {
		*port = 1883
		if tls || *psk != "" {
			*port = 8883
		}
	}
	var props mosquitto.Properties
	if protocol == mosquitto.ProtocolV5 && *keep { // MQTT 5 keeps a session only as long as it is told to
		check(props.AddInt32(mosquitto.PropSessionExpiryInterval, math.MaxUint32))
	}
	check(client.ConnectBindV5(*host, *port, time.Duration(*keepalive)*time.Second, "", props))
	go func() { ended <- client.LoopForever(-1) }()
	await(accepted)
	waiting := 0
	for payload := range payloads {
		if waiting == window {
			await(acknowledged)
			waiting--
		}
		_, err := client.Publish(*topic, payload, mosquitto.QoS(min(*qos, 3)), *retain)
		check(err)
		waiting++
	}
	for ; waiting > 0; waiting-- {
		await(acknowledged)
	}
	_ = client.Disconnect() // the loop says how it went, and may be done before this returns
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

// Tour shows all steps of a client: connect, subscribe, publish, receive, unsubscribe and
// disconnect. It prints each call and the arguments of each callback.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

var broker *exec.Cmd // the private broker, or nil

func main() {
	log.SetFlags(0)
	host := flag.String("host", "", "host of a broker (default: start a private broker)")
	port := flag.Int("port", 1883, "port of the broker")
	timeout := flag.Duration("timeout", 20*time.Second, "maximum `duration` of the tour")
	flag.Parse()
	if *host == "" {
		*host, *port = "127.0.0.1", startBroker()
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			check(fmt.Errorf("ended by a signal: %v", s))
		case <-time.After(*timeout):
			check(fmt.Errorf("timeout after %v", *timeout))
		}
	}()
	tour(*host, *port)
	stopBroker()
}

func tour(host string, port int) {
	id := fmt.Sprint("tour-", os.Getpid())
	topic := "my/topic/" + id
	client, err := mosquitto.New(id, true, nil)
	check(err)
	defer client.Close()

	events := make(chan string, 100)
	report := func(name string, err error, format string, args ...any) {
		fmt.Printf(name+": "+format+"\n", args...)
		check(err)
		events <- name
	}
	client.OnConnect(func(_ *mosquitto.Client, ack mosquitto.Connack) {
		report("OnConnect", ack.Err(), "%v", ack.Code)
	})
	client.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) {
		report("OnDisconnect", d.Err, "code %d", d.Code)
	})
	client.OnPublish(func(_ *mosquitto.Client, mid int, code mosquitto.ReasonCode, _ mosquitto.Properties) {
		report("OnPublish", code.Err(), "mid %d", mid)
	})
	client.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		report("OnMessage", nil, "mid %d, %s, QoS %d, retained %t: %s", m.MID, m.Topic, m.QoS, m.Retain, m.Payload)
	})
	client.OnSubscribe(func(_ *mosquitto.Client, mid int, granted []mosquitto.ReasonCode, _ mosquitto.Properties) {
		report("OnSubscribe", granted[0].Err(), "mid %d, granted QoS %d", mid, granted[0])
	})
	client.OnUnsubscribe(func(_ *mosquitto.Client, mid int, _ []mosquitto.ReasonCode, _ mosquitto.Properties) {
		report("OnUnsubscribe", nil, "mid %d", mid)
	})
	await := func(names ...string) { // waits for these callbacks, in any order
		for len(names) > 0 {
			event := <-events
			names = slices.DeleteFunc(names, func(name string) bool { return name == event })
		}
	}

	fmt.Printf("Connect to %s, port %d\n", host, port)
	check(client.Connect(host, port, time.Minute))
	check(client.LoopStart())
	await("OnConnect")
	fmt.Println("Subscribe to", topic)
	queued(client.Subscribe(topic, 2))
	await("OnSubscribe")
	for qos := range mosquitto.QoS(3) {
		fmt.Println("Publish with QoS", qos)
		queued(client.Publish(topic, []byte("hello world"), qos, false))
		await("OnPublish", "OnMessage")
	}
	fmt.Println("Unsubscribe from", topic)
	queued(client.Unsubscribe(topic))
	await("OnUnsubscribe")
	fmt.Println("Disconnect")
	_ = client.Disconnect() // OnDisconnect reports the result, possibly before Disconnect returns
	await("OnDisconnect")
	check(client.LoopStop(false))
}

// startBroker starts mosquitto on a free loopback port.
func startBroker() (port int) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	port = free.Addr().(*net.TCPAddr).Port
	free.Close()
	check(os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"))
	broker = exec.Command("mosquitto", "-p", fmt.Sprint(port))
	if err := broker.Start(); err != nil {
		check(fmt.Errorf("start mosquitto: %w (install it, or name a broker with -host)", err))
	}
	for range 500 {
		if probe, err := net.Dial("tcp", free.Addr().String()); err == nil {
			probe.Close()
			return port
		}
		time.Sleep(10 * time.Millisecond)
	}
	check(fmt.Errorf("the broker is not listening on port %d after 5 s", port))
	return 0
}

func stopBroker() {
	if broker != nil && broker.Process != nil {
		_ = broker.Process.Kill()
		_ = broker.Wait()
	}
}

// check ends the program and the private broker if err is not nil.
func check(err error) {
	if err != nil {
		stopBroker()
		log.Fatal("tour: ", err)
	}
}

// queued checks the error of a call that returns a packet id. A nil error means that the
// packet is queued; a callback reports the acknowledgement.
func queued(_ int, err error) { check(err) }

// Ownloop runs the client in its own event loop with poll(2), in one goroutine. It
// publishes what it reads from standard input, and prints the messages that it receives.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"golang.org/x/sys/unix"
)

const readable, writable = unix.POLLIN, unix.POLLOUT

func main() {
	host := flag.String("host", "127.0.0.1", "host of the broker")
	port := flag.Int("port", 1883, "port of the broker")
	flag.Parse()
	topic := fmt.Sprint("example/ownloop/", os.Getpid())
	client, err := mosquitto.New("", true, nil)
	check(err)
	defer client.Close()

	fds := []unix.PollFd{{Events: readable}, {Fd: -1, Events: readable}} // poll ignores a negative file descriptor
	network, input := &fds[0], &fds[1]
	inputEnded, disconnecting := false, false
	pending := 0 // acknowledgements and messages that have not arrived
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		check(ack.Err())
		queued(c.Subscribe(topic, 1))
	})
	client.OnSubscribe(func(_ *mosquitto.Client, _ int, granted []mosquitto.ReasonCode, _ mosquitto.Properties) {
		check(granted[0].Err())
		input.Fd = int32(os.Stdin.Fd())
	})
	client.OnPublish(func(_ *mosquitto.Client, _ int, code mosquitto.ReasonCode, _ mosquitto.Properties) {
		check(code.Err())
		pending--
	})
	client.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		_, _ = os.Stdout.Write(m.Payload)
		pending--
	})
	client.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) { check(d.Err) })
	check(client.Connect(*host, *port, time.Minute))

	for client.Socket() != -1 {
		check(client.LoopMisc()) // at least once a second
		network.Fd, network.Events = int32(client.Socket()), readable
		if client.WantWrite() && !disconnecting { // after Disconnect, 2.1 always returns true
			network.Events |= writable
		}
		if ready := poll(fds); ready == 0 && disconnecting {
			break // the broker does not close the connection
		}
		if network.Revents&^writable != 0 {
			check(client.LoopRead())
		}
		if network.Revents&writable != 0 {
			check(client.LoopWrite())
		}
		if input.Revents != 0 {
			text := make([]byte, 4096)
			n, err := os.Stdin.Read(text)
			if inputEnded = err != nil; inputEnded {
				input.Fd = -1
			} else {
				queued(client.Publish(topic, text[:n], 1, false))
				pending += 2
			}
		}
		if inputEnded && pending == 0 && !disconnecting {
			disconnecting = true
			check(client.Disconnect())
			check(client.LoopWrite())
		}
	}
}

// poll waits for at most a second.
func poll(fds []unix.PollFd) (ready int) {
	fds[0].Revents, fds[1].Revents = 0, 0 // poll does not set them if a signal interrupts it
	ready, err := unix.Poll(fds, 1000)
	if !errors.Is(err, unix.EINTR) {
		check(err)
	}
	return ready
}

func check(err error) {
	if err != nil {
		log.Fatal("ownloop: ", err)
	}
}

// queued checks the error of a call that returns a packet id.
func queued(_ int, err error) { check(err) }

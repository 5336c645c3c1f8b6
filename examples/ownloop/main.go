//go:build linux

// Ownloop has one loop for everything, around poll(2): what it reads from its
// input it publishes, what it receives it prints, in one goroutine.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/mosquitto-go/mosquitto"
)

const readable, writable = 1, 4 // POLLIN, POLLOUT

type pollFD struct {
	fd              int32 // not watched when negative
	events, revents int16
}

func main() {
	host := flag.String("host", "127.0.0.1", "the broker")
	port := flag.Int("port", 1883, "its port")
	flag.Parse()
	topic := fmt.Sprint("example/ownloop/", os.Getpid())
	client, err := mosquitto.New("", true, nil)
	check(err)
	defer client.Close()

	fds := [2]pollFD{{events: readable}, {fd: -1, events: readable}}
	network, input := &fds[0], &fds[1]
	ended, leaving := false, false // the input, we
	underWay := 0                  // acknowledgements and messages that have not come
	client.OnConnect(func(c *mosquitto.Client, ack mosquitto.Connack) {
		check(ack.Err())
		queued(c.Subscribe(topic, 1))
	})
	client.OnSubscribe(func(_ *mosquitto.Client, _ int, granted []mosquitto.ReasonCode, _ mosquitto.Properties) {
		check(granted[0].Err())
		input.fd = int32(os.Stdin.Fd())
	})
	client.OnPublish(func(_ *mosquitto.Client, _ int, code mosquitto.ReasonCode, _ mosquitto.Properties) {
		check(code.Err())
		underWay--
	})
	client.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) {
		_, _ = os.Stdout.Write(m.Payload)
		underWay--
	})
	client.OnDisconnect(func(_ *mosquitto.Client, d mosquitto.Disconnection) { check(d.Err) })
	check(client.Connect(*host, *port, time.Minute))

	for client.Socket() != -1 {
		check(client.LoopMisc()) // once a second at least
		network.fd, network.events = int32(client.Socket()), readable
		if client.WantWrite() && !leaving { // 2.1 wants to until the broker has closed
			network.events |= writable
		}
		if ready := poll(&fds); ready == 0 && leaving {
			break // the broker does not close
		}
		if network.revents&^writable != 0 {
			check(client.LoopRead())
		}
		if network.revents&writable != 0 {
			check(client.LoopWrite())
		}
		if input.revents != 0 {
			text := make([]byte, 4096)
			n, err := os.Stdin.Read(text)
			if ended = err != nil; ended {
				input.fd = -1
			} else {
				queued(client.Publish(topic, text[:n], 1, false))
				underWay += 2
			}
		}
		if ended && underWay == 0 && !leaving {
			leaving = true
			check(client.Disconnect())
			check(client.LoopWrite())
		}
	}
}

// poll waits for up to a second.
func poll(fds *[2]pollFD) (ready uintptr) {
	fds[0].revents, fds[1].revents = 0, 0 // a signal leaves them as they are
	second := syscall.Timespec{Sec: 1}
	ready, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(fds)), 2, uintptr(unsafe.Pointer(&second)), 0, 0, 0)
	if errno != 0 && errno != syscall.EINTR {
		check(errno)
	}
	return ready
}

func check(err error) {
	if err != nil {
		log.Fatal("ownloop: ", err)
	}
}

func queued(_ int, err error) { check(err) }

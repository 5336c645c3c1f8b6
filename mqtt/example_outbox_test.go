//go:build cgo

package mqtt_test

import (
	"context"
	"fmt"
	"log"
	"sync"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

// shelf is an outbox in memory. Package mqtt/boltoutbox has an outbox that writes to a disk,
// so that its messages survive the process.
type shelf struct {
	mu       sync.Mutex
	last     uint64
	messages map[uint64]*mqtt.Publication
}

func (s *shelf) Put(p *mqtt.Publication) (key uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := *p // Put must copy the message: the caller may change it after Put has returned
	own.Payload = append([]byte(nil), p.Payload...)
	own.Properties = p.Properties.Clone()
	s.last++
	s.messages[s.last] = &own
	return s.last, nil
}

func (s *shelf) Delete(key uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.messages, key)
}

func (s *shelf) Load(after uint64, f func(key uint64, p *mqtt.Publication) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := after + 1; key <= s.last; key++ {
		if p := s.messages[key]; p != nil && !f(key, p) {
			break
		}
	}
	return nil
}

// A client could not deliver a message before it was closed. The next client with the same
// outbox delivers the message.
func ExampleOutbox() {
	ctx := context.Background()
	outbox := &shelf{messages: map[uint64]*mqtt.Publication{}}

	offline, err := mqtt.Dial(ctx, []string{"mqtt://127.0.0.1:1"}, mqtt.WithBackgroundConnect(), mqtt.WithOutbox(outbox))
	if err != nil {
		log.Fatal(err)
	}
	offline.PublishAsync(ctx, "meter/1", []byte("1234"), mqtt.WithRetain(true))
	now, cancel := context.WithCancel(ctx)
	cancel() // Close must not wait
	fmt.Println(offline.Close(now))

	client, err := mqtt.Dial(ctx, servers(), mqtt.WithOutbox(outbox))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
	for m, err := range client.Messages(ctx, "meter/1", 1) {
		if err != nil {
			log.Print(err)
			return
		}
		fmt.Println(m.Topic, string(m.Payload))
		break
	}
	// Output:
	// mqtt: closed with 1 messages not acknowledged: "meter/1"
	// meter/1 1234
}

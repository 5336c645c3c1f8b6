package mqtt

import (
	"fmt"
	"strings"
	"sync"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/paho/packets"
)

// outbox makes a Store an outbox of package mosquitto/mqtt. The keys of an outbox only rise,
// and the keys of a store repeat. outbox maps the former to the latter.
type outbox struct {
	store Store

	mu    sync.Mutex
	last  uint64            // the last key of the outbox
	keys  map[uint64]uint16 // from a key of the outbox to the number in the store's key
	used  map[uint16]bool   // the numbers in keys
	next  uint16            // the number to try next
	found []uint64          // keys of the messages that the store had when it was opened, in order
}

const outgoing = "o."

// storeKey returns a key of the store.
func storeKey(number uint16) string { return fmt.Sprint(outgoing, number) }

// openStore opens a store for a session that is not clean. It returns an error if the
// store contains packets that the client cannot send. pending are the SUBSCRIBE and
// UNSUBSCRIBE packets, which it removes.
func openStore(store Store) (o *outbox, pending []packets.ControlPacket, err error) {
	o = &outbox{store: store, keys: map[uint64]uint16{}, used: map[uint16]bool{}}
	for _, key := range store.All() {
		var number uint16
		if _, err := fmt.Sscanf(key, outgoing+"%d", &number); err != nil || storeKey(number) != key {
			if strings.HasPrefix(key, "i.") {
				return nil, nil, optionError("SetStore", "the store contains the received message %q, which cannot be delivered", key)
			}
			continue
		}
		switch packet := store.Get(key).(type) {
		case nil:
		case *packets.PublishPacket:
			o.found = append(o.found, o.add(number))
		case *packets.SubscribePacket, *packets.UnsubscribePacket:
			pending = append(pending, packet)
			store.Del(key)
		default:
			return nil, nil, optionError("SetStore", "the store contains the packet %q, which cannot be sent: %v", key, packet)
		}
	}
	return o, pending, nil
}

// add gives a stored message a key.
func (o *outbox) add(number uint16) (key uint64) {
	o.last++
	o.keys[o.last], o.used[number] = number, true
	return o.last
}

// Put stores a message.
func (o *outbox) Put(p *mqtt.Publication) (key uint64, err error) {
	key, number, err := o.reserve()
	if err != nil {
		return 0, err
	}
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.Qos, m.Retain, m.TopicName, m.MessageID = byte(p.QoS), p.Retain, p.Topic, number
	m.Payload = append([]byte(nil), p.Payload...)
	if err := o.write(storeKey(number), m); err != nil {
		o.release(key)
		return 0, err
	}
	return key, nil
}

// write puts a packet into the store.
func (o *outbox) write(key string, m packets.ControlPacket) error {
	if careful, ok := o.store.(interface {
		put(string, packets.ControlPacket) error
	}); ok {
		return careful.put(key, m)
	}
	o.store.Put(key, m)
	return nil
}

// reserve returns a new key and its number in the store.
func (o *outbox) reserve() (key uint64, number uint16, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range 1 << 16 {
		if o.next++; o.next != 0 && !o.used[o.next] {
			return o.add(o.next), o.next, nil
		}
	}
	return 0, 0, errNoPacketID
}

// release removes a key. Its number can then be used again.
func (o *outbox) release(key uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.used, o.keys[key])
	delete(o.keys, key)
}

// number returns the number of a key.
func (o *outbox) number(key uint64) (number uint16, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	number, known = o.keys[key]
	return number, known
}

// Delete removes a message from the store.
func (o *outbox) Delete(key uint64) {
	if number, known := o.number(key); known {
		o.store.Del(storeKey(number))
		o.release(key)
	}
}

// Load passes the messages of an earlier session to f.
func (o *outbox) Load(after uint64, f func(key uint64, p *mqtt.Publication) bool) error {
	for _, key := range o.found {
		if key <= after {
			continue
		}
		number, known := o.number(key)
		m, ok := o.store.Get(storeKey(number)).(*packets.PublishPacket)
		if !known || !ok {
			continue
		}
		p := &mqtt.Publication{Topic: m.TopicName, Payload: m.Payload, QoS: mqtt.QoS(m.Qos), Retain: m.Retain}
		if !f(key, p) {
			return nil
		}
	}
	return nil
}

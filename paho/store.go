package mqtt

import (
	"slices"
	"sync"

	"github.com/mosquitto-go/mosquitto/paho/packets"
)

// Store keeps outgoing messages of QoS 1 and 2 until the broker has acknowledged them.
// The client uses it without a clean session. Its methods must be safe for concurrent
// use.
//
// The key of a message is "o." and a number from 1 to 65,535. All should return the keys
// in the order in which they were put.
//
// The client does not put received messages into the store. [Client.Connect] returns an
// error for a store that contains some, or a PUBREL packet: paho.mqtt.golang has left
// them.
type Store interface {
	// Open makes the store ready for use. The client calls it before all other methods.
	Open()
	// Put stores a packet. It replaces an earlier packet with this key.
	Put(key string, message packets.ControlPacket)
	// Get returns the packet with this key, or nil.
	Get(key string) packets.ControlPacket
	// All returns the keys of all packets.
	All() []string
	// Del removes the packet with this key.
	Del(key string)
	// Close ends the use of the store.
	Close()
	// Reset removes all packets.
	Reset()
}

// entries are the packets of a store in memory, in the order in which they were put.
type entries struct {
	packets map[string]packets.ControlPacket
	keys    []string
	opened  bool
}

func newEntries() entries { return entries{packets: map[string]packets.ControlPacket{}} }

// isOpen reports whether the store is open, and logs it if not.
func (e *entries) isOpen() bool {
	if !e.opened {
		ERROR.Println(STR, "the memory store is used and not open")
	}
	return e.opened
}

func (e *entries) put(key string, message packets.ControlPacket) {
	if !e.isOpen() {
		return
	}
	if _, known := e.packets[key]; known {
		e.removeKey(key)
	}
	e.keys = append(e.keys, key)
	e.packets[key] = message
}

func (e *entries) get(key string) packets.ControlPacket {
	if !e.isOpen() {
		return nil
	}
	return e.packets[key]
}

func (e *entries) all() []string {
	if !e.isOpen() {
		return nil
	}
	return slices.Clone(e.keys)
}

func (e *entries) del(key string) {
	if !e.isOpen() {
		return
	}
	if _, known := e.packets[key]; !known {
		WARN.Println(STR, "the memory store does not contain the message", key)
		return
	}
	delete(e.packets, key)
	e.removeKey(key)
}

// removeKey removes a key. Most keys are near the beginning, because the oldest message
// is acknowledged first.
func (e *entries) removeKey(key string) {
	i := slices.Index(e.keys, key)
	e.keys = slices.Delete(e.keys, i, i+1)
}

func (e *entries) reset() {
	if e.isOpen() {
		e.packets, e.keys = map[string]packets.ControlPacket{}, nil
	}
}

// MemoryStore is a store in memory. Make it with [NewMemoryStore].
type MemoryStore struct {
	sync.RWMutex
	entries entries
}

// NewMemoryStore returns a store that is not open yet.
func NewMemoryStore() *MemoryStore { return &MemoryStore{entries: newEntries()} }

// Open makes the store usable.
func (store *MemoryStore) Open() {
	store.Lock()
	defer store.Unlock()
	store.entries.opened = true
}

// Put stores a packet. It replaces an earlier packet with the same key.
func (store *MemoryStore) Put(key string, message packets.ControlPacket) {
	store.Lock()
	defer store.Unlock()
	store.entries.put(key, message)
}

// Get returns the packet with a key, or nil.
func (store *MemoryStore) Get(key string) packets.ControlPacket {
	store.RLock()
	defer store.RUnlock()
	return store.entries.get(key)
}

// All returns the keys in the order in which they were put.
func (store *MemoryStore) All() []string {
	store.RLock()
	defer store.RUnlock()
	return store.entries.all()
}

// Del removes a packet.
func (store *MemoryStore) Del(key string) {
	store.Lock()
	defer store.Unlock()
	store.entries.del(key)
}

// Close makes the store unusable until the next Open. It keeps the packets.
func (store *MemoryStore) Close() {
	store.Lock()
	defer store.Unlock()
	store.entries.opened = false
}

// Reset removes all packets.
func (store *MemoryStore) Reset() {
	store.Lock()
	defer store.Unlock()
	store.entries.reset()
}

// OrderedMemoryStore is the same as [MemoryStore]: both keep the order of the packets.
type OrderedMemoryStore struct {
	sync.RWMutex
	entries entries
}

// NewOrderedMemoryStore returns a store that is not open yet.
func NewOrderedMemoryStore() *OrderedMemoryStore { return &OrderedMemoryStore{entries: newEntries()} }

// Open makes the store usable.
func (store *OrderedMemoryStore) Open() {
	store.Lock()
	defer store.Unlock()
	store.entries.opened = true
}

// Put stores a packet. It replaces an earlier packet with the same key.
func (store *OrderedMemoryStore) Put(key string, message packets.ControlPacket) {
	store.Lock()
	defer store.Unlock()
	store.entries.put(key, message)
}

// Get returns the packet with a key, or nil.
func (store *OrderedMemoryStore) Get(key string) packets.ControlPacket {
	store.RLock()
	defer store.RUnlock()
	return store.entries.get(key)
}

// All returns the keys in the order in which they were put.
func (store *OrderedMemoryStore) All() []string {
	store.RLock()
	defer store.RUnlock()
	return store.entries.all()
}

// Del removes a packet.
func (store *OrderedMemoryStore) Del(key string) {
	store.Lock()
	defer store.Unlock()
	store.entries.del(key)
}

// Close makes the store unusable until the next Open. It keeps the packets.
func (store *OrderedMemoryStore) Close() {
	store.Lock()
	defer store.Unlock()
	store.entries.opened = false
}

// Reset removes all packets.
func (store *OrderedMemoryStore) Reset() {
	store.Lock()
	defer store.Unlock()
	store.entries.reset()
}

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand"
)

// id identifies a message. Each publisher numbers its messages for each round and QoS.
type id struct {
	publisher, qos, round, number int
}

func (m id) String() string {
	return fmt.Sprintf("message %d of publisher %d, QoS %d, round %d", m.number, m.publisher, m.qos, m.round)
}

func (m id) topic() string { return fmt.Sprintf("soak/%d/%d", m.publisher, m.qos) }

// Sizes in bytes of a payload's parts.
const (
	header  = 16   // the id
	trailer = 4    // a checksum
	filler  = 1500 // the usual maximum; one payload in a hundred is up to 20 times longer
)

// encode returns a payload of random length that holds the id.
func encode(m id, random *rand.Rand) []byte {
	size := random.Intn(filler)
	if random.Intn(100) == 0 {
		size *= 20
	}
	b := make([]byte, 0, header+size+trailer)
	for _, n := range []int{m.publisher, m.qos, m.round, m.number} {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	for range size {
		b = append(b, byte(len(b)))
	}
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

var errChanged = errors.New("the received message differs from the published one")

// decode checks a payload and returns its id.
func decode(topic string, b []byte) (m id, err error) {
	if len(b) < header+trailer {
		return m, errChanged
	}
	content := b[:len(b)-trailer]
	if crc32.ChecksumIEEE(content) != binary.BigEndian.Uint32(b[len(content):]) {
		return m, errChanged
	}
	for i, n := range []*int{&m.publisher, &m.qos, &m.round, &m.number} {
		*n = int(binary.BigEndian.Uint32(b[4*i:]))
	}
	if m.topic() != topic {
		return m, errChanged
	}
	return m, nil
}

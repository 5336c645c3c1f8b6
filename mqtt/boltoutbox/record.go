package boltoutbox

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/mqtt"
)

// The package documentation describes the format of a record.
const (
	recordVersion = 1
	qosBits       = 3
	retainBit     = 4
	sumSize       = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns the record of a message, without the checksum.
func encode(p *mqtt.Publication) []byte {
	flags := byte(p.QoS)
	if p.Retain {
		flags |= retainBit
	}
	b := make([]byte, 0, 32+len(p.Topic)+len(p.Payload)+32*len(p.Properties))
	b = append(b, recordVersion, flags)
	b = appendText(b, p.Topic)
	b = binary.AppendUvarint(b, uint64(len(p.Properties)))
	for _, q := range p.Properties {
		b = binary.AppendUvarint(b, uint64(q.ID))
		b = binary.AppendUvarint(b, uint64(q.Number))
		b = appendText(b, q.Name)
		b = appendText(b, q.Text)
		b = appendText(b, q.Data)
	}
	return append(b, p.Payload...)
}

func appendText[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// sum returns the checksum of a record and its key.
func sum(key uint64, record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record, castagnoli), castagnoli, keyBytes(key))
}

func keyBytes(key uint64) []byte { return binary.BigEndian.AppendUint64(nil, key) }

// appendSum appends the checksum to a record.
func appendSum(key uint64, record []byte) []byte {
	return binary.BigEndian.AppendUint32(record, sum(key, record))
}

var (
	errSum    = damage{errors.New("wrong checksum")}
	errFields = damage{errors.New("invalid fields")}
)

// decode returns the message of a record. The message does not share memory with the
// record.
func decode(key uint64, record []byte) (*mqtt.Publication, error) {
	n := len(record) - sumSize
	if n < 0 || binary.BigEndian.Uint32(record[n:]) != sum(key, record[:n]) {
		return nil, errSum
	}
	f := fields{rest: record[:n]}
	if version := f.byte(); version != recordVersion && !f.bad {
		return nil, errNewer
	}
	flags := f.byte()
	p := &mqtt.Publication{QoS: mqtt.QoS(flags & qosBits), Retain: flags&retainBit != 0}
	p.Topic = string(f.text())
	for range f.count() {
		p.Properties = append(p.Properties, f.property())
	}
	p.Payload = clone(f.rest)
	if f.bad || flags&^(qosBits|retainBit) != 0 || p.QoS > 2 {
		return nil, errFields
	}
	return p, nil
}

// fields parses a record. After an error bad is true, and all further fields are empty.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) byte() byte {
	b := f.take(1)
	if f.bad {
		return 0
	}
	return b[0]
}

func (f *fields) take(n uint64) []byte {
	if f.bad = f.bad || n > uint64(len(f.rest)); f.bad {
		return nil
	}
	taken := f.rest[:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) number() uint64 {
	n, size := binary.Uvarint(f.rest)
	if f.bad = f.bad || size <= 0; f.bad {
		return 0
	}
	f.rest = f.rest[size:]
	return n
}

func (f *fields) text() []byte { return f.take(f.number()) }

// count returns the number of properties that follow. A property has at least five
// bytes.
func (f *fields) count() int {
	n := f.number()
	if f.bad = f.bad || n > uint64(len(f.rest))/5; f.bad {
		return 0
	}
	return int(n)
}

func (f *fields) property() mosquitto.Property {
	return mosquitto.Property{
		ID: mosquitto.PropertyID(f.number()), Number: uint32(f.number()),
		Name: string(f.text()), Text: string(f.text()), Data: clone(f.text()),
	}
}

// clone copies b, because the record is memory of the mapped file. It returns nil for an
// empty b.
func clone(b []byte) []byte { return append([]byte(nil), b...) }

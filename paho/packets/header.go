package packets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// FixedHeader is the first part of a packet.
type FixedHeader struct {
	MessageType     byte // such as [Publish]
	Dup             bool // the DUP flag of a PUBLISH
	Qos             byte // the QoS of a PUBLISH; 1 for PUBREL, SUBSCRIBE and UNSUBSCRIBE
	Retain          bool // the retain flag of a PUBLISH
	RemainingLength int  // bytes after the fixed header
}

func (fh FixedHeader) String() string {
	return fmt.Sprintf("%s (DUP %t, QoS %d, retain %t, %d bytes)", PacketNames[fh.MessageType], fh.Dup, fh.Qos, fh.Retain, fh.RemainingLength)
}

const (
	dupFlag    = 0x08
	retainFlag = 0x01

	maxLength = 268_435_455 // limit of the remaining length
)

// firstByte returns the type and the flags.
func (fh *FixedHeader) firstByte() byte {
	b := fh.MessageType<<4 | (fh.Qos&3)<<1
	if fh.Dup {
		b |= dupFlag
	}
	if fh.Retain {
		b |= retainFlag
	}
	return b
}

// unpack reads the fixed header.
func (fh *FixedHeader) unpack(r io.Reader) error {
	var b [1]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return err
	}
	*fh = FixedHeader{MessageType: b[0] >> 4, Dup: b[0]&dupFlag != 0, Qos: b[0] >> 1 & 3, Retain: b[0]&retainFlag != 0}
	for shift := 0; ; shift += 7 {
		if shift > 21 {
			return errors.New("remaining length is longer than four bytes")
		}
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return unexpected(err)
		}
		fh.RemainingLength |= int(b[0]&0x7f) << shift
		if b[0]&0x80 == 0 {
			return nil
		}
	}
}

// writeTo writes the fixed header and the body in one call, and sets RemainingLength.
func (fh *FixedHeader) writeTo(w io.Writer, body *encoder) error {
	if body.err != nil {
		return body.err
	}
	n := len(body.bytes)
	if n > maxLength {
		return fmt.Errorf("packet of %d bytes is longer than %d", n, maxLength)
	}
	fh.RemainingLength = n
	packet := make([]byte, 0, n+5)
	packet = append(packet, fh.firstByte())
	for ; n > 0x7f; n >>= 7 {
		packet = append(packet, byte(n)|0x80)
	}
	packet = append(append(packet, byte(n)), body.bytes...)
	_, err := w.Write(packet)
	return err
}

// unexpected returns the error of a packet that ends too early.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// encoder collects the body of a packet.
type encoder struct {
	bytes []byte
	err   error
}

func (e *encoder) uint8(b byte)    { e.bytes = append(e.bytes, b) }
func (e *encoder) uint16(n uint16) { e.bytes = binary.BigEndian.AppendUint16(e.bytes, n) }
func (e *encoder) text(s string)   { e.binary([]byte(s)) }

// binary appends bytes with their length.
func (e *encoder) binary(b []byte) {
	if len(b) > math.MaxUint16 {
		e.err = fmt.Errorf("a field of %d bytes is longer than %d", len(b), math.MaxUint16)
		return
	}
	e.uint16(uint16(len(b)))
	e.bytes = append(e.bytes, b...)
}

// decoder reads the body of a packet. After the first error all results are zero.
type decoder struct {
	r   io.Reader
	err error
}

// next reads n bytes.
func (d *decoder) next(n int) []byte {
	b := make([]byte, n)
	if d.err == nil {
		if _, err := io.ReadFull(d.r, b); err != nil {
			d.err = unexpected(err)
			clear(b)
		}
	}
	return b
}

func (d *decoder) uint8() byte    { return d.next(1)[0] }
func (d *decoder) uint16() uint16 { return binary.BigEndian.Uint16(d.next(2)) }
func (d *decoder) binary() []byte { return d.next(int(d.uint16())) }
func (d *decoder) text() string   { return string(d.binary()) }

// rest reads the last n bytes of a packet.
func (d *decoder) rest(n int) []byte {
	if d.err == nil && n < 0 {
		d.err = errors.New("the packet is shorter than its fields")
	}
	if d.err != nil {
		return nil
	}
	return d.next(n)
}

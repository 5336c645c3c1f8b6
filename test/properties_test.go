package test

import (
	"encoding/binary"

	"github.com/mosquitto-go/mosquitto"
)

// wire encodes properties with their length, by the text of MQTT 5.
func wire(props mosquitto.Properties) []byte {
	body := wireBody(props)
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

// wireBody is wire without the length.
func wireBody(props mosquitto.Properties) (b []byte) {
	text := func(s string) { b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) }
	for _, p := range props {
		b = append(b, byte(p.ID))
		switch p.ID {
		case 1, 23, 25, 36, 37, 40, 41, 42:
			b = append(b, byte(p.Number))
		case 19, 33, 34, 35:
			b = binary.BigEndian.AppendUint16(b, uint16(p.Number))
		case 2, 17, 24, 39:
			b = binary.BigEndian.AppendUint32(b, p.Number)
		case 11:
			b = binary.AppendUvarint(b, uint64(p.Number))
		case 9, 22:
			text(string(p.Data))
		case 38:
			text(p.Name)
			text(p.Text)
		default:
			text(p.Text)
		}
	}
	return b
}

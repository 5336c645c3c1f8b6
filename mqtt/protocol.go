//go:build cgo

package mqtt

import "github.com/mosquitto-go/mosquitto"

// Protocol is a version of MQTT.
type Protocol int

// The supported versions.
const (
	V31  Protocol = mosquitto.ProtocolV31  // MQTT 3.1
	V311 Protocol = mosquitto.ProtocolV311 // MQTT 3.1.1, the default
	V5   Protocol = mosquitto.ProtocolV5   // MQTT 5
)

// String returns the name of the version, for example "MQTT 3.1.1".
func (p Protocol) String() string {
	switch p {
	case V31:
		return "MQTT 3.1"
	case V311:
		return "MQTT 3.1.1"
	}
	return "MQTT 5"
}

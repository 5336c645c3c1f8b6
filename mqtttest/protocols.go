//go:build cgo

package mqtttest

import (
	"errors"
	"fmt"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

// WithProtocols sets the MQTT versions that the broker accepts. It refuses clients with
// other versions. It needs mosquitto 2.1 or later.
func WithProtocols(versions ...mqtt.Protocol) Option {
	return func(s *settings) error {
		if len(versions) == 0 {
			return errors.New("WithProtocols: no version")
		}
		s.protocols = nil
		for _, v := range versions {
			if v != mqtt.V31 && v != mqtt.V311 && v != mqtt.V5 {
				return fmt.Errorf("WithProtocols: version %d is none of mqtt.V31, mqtt.V311 and mqtt.V5", int(v))
			}
			s.protocols = append(s.protocols, fmt.Sprint(int(v)))
		}
		return nil
	}
}

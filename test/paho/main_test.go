// Package paho_test compares package mosquitto/paho with the client that it
// replaces, github.com/eclipse/paho.mqtt.golang: the exported API, the bytes that
// both send, and what programs observe that are compiled against both.
package paho_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m, removePrograms) }

//go:build cgo

package mqtt_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m, stopExampleServers) }

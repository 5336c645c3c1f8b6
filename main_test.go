package mosquitto_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/test/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

package mosquitto_test

import (
	"os"
	"os/signal"
	"testing"

	"github.com/mosquitto-go/mosquitto/test/leak"
)

func TestMain(m *testing.M) {
	// go test -fuzz listens for signals; the goroutine of that never ends.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	signal.Stop(signals)
	leak.Main(m)
}

package mosquitto_test

import (
	"os"
	"os/signal"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/leak"
)

func TestMain(m *testing.M) {
	// go test -fuzz starts the goroutine that receives signals, which never ends.
	// Starting it here keeps it out of the comparison.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	signal.Stop(signals)
	leak.Main(m, stopExampleServers)
}

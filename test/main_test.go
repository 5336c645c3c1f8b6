package test

import (
	"flag"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/leak"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "16") // parallel tests wait most of the time; -parallel overrides
	leak.Main(m)
}

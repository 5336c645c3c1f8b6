// Package wire tests the library against the specifications of MQTT 3.1.1 and 5. A
// fake broker exchanges packets with a client and compares each byte that the client
// sends. The subtests are named after clauses of the specification. MQTT-3.3.1-1 is
// the number of a normative statement, 3.1.2.10 the number of a section.
package wire

import (
	"flag"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "64") // the tests mostly wait; the flag -parallel overrides this
	wait.Patience = 20 * time.Second    // because 64 tests share the processors
	leak.Main(m)
}

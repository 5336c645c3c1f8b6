// Package wire holds the client to the texts of MQTT 3.1.1 and 5: a scripted
// peer plays the broker packet by packet, and each byte of the client's is
// compared. Tests are named after the clause they are about; a number in
// brackets, MQTT-3.3.1-1, is a normative statement of the text, one without,
// 3.1.2.10, a section.
package wire

import (
	"flag"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/test/leak"
	"github.com/mosquitto-go/mosquitto/test/wait"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "64") // exchanges wait most of the time; -parallel overrides
	wait.Patience = 20 * time.Second    // and so many take turns
	leak.Main(m)
}

package mosquitto

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMessage_FormatShowsTheBeginningOfThePayload(t *testing.T) {
	for _, c := range []struct{ payload, shown string }{
		{"", `Payload:""`},
		{"23.5 °C", `Payload:"23.5 °C"`},
		{"\x00\xff\n", `Payload:"\x00\xff\n"`},
		{strings.Repeat("a", 64), `Payload:"` + strings.Repeat("a", 64) + `" QoS`},
		{strings.Repeat("a", 65), `Payload:"` + strings.Repeat("a", 64) + `"... (65 bytes) QoS`},
	} {
		m := Message{Topic: "t", Payload: []byte(c.payload)}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			require.Contains(t, fmt.Sprintf(verb, m), c.shown)
		}
	}
}

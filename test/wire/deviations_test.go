package wire

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/test/peer"
	"github.com/stretchr/testify/require"
)

// The rows that have a test of their own.
var exchanges5 = []row{
	forgottenSession, wildcards, identifiers, shared, aliasUnasked, aliasBeyond, packetFits, packetOneOver, packetTwoOver,
	receiveMaximumStuck, ourPacketSize, aliasAfterLoss, aliasOfTheirs, aliasOfTheirsBoth, aliasKept,
	keepaliveAgain, keepaliveOneWay, authInConnect, authAfter, authRefused, behindDisconnect, eofInPacket, queuedTooLong,
}

var exchangesBoth = []row{pubcompEarly, pubackForTwo, pubrecForOne, qos2Twice, qos2CleanLoss}

var update = flag.Bool("update", false, "rewrite the list of deviations")

const listed = "testdata/deviations.md"

// The list of what the library does otherwise than the texts want is made of
// the same rows that the tests assert.
func TestDeviationsAreListed(t *testing.T) {
	var out strings.Builder
	out.WriteString("# Where libmosquitto differs from the texts of MQTT 3.1.1 and 5\n\n" +
		"Each line is a test of this folder, on each version of the library. An empty column: it does as the text wants.\n" +
		"`>` stands before a packet of the client's; closed means that the client ends the connection.\n\n" +
		"| MQTT | clause | what | the text wants | 2.0.11 | 2.0.21 | 2.1.2 |\n|---|---|---|---|---|---|---|\n")
	for _, table := range []struct {
		version string
		rows    []row
	}{
		{peer.V311.String(), malformed311}, {peer.V311.String(), connack311}, {"both", exchangesBoth},
		{peer.V5.String(), malformed5}, {peer.V5.String(), connack5}, {peer.V5.String(), unknownProperty}, {peer.V5.String(), exchanges5},
	} {
		for _, r := range table.rows {
			out.WriteString(r.markdown(table.version))
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(listed, []byte(out.String()), 0o644))
	}
	list, err := os.ReadFile(listed)
	require.NoError(t, err)
	require.Equal(t, out.String(), string(list), "go test ./test/wire -run Listed -update")
}

// markdown is a line for a row on which some version deviates.
func (r row) markdown(version string) string {
	spec := orNothing(r.spec)
	columns, deviates := []string{version, r.clause, r.name, spec}, false
	for _, outcome := range []string{r.does.v2011, r.does.v2021, r.does.v212} {
		if follows(r.spec, outcome) {
			columns = append(columns, "")
			continue
		}
		deviates = true
		columns = append(columns, orNothing(outcome))
	}
	if !deviates {
		return ""
	}
	return fmt.Sprintf("| %s |\n", strings.ReplaceAll(strings.Join(columns, " | "), "\ufeff", "BOM "))
}

func orNothing(outcome string) string {
	if outcome == "" {
		return "nothing"
	}
	return outcome
}

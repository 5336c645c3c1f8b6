package wire

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/stretchr/testify/require"
)

// exchanges5 has the rows of MQTT 5 that are not in a table.
var exchanges5 = []row{
	forgottenSession, wildcards, identifiers, shared, aliasUnasked, aliasBeyond, packetFits, packetOneOver, packetTwoOver,
	receiveMaximumStuck, clientPacketSize, aliasAfterLoss, brokerAlias, brokerAliasBoth, aliasKept,
	keepaliveAgain, keepaliveOneWay, authInConnect, authAfter, authRefused, afterDisconnect, eofInPacket, queuedTooLong,
}

// exchangesBoth has the rows of both MQTT versions that are not in a table.
var exchangesBoth = []row{pubcompEarly, pubackForTwo, pubrecForOne, qos2Twice, qos2CleanLoss}

var update = flag.Bool("update", false, "rewrite the list of deviations")

const listFile = "testdata/deviations.md"

// The list of deviations is generated from the rows that the tests assert.
func TestDeviations_AreListed(t *testing.T) {
	var out strings.Builder
	out.WriteString("# Where libmosquitto differs from the specifications of MQTT 3.1.1 and 5\n\n" +
		"`go test ./test/wire -run Listed -update` generates this list. Each line is a test in this directory.\n" +
		"The column \"required\" has the outcome that the specification requires. The last three columns have the outcomes of three library\n" +
		"versions; an empty column means that the version conforms. `>` precedes a packet that the client sends. \"closed\" means that the\n" +
		"client closes the connection; the error or reason code of OnDisconnect follows. \"nothing\" means that the client ignores the input.\n\n" +
		"| MQTT | clause | case | required | 2.0.11 | 2.0.21 | 2.1.2 |\n|---|---|---|---|---|---|---|\n")
	for _, table := range []struct {
		version string
		rows    []row
	}{
		{fakebroker.V311.String(), malformed311}, {fakebroker.V311.String(), connack311}, {"both", exchangesBoth},
		{fakebroker.V5.String(), malformed5}, {fakebroker.V5.String(), connack5}, {fakebroker.V5.String(), unknownProperty}, {fakebroker.V5.String(), exchanges5},
	} {
		for _, r := range table.rows {
			out.WriteString(r.markdown(table.version))
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(listFile, []byte(out.String()), 0o644))
	}
	list, err := os.ReadFile(listFile)
	require.NoError(t, err)
	require.Equal(t, out.String(), string(list), "the list is out of date: go test ./test/wire -run Listed -update")
}

// markdown returns a table row, or "" if all versions conform.
func (r row) markdown(version string) string {
	spec := orNothing(r.spec)
	columns, deviates := []string{version, r.clause, r.name, spec}, false
	for _, outcome := range []string{r.actual.v2011, r.actual.v2021, r.actual.v212} {
		if conforms(r.spec, outcome) {
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

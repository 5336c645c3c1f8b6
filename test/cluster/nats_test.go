//go:build cluster

package cluster_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/stretchr/testify/require"
)

func TestNATS(t *testing.T) {
	c := cluster.StartNATS(t)
	require.Regexp(t, `^2\.9\.`, c.Version, "the limits below are those of NATS 2.9")
	conformance(t, c)
}

//go:build cluster

package cluster_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/test/cluster"
	"github.com/stretchr/testify/require"
)

func TestRabbitMQ(t *testing.T) {
	c := cluster.StartRabbitMQ(t)
	require.Regexp(t, `^3\.10\.`, c.Version, "the limits below are those of RabbitMQ 3.10")
	conformance(t, c)
}

//go:build cluster

package cluster_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/test/cluster"
)

func TestMain(m *testing.M) {
	wait.Patience = time.Minute // a loaded machine needs about 15 s
	before := leak.Take()
	code := m.Run()
	left := before.Left(5 * time.Second)
	if n := cluster.Running(); n > 0 {
		left += fmt.Sprintf("%d processes of clusters\n", n)
	}
	if left != "" {
		fmt.Fprintln(os.Stderr, "left over after the tests:\n"+left)
		code = 1
	}
	os.Exit(code)
}

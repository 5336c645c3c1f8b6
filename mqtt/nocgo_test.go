//go:build cgo

package mqtt_test

import (
	"os"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/stretchr/testify/require"
)

// Package test has the tests of other builds: TestBuild_WithoutLibraryReportsIt and
// TestBuild_HasNoCWarnings.
func TestBuild_WithoutCgoNamesTheRemedy(t *testing.T) {
	t.Parallel()
	cmd := subprocess.Command("go", "build", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	said, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(said), "set_CGO_ENABLED_1_and_install_gcc_and_libmosquitto_dev")
}

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/stretchr/testify/require"
)

// bareMachine returns a folder for PATH that has only the basic programs of a shell
// script, and these scripts.
func bareMachine(t *testing.T, scripts map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, program := range []string{"sh", "cat", "env", "id", "touch", "chmod"} {
		path, err := exec.LookPath(program)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(dir, program)))
	}
	scripts["sudo"] = `exec "$@"`
	for name, script := range scripts {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!"+dir+"/sh\n"+script+"\n"), 0o755))
	}
	return dir
}

func need(path string, things ...string) (output string, err error) {
	c := subprocess.Command("../.ci/need", things...)
	c.Env = append(os.Environ(), "PATH="+path)
	out, err := c.CombinedOutput()
	return string(out), err
}

// These tests run, so the machine has what make deps installs. Only make release-test
// needs git.
func TestNeed_InstallsNothingOnACompleteMachine(t *testing.T) {
	dir := bareMachine(t, map[string]string{"apt-get": "echo apt-get was called; exit 1"})
	makefile, err := os.ReadFile("../Makefile")
	require.NoError(t, err)
	needed := regexp.MustCompile(`(?m)^needed = (.*)$`).FindStringSubmatch(string(makefile))
	require.NotNil(t, needed)
	things := slices.DeleteFunc(strings.Fields(needed[1]), func(thing string) bool { return thing == "git" })
	require.Greater(t, len(things), 5)
	out, err := need(dir+":"+os.Getenv("PATH"), things...)
	require.NoError(t, err, out)
	require.Empty(t, out)
}

func TestNeed_InstallsMissingPackages(t *testing.T) {
	dir := bareMachine(t, map[string]string{
		"openssl": "exit 0",
		"apt-get": `echo "apt-get $*"; case "$*" in *install*) touch ${0%/*}/pkg-config && chmod +x ${0%/*}/pkg-config;; esac`,
	})
	out, err := need(dir, "openssl", "pkg-config")
	require.NoError(t, err, out)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3, out)
	require.Equal(t, "Installing pkg-config", lines[0])
	require.True(t, strings.HasPrefix(lines[1], "apt-get ") && strings.HasSuffix(lines[1], " update"), lines[1])
	require.True(t, strings.HasSuffix(lines[2], " install -y --no-install-recommends pkg-config"), lines[2])
}

func TestNeed_FailsIfTheInstallationWasNotEnough(t *testing.T) {
	dir := bareMachine(t, map[string]string{"apt-get": "exit 0"})
	out, err := need(dir, "library")
	require.Error(t, err)
	require.Contains(t, out, "library is still missing")
}

func TestNeed_WithoutAptGetNamesThePackages(t *testing.T) {
	out, err := need(bareMachine(t, map[string]string{}), "pkg-config", "library")
	require.Error(t, err)
	require.Contains(t, out, "pkg-config libmosquitto-dev")
	for _, system := range []string{"Debian", "Fedora", "Alpine", "Arch", "macOS"} {
		require.Contains(t, out, system)
	}
}

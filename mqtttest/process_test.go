//go:build cgo

package mqtttest_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtttest"
	"github.com/stretchr/testify/require"
)

// crashVariable is set in a child process that starts a broker and is killed.
const crashVariable = "MQTTTEST_CRASH"

func TestStartBroker_EndsWithACrashedProcess(t *testing.T) {
	if os.Getenv(crashVariable) != "" {
		fmt.Println("address", mqtttest.StartBroker(t).Addr())
		select {}
	}
	self, err := os.Executable()
	require.NoError(t, err)
	child := subprocess.CommandContext(wait.Soon(t), self, "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), crashVariable+"=1", "TMPDIR="+t.TempDir())
	output, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	addr := readAddress(t, bufio.NewScanner(output))
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	conn.Close()

	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	wait.Until(t, "the end of the broker", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
}

func readAddress(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "address "); ok {
			return addr
		}
	}
	require.FailNow(t, "the child has printed no address")
	return ""
}

func TestStartBroker_InheritsNoSocket(t *testing.T) {
	fakeDocker(t)
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0) // inheritable, as in C
	require.NoError(t, err)
	defer syscall.Close(socket)
	mqtttest.StartBroker(t, mqtttest.WithImage("image"))
	docker, err := exec.LookPath("docker")
	require.NoError(t, err)
	require.NotContains(t, read(t, filepath.Join(filepath.Dir(docker), "docker.fds")), "socket:")
}

package boltoutbox_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt/boltoutbox"
	"github.com/stretchr/testify/require"
)

// child is a process of this test binary that runs a job.
type child struct {
	cmd   *exec.Cmd
	lines chan string // lines of its standard output; closed at its end
}

func start(t *testing.T, job string, environment ...string) *child {
	t.Helper()
	c := &child{cmd: subprocess.Command(os.Args[0]), lines: make(chan string, 100_000)}
	c.cmd.Env = append(append(os.Environ(), childVariable+"="+job, "GORACE=atexit_sleep_ms=0"), environment...)
	c.cmd.Stderr = os.Stderr
	subprocess.EndWithParent(c.cmd)
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			c.lines <- scan.Text()
		}
		close(c.lines)
		_ = c.cmd.Wait()
	}()
	t.Cleanup(func() {
		c.kill()
		<-ended
	})
	return c
}

func (c *child) kill() { _ = c.cmd.Process.Kill() }

// finish waits until the child exits.
func (c *child) finish(t *testing.T) (lines []string) {
	t.Helper()
	for {
		line, more := awaitLine(t, c)
		if !more {
			return lines
		}
		lines = append(lines, line)
	}
}

func awaitLine(t *testing.T, c *child) (line string, more bool) {
	t.Helper()
	select {
	case line, more = <-c.lines:
	case <-time.After(wait.Patience):
		require.FailNow(t, "the child prints nothing")
	}
	return line, more
}

const fileVariable = "BOLTOUTBOX_TEST_FILE"

// holdInChild keeps an outbox open until the process is killed.
func holdInChild() {
	if _, err := boltoutbox.Open(os.Getenv(fileVariable)); err != nil {
		panic(err)
	}
	fmt.Println("open")
	select {}
}

func TestOpen_WaitsForTheLock(t *testing.T) {
	file := newFile(t)
	c := start(t, "hold", fileVariable+"="+file)
	line, _ := awaitLine(t, c)
	require.Equal(t, "open", line)

	for _, timeout := range []time.Duration{0, 100 * time.Millisecond} {
		_, err := boltoutbox.Open(file, boltoutbox.WithLockTimeout(timeout))
		require.ErrorIs(t, err, boltoutbox.ErrLocked)
		require.ErrorContains(t, err, file)
		require.ErrorContains(t, err, "another process or Outbox has it open")
	}

	opened := make(chan error, 1) // as when a service is restarted
	go func() {
		o, err := boltoutbox.Open(file, boltoutbox.WithLockTimeout(wait.Patience))
		if err == nil {
			err = o.Close()
		}
		opened <- err
	}()
	c.kill()
	require.NoError(t, wait.For(t, opened, "the lock"))

	o := open(t, file)
	_, err := boltoutbox.Open(file, boltoutbox.WithLockTimeout(0))
	require.ErrorIs(t, err, boltoutbox.ErrLocked, "open twice in a process")
	require.NoError(t, o.Close())
	open(t, file)
}

package paho_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/race"
	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// A side is paho.mqtt.golang or package paho: a program is compiled against both.
type side struct {
	name string
	path string // import path
}

var sides = []side{{"paho.mqtt.golang", theirs}, {"ours", ours}}

var built struct {
	once sync.Once
	dir  string
	err  error
}

// executable compiles the programs against both sides, at its first call, and returns
// the file of a side.
func executable(t *testing.T, s side) string {
	t.Helper()
	built.once.Do(func() { built.dir, built.err = buildAll() })
	require.NoError(t, built.err)
	return filepath.Join(built.dir, s.name, "programs")
}

func removePrograms() { _ = os.RemoveAll(built.dir) }

// buildAll compiles into a new folder, which it returns.
func buildAll() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "paho-programs"); err != nil {
		return "", err
	}
	for _, s := range sides {
		overlay, err := exchangeImport(filepath.Join(dir, s.name, "sources"), s.path)
		if err != nil {
			return dir, err
		}
		args := []string{"build", "-buildvcs=false", "-overlay", overlay, "-o", filepath.Join(dir, s.name, "programs")}
		if race.Enabled() && s.path == ours { // paho's own races are not ours to find
			args = append(args, "-race")
		}
		if said, err := subprocess.Command("go", append(args, "./programs")...).CombinedOutput(); err != nil {
			return dir, fmt.Errorf("%s: %w\n%s", s.name, err, said)
		}
	}
	return dir, nil
}

// exchangeImport writes the programs with the import path of a side into a folder, and
// returns the file for go build -overlay. Nothing else in the programs changes.
func exchangeImport(dir, path string) (overlay string, err error) {
	files, err := filepath.Glob("programs/*.go")
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		source = bytes.Replace(source, []byte(strconv.Quote(theirs)), []byte(strconv.Quote(path)), 1)
		if !bytes.Contains(source, []byte(strconv.Quote(path))) && filepath.Base(file) != "main.go" {
			return "", fmt.Errorf("%s does not import %s", file, theirs)
		}
		name := filepath.Join(dir, filepath.Base(file))
		file, err = filepath.Abs(file)
		if err != nil {
			return "", err
		}
		replace[file] = name
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(name, source, 0o600); err != nil {
			return "", err
		}
	}
	encoded, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, encoded, 0o600)
}

// process is a running program.
type process struct {
	t     *testing.T
	side  side
	args  []string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   chan string // lines of its standard output
	lines []string    // the lines read so far
	said  bytes.Buffer
}

// start runs a program of a side. It is killed if the test ends first.
func start(t *testing.T, s side, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, side: s, args: args, cmd: subprocess.Command(executable(t, s), append([]string{name}, args...)...), out: make(chan string, 10_000)}
	p.cmd.Stderr = &p.said
	subprocess.EndWithParent(p.cmd)
	var err error
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.out)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			p.out <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		p.in.Close()
		_ = p.cmd.Process.Kill()
		for line := range p.out {
			p.lines = append(p.lines, line)
		}
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("%s printed:\n%s\n%s", s.name, strings.Join(p.lines, "\n"), p.said.String())
		}
	})
	return p
}

// step makes the program continue.
func (p *process) step() {
	p.t.Helper()
	_, err := io.WriteString(p.in, "\n")
	require.NoError(p.t, err)
}

// await reads lines until one begins with the text.
func (p *process) await(text string) string {
	p.t.Helper()
	for {
		line, ok := p.next()
		require.True(p.t, ok, "the program ended without %q", text)
		if strings.HasPrefix(line, text) {
			return line
		}
	}
}

func (p *process) next() (line string, ok bool) {
	p.t.Helper()
	select {
	case line, ok = <-p.out:
		if ok {
			p.lines = append(p.lines, line)
		}
		return line, ok
	case <-time.After(wait.Patience):
		require.FailNow(p.t, "the program printed nothing")
		return "", false
	}
}

// end waits until the program has ended by itself, and returns all its lines.
func (p *process) end() []string {
	p.t.Helper()
	for {
		if _, ok := p.next(); !ok {
			break
		}
	}
	require.NoError(p.t, p.cmd.Wait(), p.said.String())
	return p.lines
}

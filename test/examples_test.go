package test

import (
	"bufio"
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/race"
	"github.com/mosquitto-go/mosquitto/internal/subprocess"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestExamples_RunAsDocumented builds and runs the programs of examples/.
func TestExamples_RunAsDocumented(t *testing.T) {
	bin := buildExamples(t)
	parts := []struct {
		name string
		run  func(*testing.T, examples)
	}{
		{"TourOnItsOwnBroker", tourOnItsOwnBroker},
		{"TourOnAnotherBroker", tourOnAnotherBroker},
		{"TourFails", tourFails},
		{"PubToMosquittoSub", pubToMosquittoSub},
		{"MosquittoPubToSub", mosquittoPubToSub},
		{"PubToSub", pubToSub},
		{"PubLines", pubLines},
		{"PubWaitsForTheAcknowledgement", pubWaits},
		{"PubFails", pubFails},
		{"SubFails", subFails},
		{"Usage", usageOfExamples},
		{"ConnectFlags", connectFlags},
		{"Retained", retainedByPub},
		{"PersistentSession", persistentSub},
		{"Will", willOfSub},
		{"TLS", tlsOfPubAndSub},
		{"PSK", pskOfPubAndSub},
		{"TLSExample", tlsExample},
		{"MQTT5Example", mqtt5Example},
		{"OwnloopExample", ownloopExample},
		{"ClientExample", clientExample},
		{"ShareExample", shareExample},
		{"ShareExampleWorkerKilled", shareExampleWorkerKilled},
	}
	started, ran := map[string]bool{}, 0
	onStart = func(program string) { started[program] = true }
	defer func() { onStart = nil }()
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			ran++
			part.run(t, bin)
		})
	}
	if ran < len(parts) {
		return // -run selected only some parts
	}
	for _, name := range programs(t) {
		assert.True(t, started[filepath.Join(string(bin), name)], "no part of this test runs examples/%s", name)
	}
}

// onStart, if set, is called with the path of each program that starts.
var onStart func(program string)

// programs returns the example programs of this module.
func programs(t *testing.T) (names []string) {
	t.Helper()
	for _, name := range mains(t) {
		if moduleOf(name) == "" {
			names = append(names, name)
		}
	}
	require.NotEmpty(t, names)
	return names
}

// mains returns the folders of all programs in examples/.
func mains(t *testing.T) (folders []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir("../examples", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly)
		if err == nil && file.Name.Name == "main" {
			folder, _ := filepath.Rel("../examples", filepath.Dir(path))
			folders = append(folders, folder)
		}
		return err
	}))
	return slices.Compact(folders)
}

// moduleOf returns the folder of the nested module that contains a folder of examples/,
// or "".
func moduleOf(folder string) string {
	for ; folder != "."; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join("../examples", folder, "go.mod")); err == nil {
			return folder
		}
	}
	return ""
}

// Examples in modules of their own have their own tests, which make test runs.
func TestExamples_InModulesHaveTests(t *testing.T) {
	modules, err := os.ReadFile("../.ci/modules.sh")
	require.NoError(t, err)
	n := 0
	for _, folder := range mains(t) {
		module := moduleOf(folder)
		if module == "" {
			continue
		}
		n++
		assert.Regexp(t, `(?m)^unreleased=.*\bexamples/`+module+`\b`, string(modules))
		tests, err := filepath.Glob(filepath.Join("../examples", folder, "*_test.go"))
		require.NoError(t, err)
		assert.NotEmpty(t, tests, "examples/%s has no test", folder)
	}
	require.NotZero(t, n)
}

// examples is the folder of the built programs.
type examples string

func buildExamples(t *testing.T) examples {
	t.Helper()
	dir := t.TempDir()
	for _, name := range programs(t) {
		args := []string{"build", "-o", filepath.Join(dir, name), "../examples/" + name}
		if race.Enabled() {
			args = slices.Insert(args, 1, "-race")
		}
		out, err := subprocess.Command("go", args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	return examples(dir)
}

// exampleRun is a running program. It is killed when the test ends.
type exampleRun struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan string // lines of its standard output
	stderr bytes.Buffer
	ended  chan struct{}
}

func (e examples) start(t *testing.T, name string, args ...string) *exampleRun {
	t.Helper()
	return startProgram(t, "", filepath.Join(string(e), name), args...)
}

// run runs an example until it exits.
func (e examples) run(t *testing.T, name string, args ...string) (lines []string, stderr string, code int) {
	t.Helper()
	return e.start(t, name, args...).finish()
}

func startProgram(t *testing.T, stdin string, program string, args ...string) *exampleRun {
	t.Helper()
	return startPiped(t, strings.NewReader(stdin), program, args...)
}

func startPiped(t *testing.T, stdin io.Reader, program string, args ...string) *exampleRun {
	t.Helper()
	if onStart != nil {
		onStart(program)
	}
	p := &exampleRun{t: t, cmd: subprocess.Command(program, args...), lines: make(chan string, 100000), ended: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stderr = stdin, &p.stderr
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // do not wait one second when a program exits
	subprocess.EndWithParent(p.cmd)
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		for scan := bufio.NewScanner(stdout); scan.Scan(); {
			p.lines <- scan.Text()
		}
		close(p.lines)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	return p
}

// finish waits until the program exits.
func (p *exampleRun) finish() (lines []string, stderr string, code int) {
	p.t.Helper()
	wait.For(p.t, p.ended, "the end of "+p.cmd.Path)
	for line := range p.lines {
		lines = append(lines, line)
	}
	return lines, p.stderr.String(), p.cmd.ProcessState.ExitCode()
}

// succeeds asserts that the program prints these lines and no error, and exits with
// status 0.
func (p *exampleRun) succeeds(want ...string) {
	p.t.Helper()
	lines, stderr, code := p.finish()
	require.Equal(p.t, want, lines)
	require.Empty(p.t, stderr)
	require.Zero(p.t, code)
}

// fails asserts that the program exits with this status and prints this error.
func (p *exampleRun) fails(status int, complaint string) {
	p.t.Helper()
	lines, stderr, code := p.finish()
	require.Equal(p.t, status, code, "%s", stderr)
	require.Contains(p.t, stderr, complaint)
	require.Empty(p.t, lines)
}

// next returns the next line that the program prints.
func (p *exampleRun) next() string {
	p.t.Helper()
	return wait.For(p.t, p.lines, "a line of "+p.cmd.Path)
}

func (p *exampleRun) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// logged waits until the broker has logged a line that matches.
func logged(t *testing.T, b *broker.Broker, pattern string) {
	t.Helper()
	line := regexp.MustCompile("(?m)" + pattern)
	wait.Until(t, "the broker's log line "+pattern, func() bool { return line.MatchString(b.Log()) })
}

// sub starts the example sub with this client id, and waits until the broker has
// granted its subscription.
func (e examples) sub(t *testing.T, b *broker.Broker, id string, args ...string) *exampleRun {
	t.Helper()
	return subscribed(t, b, filepath.Join(string(e), "sub"), id, args...)
}

// subscribed starts a subscriber: our example, or mosquitto_sub, which has the same
// flags.
func subscribed(t *testing.T, b *broker.Broker, program, id string, args ...string) *exampleRun {
	t.Helper()
	p := startProgram(t, "", program, append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(b.Port), "-i", id}, args...)...)
	logged(t, b, "Sending SUBACK to "+id+"$")
	return p
}

// pub publishes with the example pub, which must succeed.
func (e examples) pub(t *testing.T, b *broker.Broker, args ...string) {
	t.Helper()
	e.start(t, "pub", append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(b.Port)}, args...)...).succeeds()
}

var (
	variable    = regexp.MustCompile(`\d+`)
	tourGreeter = regexp.MustCompile(`^Connect to 127.0.0.1, port (\d+)$`)
)

// tourEvents returns the callbacks that a tour printed, with numbers replaced by N.
// OnMessage and OnPublish for the same message may have either order, so each pair is
// sorted.
func tourEvents(lines []string) (events []string) {
	for _, line := range lines {
		if strings.HasPrefix(line, "On") {
			events = append(events, variable.ReplaceAllString(line, "N"))
		}
	}
	for i := 2; i < 8 && i+2 <= len(events); i += 2 {
		slices.Sort(events[i : i+2])
	}
	return events
}

func isTour(t *testing.T, lines []string) {
	t.Helper()
	heard := []string{"OnMessage: mid N, my/topic/tour-N, QoS N, retained false: hello world", "OnPublish: mid N"}
	want := slices.Concat([]string{"OnConnect: Connection Accepted", "OnSubscribe: mid N, granted QoS N"},
		heard, heard, heard, []string{"OnUnsubscribe: mid N", "OnDisconnect: code N"})
	require.Equal(t, want, tourEvents(lines))
	all := strings.Join(lines, "\n")
	for _, qos := range []string{"QoS 0,", "QoS 1,", "QoS 2,"} {
		require.Equal(t, 1, strings.Count(all, qos), all)
	}
	require.True(t, strings.HasSuffix(all, "OnDisconnect: code 0"), all)
}

func tourOnItsOwnBroker(t *testing.T, bin examples) {
	lines, stderr, code := bin.run(t, "tour")
	require.Zero(t, code, stderr)
	isTour(t, lines)
	greeting := tourGreeter.FindStringSubmatch(lines[0])
	require.NotNil(t, greeting, lines[0])
	_, err := net.Dial("tcp", "127.0.0.1:"+greeting[1])
	require.Error(t, err, "its broker still listens")
}

func tourOnAnotherBroker(t *testing.T, bin examples) {
	b := plain(t)
	lines, stderr, code := bin.run(t, "tour", "-host", "127.0.0.1", "-port", strconv.Itoa(b.Port))
	require.Zero(t, code, stderr)
	isTour(t, lines)
	logged(t, b, "Received DISCONNECT from tour-")
}

func tourFails(t *testing.T, bin examples) {
	tour := func(port int, more ...string) (lines []string, stderr string) {
		lines, stderr, code := bin.run(t, "tour", append([]string{"-host", "127.0.0.1", "-port", strconv.Itoa(port)}, more...)...)
		require.Equal(t, 1, code)
		return lines, stderr
	}
	_, stderr := tour(broker.FreePort(t))
	require.Contains(t, stderr, "tour: mosquitto: connect: ")

	lines, stderr := tour(broker.Start(t, broker.Config{Users: map[string]string{"somebody": "else"}}).Port)
	require.Contains(t, lines, "OnConnect: "+mosquitto.ConnackRefusedNotAuthorized.String())
	require.Contains(t, stderr, mosquitto.ConnackRefusedNotAuthorized.Err().Error())

	_, stderr = tour(fakebroker.Listen(t).Port, "-timeout", "300ms")
	require.Contains(t, stderr, "tour: timeout after 300ms")

	p := bin.start(t, "tour", "-host", "127.0.0.1", "-port", strconv.Itoa(fakebroker.Listen(t).Port))
	require.Contains(t, p.next(), "Connect to")
	p.signal(syscall.SIGTERM)
	_, stderr, code := p.finish()
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "ended by a signal: terminated")
}

func pubToMosquittoSub(t *testing.T, bin examples) {
	b := plain(t)
	s := subscribed(t, b, "mosquitto_sub", "watcher", "-t", "from/pub/#", "-q", "2", "-F", "%t %q %r %p", "-C", "4")
	bin.pub(t, b, "-t", "from/pub/0", "-m", "at most once")
	bin.pub(t, b, "-t", "from/pub/1", "-m", "at least once", "-q", "1", "-V", "mqttv31")
	bin.pub(t, b, "-t", "from/pub/2", "-m", "exactly once", "-q", "2", "-V", "5")
	bin.pub(t, b, "-t", "from/pub/n", "-n", "--q", "2")
	s.succeeds("from/pub/0 0 0 at most once", "from/pub/1 1 0 at least once", "from/pub/2 2 0 exactly once", "from/pub/n 2 0 ")
}

func mosquittoPubToSub(t *testing.T, bin examples) {
	b := plain(t)
	s := bin.sub(t, b, "one", "-t", "from/a/#", "-t", "from/b", "-q", "2", "-v", "-C", "3")
	for _, m := range [][2]string{{"from/a/x", "hello world"}, {"from/b", ""}, {"from/c", "not asked for"}, {"from/a", "again"}} {
		out, err := subprocess.Command("mosquitto_pub", "-h", "127.0.0.1", "-p", strconv.Itoa(b.Port), "-q", "2", "-t", m[0], "-m", m[1]).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	s.succeeds("from/a/x hello world", "from/b ", "from/a again")
	logged(t, b, "Received DISCONNECT from one$")
}

func pubToSub(t *testing.T, bin examples) {
	b := plain(t)
	for _, version := range []string{"31", "311", "5", "mqttv31", "mqttv311", "mqttv5"} {
		s := bin.sub(t, b, "sub-"+version, "-t", "a", "-q", "1", "-C", "1", "-V", version)
		bin.pub(t, b, "-t", "a", "-m", "by "+version, "-q", "1", "-V", version)
		s.succeeds("by " + version)
	}
}

// pubLines publishes more lines than the limit of messages in flight.
func pubLines(t *testing.T, bin examples) {
	b := plain(t)
	for qos, n := range map[string]int{"0": 1000, "1": 1000, "2": 1000} {
		var lines []string
		for i := range n {
			lines = append(lines, fmt.Sprint("line ", i))
		}
		s := bin.sub(t, b, "sub"+qos, "-t", "lines"+qos, "-q", qos, "-C", strconv.Itoa(n))
		startProgram(t, strings.Join(lines, "\n"), filepath.Join(string(bin), "pub"),
			"-h", "127.0.0.1", "-p", strconv.Itoa(b.Port), "-t", "lines"+qos, "-q", qos, "-l").succeeds()
		s.succeeds(lines...)
	}
}

func pubWaits(t *testing.T, bin examples) {
	l := fakebroker.Listen(t)
	p := bin.start(t, "pub", "-h", "127.0.0.1", "-p", strconv.Itoa(l.Port), "-t", "a", "-m", "hello", "-q", "1")
	conn := l.AcceptConnect()
	mid := conn.Expect(fakebroker.PUBLISH).Body[3:5]
	silent(t, conn)
	conn.Send(fakebroker.Bytes(fakebroker.PUBACK, mid...))
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	p.succeeds()

	p = bin.start(t, "pub", "-h", "127.0.0.1", "-p", strconv.Itoa(l.Port), "-t", "a", "-m", "hello", "-q", "1")
	conn = l.AcceptConnect()
	conn.Expect(fakebroker.PUBLISH)
	conn.Close()
	p.fails(1, "pub: ")
}

func pubFails(t *testing.T, bin examples) {
	acl := filepath.Join(t.TempDir(), "acl")
	require.NoError(t, os.WriteFile(acl, []byte("topic read #\ntopic write allowed\n"), 0o644))
	b := broker.Start(t, broker.Config{Extra: "acl_file " + acl})
	port := strconv.Itoa(b.Port)
	bin.pub(t, b, "-V", "5", "-q", "1", "-t", "allowed", "-m", "x")
	bin.start(t, "pub", "-p", port, "-V", "5", "-q", "1", "-t", "refused", "-m", "x").fails(1, mosquitto.RCNotAuthorized.Err().Error())

	bin.start(t, "pub", "-p", strconv.Itoa(broker.FreePort(t)), "-t", "a", "-m", "x").fails(1, "connect_bind_v5")
	bin.start(t, "pub", "-p", port, "-t", "a/#", "-m", "x").fails(1, "not valid to publish to")
	bin.start(t, "pub", "-p", port, "-t", "a", "-m", "x", "-q", "256").fails(1, "qos")
}

func subFails(t *testing.T, bin examples) {
	b := broker.Start(t, broker.Config{Users: map[string]string{"user": "password"}})
	port := strconv.Itoa(b.Port)
	for _, version := range []string{"31", "311"} {
		bin.start(t, "sub", "-p", port, "-t", "a", "-V", version, "-u", "user", "-P", "wrong").fails(1, "refused: not authorised")
		bin.start(t, "pub", "-p", port, "-t", "a", "-m", "x", "-V", version).fails(1, "refused: not authorised")
	}
	bin.start(t, "sub", "-p", port, "-t", "a", "-V", "5").fails(1, "connect: not authorized")
	bin.start(t, "pub", "-p", port, "-t", "a", "-m", "x", "-V", "5").fails(1, "connect: not authorized")

	l := fakebroker.Listen(t)
	p := bin.start(t, "sub", "-p", strconv.Itoa(l.Port), "-t", "a", "-t", "b")
	conn := l.AcceptConnect()
	mid := conn.Expect(fakebroker.SUBSCRIBE).Body[:2]
	conn.Send(fakebroker.Bytes(fakebroker.SUBACK, append(mid, 0, 128)...))
	conn.Expect(fakebroker.DISCONNECT)
	conn.Close()
	p.fails(1, "sub: b: ")
}

func usageOfExamples(t *testing.T, bin examples) {
	for _, args := range [][]string{
		{"sub"}, {"sub", "-t", "a", "-V", "4"}, {"sub", "-t", "a", "stray"}, {"sub", "-x"},
		{"pub", "-t", "a"}, {"pub", "-m", "x"}, {"pub", "-t", "a", "-m", "x", "-V", "mqttv4"}, {"pub", "-t", "a", "-m", "x", "stray"},
	} {
		_, stderr, code := bin.run(t, args[0], args[1:]...)
		assert.Equal(t, 2, code, args)
		assert.Contains(t, stderr, "Usage of", args)
	}
}

// connectFlags checks the CONNECT in the broker's log. The log shows MQTT 3.1 and 3.1.1
// as 1 and 2, from 2.1 on as 3 and 4.
func connectFlags(t *testing.T, bin examples) {
	b := broker.Start(t, broker.Config{Users: map[string]string{"user": "password"}})
	login := []string{"-u", "user", "-P", "password"}
	bin.pub(t, b, append(login, "-i", "a", "-k", "17", "-t", "x", "-m", "x", "-V", "31")...)
	logged(t, b, `as a \(p[13], c1, k17, u'user'\)`)
	bin.pub(t, b, append(login, "-i", "b", "-c", "-t", "x", "-m", "x")...)
	logged(t, b, `as b \(p[24], c0, k60, u'user'\)`)
	bin.pub(t, b, append(login, "-i", "c", "-t", "x", "-m", "x", "-V", "5", "--will-topic", "w", "--will-payload", "bye", "--will-qos", "2", "--will-retain")...)
	logged(t, b, `as c \(p5, c1, k60, u'user'\)`)
	logged(t, b, `Will message specified \(3 bytes\) \(r1, q2\)`)

	_, stderr, code := bin.run(t, "pub", append(login, "-p", strconv.Itoa(b.Port), "-d", "-i", "talker", "-t", "x", "-m", "x")...)
	require.Zero(t, code)
	require.Contains(t, stderr, "pub: debug: Client talker sending CONNECT")
}

func retainedByPub(t *testing.T, bin examples) {
	b := plain(t)
	bin.pub(t, b, "-t", "kept/a", "-m", "good value", "-r")
	bin.pub(t, b, "-t", "kept/b", "-m", "other value", "-r", "-q", "1")
	bin.pub(t, b, "-t", "kept/c", "-m", "passing", "-q", "1")
	bin.sub(t, b, "first", "-t", "kept/a", "-C", "1").succeeds("good value")
	bin.pub(t, b, "-t", "kept/a", "-n", "-r", "-q", "1")
	bin.sub(t, b, "second", "-t", "kept/#", "-v", "-C", "1").succeeds("kept/b other value")
}

func persistentSub(t *testing.T, bin examples) {
	for _, version := range []string{"31", "311", "5"} {
		t.Run(version, func(t *testing.T) {
			b := plain(t)
			flags := []string{"-t", "a", "-q", "1", "-c", "-V", version}
			s := bin.sub(t, b, "keeper", flags...)
			s.signal(syscall.SIGINT)
			s.succeeds()
			logged(t, b, "Received DISCONNECT from keeper$")
			bin.pub(t, b, "-t", "a", "-q", "1", "-m", "meanwhile")
			bin.start(t, "sub", append(flags, "-p", strconv.Itoa(b.Port), "-i", "keeper", "-C", "1")...).succeeds("meanwhile")
		})
	}
}

func willOfSub(t *testing.T, bin examples) {
	b := plain(t)
	watcher, e := newClient(t, "", true)
	connect(t, watcher, e, b.Port)
	subscribe(t, watcher, e, "will/#", 2)
	will := func(id string) []string {
		return []string{"-t", "a", "--will-topic", "will/" + id, "--will-payload", id + " is lost", "--will-qos", "2"}
	}

	interrupted := bin.sub(t, b, "interrupted", will("interrupted")...)
	interrupted.signal(syscall.SIGINT)
	interrupted.succeeds()
	logged(t, b, "Received DISCONNECT from interrupted$")

	bin.sub(t, b, "killed", will("killed")...).signal(syscall.SIGKILL)
	m := wait.For(t, e.message, "the will")
	require.Equal(t, "will/killed", m.Topic, "no will after a DISCONNECT")
	require.Equal(t, "killed is lost", string(m.Payload))
	require.Equal(t, mosquitto.QoS(2), m.QoS)
}

func tlsOfPubAndSub(t *testing.T, bin examples) {
	ca, foreign := broker.NewCA(t, "ca"), broker.NewCA(t, "foreign")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("server", "localhost", "127.0.0.1"), ClientCA: ca.File})
	own := ca.Issue("client")
	out, err := subprocess.Command("openssl", "rehash", ca.Dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	trust := []string{"--cafile", ca.File, "--cert", own.CertFile, "--key", own.KeyFile}

	s := bin.sub(t, b, "secret", append(trust, "-t", "a", "-C", "1")...)
	bin.pub(t, b, "--capath", ca.Dir, "--cert", own.CertFile, "--key", own.KeyFile, "-t", "a", "-m", "over TLS")
	s.succeeds("over TLS")

	port := strconv.Itoa(b.Port)
	publish := []string{"-h", "127.0.0.1", "-p", port, "-t", "a", "-m", "x"}
	bin.start(t, "pub", append(publish, "--cafile", foreign.File, "--cert", own.CertFile, "--key", own.KeyFile)...).fails(1, "pub: mosquitto: ")
	bin.start(t, "sub", "-p", port, "-t", "a", "--cafile", foreign.File, "--cert", own.CertFile, "--key", own.KeyFile).fails(1, "sub: mosquitto: ")
	bin.start(t, "pub", append(publish, "--cafile", ca.File)...).fails(1, "pub: ")

	misnamed := broker.Start(t, broker.Config{TLS: ca.Issue("misnamed", "elsewhere.example")})
	publish[3] = strconv.Itoa(misnamed.Port)
	bin.start(t, "pub", append(publish, "--cafile", ca.File)...).fails(1, "pub: mosquitto: ")
	bin.pub(t, misnamed, "--cafile", ca.File, "--insecure", "-t", "a", "-m", "x")
}

func pskOfPubAndSub(t *testing.T, bin examples) {
	b := broker.Start(t, broker.Config{PSK: map[string]string{"someone": "c0ffee"}})
	s := bin.sub(t, b, "secret", "--psk", "c0ffee", "--psk-identity", "someone", "-t", "a", "-C", "1")
	bin.pub(t, b, "--psk", "c0ffee", "--psk-identity", "someone", "-t", "a", "-m", "over TLS")
	s.succeeds("over TLS")
	bin.start(t, "pub", "-p", strconv.Itoa(b.Port), "--psk", "decade", "--psk-identity", "someone", "-t", "a", "-m", "x").fails(1, "pub: mosquitto: ")
}

func tlsExample(t *testing.T, bin examples) {
	ca, foreign := broker.NewCA(t, "ca"), broker.NewCA(t, "foreign")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("server", "localhost", "127.0.0.1"), ClientCA: ca.File})
	own := ca.Issue("client")
	key := ca.Encrypt(own.KeyFile, "sesame")
	at := []string{"-host", "localhost", "-port", strconv.Itoa(b.Port), "-cert", own.CertFile, "-key", key, "-cafile"}
	went := []string{"OnConnect: accepted, over TLS: true", "OnPublish: acknowledged", "OnDisconnect: code 0"}

	t.Setenv("KEY_PASSWORD", "sesame")
	bin.start(t, "tls", append(at, ca.File)...).succeeds(went...)
	_, stderr, code := bin.run(t, "tls", append(at, foreign.File)...)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "certificate verify failed")
	t.Setenv("KEY_PASSWORD", "wrong")
	bin.start(t, "tls", append(at, ca.File)...).fails(1, "tls: mosquitto: connect: ")

	open := broker.Start(t, broker.Config{TLS: ca.Issue("server", "localhost", "127.0.0.1")})
	t.Setenv("SSL_CERT_FILE", ca.File) // OpenSSL takes it for the system's certificates
	bin.start(t, "tls", "-host", "localhost", "-port", strconv.Itoa(open.Port)).succeeds(went...)
	t.Setenv("SSL_CERT_FILE", foreign.File)
	_, _, code = bin.run(t, "tls", "-host", "localhost", "-port", strconv.Itoa(open.Port))
	require.Equal(t, 1, code)
}

func mqtt5Example(t *testing.T, bin examples) {
	b := plain(t)
	bin.start(t, "mqtt5", "-port", strconv.Itoa(b.Port)).succeeds("response to request 1 from mqtt5: HELLO WORLD")
	bin.start(t, "mqtt5", "-port", strconv.Itoa(broker.FreePort(t))).fails(1, "mqtt5: mosquitto: connect: ")
}

func ownloopExample(t *testing.T, bin examples) {
	b := plain(t)
	p := startProgram(t, "one\ntwo\n", filepath.Join(string(bin), "ownloop"), "-port", strconv.Itoa(b.Port))
	p.succeeds("one", "two")
	logged(t, b, "Received DISCONNECT from")

	typed, typing := io.Pipe()
	p = startPiped(t, typed, filepath.Join(string(bin), "ownloop"), "-port", strconv.Itoa(b.Port))
	t.Cleanup(func() { typing.Close() })
	for _, line := range []string{"first", "second", "third"} { // each line is echoed before the next is typed
		_, err := io.WriteString(typing, line+"\n")
		require.NoError(t, err)
		require.Equal(t, line, p.next())
	}
	require.NoError(t, typing.Close())
	p.succeeds()
}

// clientExample connects to the second broker, because the first does not answer. It
// exits cleanly after SIGTERM.
func clientExample(t *testing.T, bin examples) {
	b := plain(t)
	nobody := fmt.Sprintf("mqtt://127.0.0.1:%d", broker.FreePort(t))
	p := bin.start(t, "client", "-t", "a/b", "-m", "is there anybody", nobody, fmt.Sprintf("mqtt://127.0.0.1:%d", b.Port))
	require.Equal(t, "a/b: is there anybody", p.next())
	bin.pub(t, b, "-t", "a/b", "-m", "yes")
	require.Equal(t, "a/b: yes", p.next())
	b.Kill()
	b.Restart()
	wait.Until(t, "the second subscription", func() bool { return strings.Count(b.Log(), "Sending SUBACK") == 2 })
	bin.pub(t, b, "-t", "a/b", "-m", "again")
	require.Equal(t, "a/b: again", p.next())
	p.signal(syscall.SIGTERM)
	lines, stderr, code := p.finish()
	require.Zero(t, code, stderr)
	require.Empty(t, lines)
	require.Contains(t, stderr, nobody+" connecting")

	bin.start(t, "client", "-t", "a/#", fmt.Sprintf("mqtt://127.0.0.1:%d", b.Port)).fails(1, "client: mqtt: topic: ")
	bin.start(t, "client", "nonsense://").fails(1, "client: mqtt: servers[0]: ")
	locked := broker.Start(t, broker.Config{Users: map[string]string{"somebody": "else"}})
	bin.start(t, "client", fmt.Sprintf("mqtt://127.0.0.1:%d", locked.Port)).fails(1, "refused: not authorised")
}

func shareExample(t *testing.T, bin examples) {
	b := plain(t)
	lines, stderr, code := bin.run(t, "share", "-server", fmt.Sprintf("mqtt://127.0.0.1:%d", b.Port), "-workers", "3", "-messages", "300")
	require.Zero(t, code, stderr)
	require.Len(t, lines, 4)
	require.Equal(t, "300 messages, handled by the workers: [100 100 100]", lines[3])
}

// shareExampleWorkerKilled kills a worker that has not received all its messages. No
// message is lost, and no message goes to the other worker.
func shareExampleWorkerKilled(t *testing.T, bin examples) {
	const messages = 4000
	b := plain(t)
	p := bin.start(t, "share", "-server", fmt.Sprintf("mqtt://127.0.0.1:%d", b.Port), "-workers", "2", "-messages", strconv.Itoa(messages))
	pid, err := strconv.Atoi(regexp.MustCompile(`^worker 1 is process (\d+)$`).FindStringSubmatch(p.next())[1])
	require.NoError(t, err)
	require.Contains(t, p.next(), "worker 2 is process ")
	logged(t, b, `Received PUBACK from share-\d+-1`)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	lines, stderr, code := p.finish()
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "worker 1: signal: killed")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "worker 1 is process ")
	tally := regexp.MustCompile(`^4000 messages, handled by the workers: \[(\d+) 2000\]$`).FindStringSubmatch(lines[1])
	require.NotNil(t, tally, lines[1])
	got, err := strconv.Atoi(tally[1])
	require.NoError(t, err)
	require.GreaterOrEqual(t, got, messages/2)
}

//go:build cgo

package mqtttest_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashVariable) != "" { // this child does not end in an orderly way
		os.Exit(m.Run())
	}
	leak.Main(m)
}

func dial(t testing.TB, url string, options ...mqtt.Option) (*mqtt.Client, error) {
	options = append([]mqtt.Option{mqtt.WithBackoff(5*time.Millisecond, 20*time.Millisecond, 0)}, options...)
	client, err := mqtt.Dial(wait.Soon(t), []string{url}, options...)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = client.Close(ctx)
		wait.For(t, client.Done(), "the end of the client")
	})
	return client, nil
}

func mustDial(t testing.TB, url string, options ...mqtt.Option) *mqtt.Client {
	t.Helper()
	client, err := dial(t, url, options...)
	require.NoError(t, err)
	return client
}

// requireRoundTrip checks that the client receives a message that it publishes.
func requireRoundTrip(t testing.TB, client *mqtt.Client, topic string) {
	t.Helper()
	received := make(chan string, 10)
	require.NoError(t, client.Subscribe(wait.Soon(t), topic, 1, func(_ context.Context, m mqtt.Message) {
		received <- string(m.Payload)
	}))
	require.NoError(t, client.Publish(wait.Soon(t), topic, []byte("hello")))
	require.Equal(t, "hello", wait.For(t, received, "the message"))
}

// recorder is a test whose failure is expected.
type recorder struct {
	testing.TB
	fatal    string
	logged   string
	failed   bool
	cleanups []func()
}

func (r *recorder) Failed() bool                 { return r.failed }
func (r *recorder) Logf(format string, a ...any) { r.logged += fmt.Sprintf(format, a...) + "\n" }
func (r *recorder) Cleanup(f func())             { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Fatalf(format string, a ...any) {
	r.fatal, r.failed = fmt.Sprintf(format, a...), true
	runtime.Goexit()
}

// record runs f and its cleanup functions as a test.
func record(t *testing.T, f func(r *recorder)) *recorder {
	t.Helper()
	r := &recorder{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			for _, f := range slices.Backward(r.cleanups) {
				f()
			}
		}()
		f(r)
	}()
	wait.For(t, ended, "the end of the recorded test")
	return r
}

func requireFatal(t *testing.T, text string, f func(r *recorder)) {
	t.Helper()
	r := record(t, f)
	require.Contains(t, r.fatal, text)
	require.True(t, strings.HasPrefix(r.fatal, "mqtttest: "), r.fatal)
}

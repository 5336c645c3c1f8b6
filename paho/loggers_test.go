package mqtt_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/require"
)

// lines is a logger that keeps its lines.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Println(v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprintln(v...))
}

func (l *lines) Printf(format string, v ...any) { l.Println(fmt.Sprintf(format, v...)) }

// contains reports whether a line contains all texts.
func (l *lines) contains(texts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		found := true
		for _, text := range texts {
			found = found && strings.Contains(line, text)
		}
		if found {
			return true
		}
	}
	return false
}

func TestLoggers_GetTheEvents(t *testing.T) {
	b := start(t)
	p := faultproxy.Start(t, b.Addr())
	failures, details, errs := &lines{}, &lines{}, &lines{}
	paho.WARN, paho.DEBUG, paho.ERROR = failures, details, errs
	t.Cleanup(func() { paho.WARN, paho.DEBUG, paho.ERROR = paho.NOOPLogger{}, paho.NOOPLogger{}, paho.NOOPLogger{} })
	c := connect(t, options(p.Port).SetUsername("user").SetPassword("a-long-password"))
	succeed(t, c.Publish("topic", 1, false, "a-long-payload"))
	p.Cut()
	wait.Until(t, "the loss in the log", func() bool { return failures.contains("[client]", "connection lost", "127.0.0.1") })
	wait.Until(t, "the connection in the log", func() bool { return details.contains("[client]", "connected") })
	wait.Until(t, "the packet in the log", func() bool { return details.contains("PUBLISH", "topic") })
	paho.NewFileStore(t.TempDir()).Get("o.1")
	require.True(t, errs.contains("[store]", "not open"))
	paho.NewClientOptions().AddBroker("tcp://user:a-long-password@%zz")
	require.True(t, errs.contains("[client]"))
	for _, l := range []*lines{failures, details, errs} {
		require.False(t, l.contains("a-long-password"))
		require.False(t, l.contains("a-long-payload"))
	}
	c.Disconnect(0) // before the loggers are replaced
}

func TestDefaultConnectionLostHandler_Logs(t *testing.T) {
	details := &lines{}
	paho.DEBUG = details
	t.Cleanup(func() { paho.DEBUG = paho.NOOPLogger{} })
	paho.DefaultConnectionLostHandler(nil, errors.New("the cause"))
	require.True(t, details.contains("the cause"))
	paho.NOOPLogger{}.Println("x")
	paho.NOOPLogger{}.Printf("x")
}

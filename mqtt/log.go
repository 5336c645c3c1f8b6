//go:build cgo

package mqtt

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// clientLog writes to the client's logger, with one method for each event. Without a
// logger the methods do nothing. A separate goroutine writes the lines about the
// connection, in order, because a logger may call the client.
type clientLog struct {
	logger *slog.Logger
	calls  serial
}

// now writes a line on the calling goroutine.
func (l *clientLog) now(level slog.Level, text string, args ...any) {
	if l.logger != nil {
		l.logger.Log(context.Background(), level, "mqtt: "+text, args...)
	}
}

// later writes a line on the goroutine of calls.
func (l *clientLog) later(level slog.Level, text string, args ...any) {
	if l.logger != nil {
		l.calls.add(func() { l.now(level, text, args...) })
	}
}

func (l *clientLog) connected(server string, sessionKept bool, version Protocol) {
	l.later(slog.LevelInfo, "connected", "server", server, "session_kept", sessionKept, "protocol", version.String())
}

func (l *clientLog) lost(server string, err error, attempt int) {
	if attempt == 0 {
		l.later(slog.LevelWarn, "connection lost", "server", server, "error", err)
		return
	}
	l.later(slog.LevelWarn, "connecting failed", "server", server, "error", err, "attempt", attempt)
}

func (l *clientLog) closed(why error) {
	if why != nil {
		l.later(slog.LevelError, "client ended", "error", why)
		return
	}
	l.later(slog.LevelInfo, "closed")
}

func (l *clientLog) onConnectFailed(err error) {
	l.later(slog.LevelError, "a function of WithOnConnect failed", "error", err)
}

func (l *clientLog) onConnectTimeout(limit time.Duration) {
	l.later(slog.LevelWarn, "the functions of WithOnConnect have not returned in time", "limit", limit)
}

func (l *clientLog) lostSubscription(filter string, err error) {
	l.later(slog.LevelError, "subscription not restored", "filter", filter, "error", err)
}

func (l *clientLog) storedMessageLost(topic string, err error) {
	l.later(slog.LevelError, "message of an earlier process not delivered", "topic", topic, "error", err)
}

func (l *clientLog) downgraded(filter string, wanted, granted QoS) {
	l.later(slog.LevelInfo, "subscription granted with a lower QoS", "filter", filter, "wanted", int(wanted), "granted", int(granted))
}

func (l *clientLog) identifiersOff(server string) {
	l.later(slog.LevelWarn, "subscription identifiers turned off: the broker sends several with one message", "server", server)
}

func (l *clientLog) unhandled(topic string) {
	if l.debug() {
		l.now(slog.LevelDebug, "message without a handler", "topic", topic)
	}
}

// enabled reports whether there is a logger.
func (l *clientLog) enabled() bool { return l.logger != nil }

func (l *clientLog) slowHandler(topic string, took time.Duration) {
	l.now(slog.LevelWarn, "a handler ran longer than half the keepalive and blocked the connection", "topic", topic, "took", took)
}

// debug reports whether the logger wants the library's lines, one line for each packet.
func (l *clientLog) debug() bool {
	return l.logger != nil && l.logger.Enabled(context.Background(), slog.LevelDebug)
}

// detail collects what the library logs about a failure: at most 5 different lines.
// Shared: it has its own mutex.
type detail struct {
	mu    sync.Mutex
	lines []string
}

func (d *detail) add(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.lines) < 5 && !slices.Contains(d.lines, line) {
		d.lines = append(d.lines, line)
	}
}

func (d *detail) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, "; ")
}

// watchLibraryLog passes the library's log lines to the logger. During an attempt with
// TLS it also collects errors, because the library returns no error code for OpenSSL's
// failures.
func (c *Client) watchLibraryLog(a *attempt) {
	debug, tls := c.log.debug(), a.server.tls && !c.opts.isRelayed()
	if !debug && !tls {
		return
	}
	c.library.Load().OnLog(func(_ *mosquitto.Client, level mosquitto.LogLevel, text string) {
		text = strings.Join(strings.Fields(text), " ")
		if tls && level&(mosquitto.LogErr|mosquitto.LogWarning) != 0 {
			a.detail.add(text)
		}
		if debug {
			c.log.later(slog.LevelDebug, "libmosquitto", "line", text)
		}
	})
}

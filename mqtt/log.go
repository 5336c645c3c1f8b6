//go:build cgo

package mqtt

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// journal is what a client tells its logger: one method for each event. Without
// a logger they do nothing.
type journal struct{ logger *slog.Logger }

func (j journal) log(level slog.Level, text string, args ...any) {
	if j.logger != nil {
		j.logger.Log(context.Background(), level, "mqtt: "+text, args...)
	}
}

func (j journal) connected(server string, sessionKept bool, version Protocol) {
	j.log(slog.LevelInfo, "connected", "server", server, "session_kept", sessionKept, "protocol", version.String())
}

func (j journal) lost(server string, err error, attempt int) {
	if attempt == 0 {
		j.log(slog.LevelWarn, "connection lost", "server", server, "error", err)
		return
	}
	j.log(slog.LevelWarn, "connecting failed", "server", server, "error", err, "attempt", attempt)
}

func (j journal) closed(why error) {
	if why != nil {
		j.log(slog.LevelError, "client ended", "error", why)
		return
	}
	j.log(slog.LevelInfo, "closed")
}

func (j journal) lostSubscription(filter string, err error) {
	j.log(slog.LevelError, "subscription not restored", "filter", filter, "error", err)
}

func (j journal) lostLeft(topic string, err error) {
	j.log(slog.LevelError, "message of an earlier process not delivered", "topic", topic, "error", err)
}

func (j journal) downgraded(filter string, wanted, granted QoSLevel) {
	j.log(slog.LevelInfo, "subscription granted with a lower QoS", "filter", filter, "wanted", int(wanted), "granted", int(granted))
}

func (j journal) unhandled(topic string) {
	if j.debug() {
		j.log(slog.LevelDebug, "message without a handler", "topic", topic)
	}
}

func (j journal) blocked(patience time.Duration) {
	j.log(slog.LevelWarn, "a handler has not returned, reading on", "after", patience)
}

// watching tells whether anybody would read of a slow handler.
func (j journal) watching() bool { return j.logger != nil }

func (j journal) slowHandler(topic string, took time.Duration) {
	j.log(slog.LevelWarn, "a handler took longer than half the keepalive: the connection stood still", "topic", topic, "took", took)
}

// debug tells whether the library's lines are wanted, one for each packet.
func (j journal) debug() bool {
	return j.logger != nil && j.logger.Enabled(context.Background(), slog.LevelDebug)
}

// listenToLibrary takes the library's lines for the logger, and during an attempt
// with TLS what OpenSSL says: the library has no error for it.
func (c *Client) listenToLibrary(a *attempt, tls bool) {
	debug := c.log.debug()
	if !debug && !tls {
		return
	}
	c.m.OnLog(func(_ *mosquitto.Client, level mosquitto.LogLevel, text string) {
		if tls && level&(mosquitto.LogErr|mosquitto.LogWarning) != 0 {
			a.detail.add(strings.TrimSpace(text))
		}
		if debug {
			c.log.log(slog.LevelDebug, "libmosquitto", "line", text)
		}
	})
}

package mqtt

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Logger writes the log lines of this package.
type Logger interface {
	// Println writes a line as fmt.Println does.
	Println(v ...any)
	// Printf writes a line as fmt.Printf does.
	Printf(format string, v ...any)
}

// NOOPLogger discards all lines.
type NOOPLogger struct{}

// Println does nothing.
func (NOOPLogger) Println(v ...any) {}

// Printf does nothing.
func (NOOPLogger) Printf(format string, v ...any) {}

// The loggers. Set them before the first Connect. ERROR gets losses, WARN gets
// failures, and DEBUG gets connections and a line for each packet. No line contains
// payloads or secrets.
var (
	ERROR    Logger = NOOPLogger{}
	CRITICAL Logger = NOOPLogger{}
	WARN     Logger = NOOPLogger{}
	DEBUG    Logger = NOOPLogger{}
)

// logHandler passes the log lines of package mosquitto/mqtt to the loggers.
type logHandler struct {
	attributes string // of WithAttrs
}

// newLogger returns the logger of a client. It returns nil if all loggers discard their
// lines: package mosquitto/mqtt is faster without a logger.
func newLogger() *slog.Logger {
	if !slices.ContainsFunc([]Logger{ERROR, CRITICAL, WARN, DEBUG}, isUsed) {
		return nil
	}
	return slog.New(logHandler{})
}

// isUsed reports whether a logger writes its lines.
func isUsed(l Logger) bool {
	_, noop := l.(NOOPLogger)
	return l != nil && !noop
}

// loggerOf returns the logger of a level.
func loggerOf(level slog.Level) Logger {
	switch {
	case level > slog.LevelError:
		return CRITICAL
	case level == slog.LevelError:
		return ERROR
	case level >= slog.LevelWarn:
		return WARN
	}
	return DEBUG
}

func (h logHandler) Enabled(_ context.Context, level slog.Level) bool { return isUsed(loggerOf(level)) }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	line := strings.TrimPrefix(r.Message, "mqtt: ") + h.attributes
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	loggerOf(r.Level).Println(CLI, line)
	return nil
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h.attributes += fmt.Sprint(" ", a)
	}
	return h
}

func (h logHandler) WithGroup(string) slog.Handler { return h }

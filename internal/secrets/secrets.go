// Package secrets finds secrets where they must not appear: in log lines, errors and
// printed values. It also finds encoded forms, such as hex and base64.
package secrets

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// Secrets that tests pass to a client. They may appear only in MQTT packets.
const (
	Password    = "Zq8mVx2Lw-password-Kd5Rj9"
	PSK         = "5ec2e75ec2e75ec2e75ec2e7c0ffee99"
	KeyPassword = "Hn4Tr7Jd-key-Ce1Wv8Mo"
	Payload     = "Yb6Kc1Wf-payload-Xt3Gu7"
	Will        = "Pd3Sg9Xu-will-Ba6Nk4Hq"
	Correlation = "Mv5Ra8Ez-data-Lf2Js9Ti"
	Auth        = "Gt7Ni2Qo-auth-Ow5Ey1Vp"
	Proxy       = "Ux4Bj6Ly-proxy-Rm8Zc3D"
)

// shortest is the length in bytes of the shortest part that counts as a leak: the
// first or the last 12 bytes of a secret.
const shortest = 12

// Watch searches a program's output for secrets. Its methods are safe for concurrent
// use.
type Watch struct {
	mu    sync.Mutex
	forms map[string]string // from a forbidden text to the name of its secret
	found []string
	lines int
}

// New returns a Watch that searches for these secrets. The keys are their names.
func New(tb testing.TB, all map[string]string) *Watch {
	tb.Helper()
	w := &Watch{forms: map[string]string{}}
	for name, secret := range all {
		if len(secret) < shortest {
			tb.Fatalf("secrets: %s is shorter than %d bytes", name, shortest)
		}
		for _, part := range []string{secret[:shortest], secret[len(secret)-shortest:]} {
			for _, form := range formsOf(part) {
				w.forms[form] = name
			}
		}
	}
	return w
}

// formsOf returns the forms in which fmt and the standard library's encodings write
// these bytes inside a longer text.
func formsOf(part string) (forms []string) {
	b := []byte(part)
	list := func(format string) string { return strings.Trim(fmt.Sprintf(format, b), "[]") }
	forms = []string{
		part, fmt.Sprintf("%x", b), fmt.Sprintf("%X", b), fmt.Sprintf("% x", b), fmt.Sprintf("% X", b), list("%d"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}"),
	}
	// Base64 encodes groups of three bytes. The form depends on how many bytes of the
	// first group precede the secret.
	for before := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(append(make([]byte, before), b...))
			forms = append(forms, text[(before*8+5)/6:(before+len(b))*8/6])
		}
	}
	return forms
}

// Text searches a text. where says in a report where the text was found.
func (w *Watch) Text(where, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines++
	for form, name := range w.forms {
		if strings.Contains(text, form) {
			w.found = append(w.found, fmt.Sprintf("%s: the %s: %.2000s", where, name, text))
		}
	}
}

// Write searches a log line. It makes Watch an io.Writer.
func (w *Watch) Write(line []byte) (int, error) {
	w.Text("log", string(line))
	return len(line), nil
}

// verbs are the fmt verbs with which Value prints.
var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d"}

// Value searches a value as fmt prints it: alone, as a pointer, and inside a slice,
// a struct and a map. It also searches the value as log/slog logs it.
func (w *Watch) Value(where string, value any) {
	for _, v := range []any{value, pointerTo(value), []any{value}, struct{ Inner any }{value}, map[string]any{"key": value}} {
		for _, verb := range verbs {
			w.Text(where+" as "+verb, fmt.Sprintf(verb, v))
		}
	}
	w.Logged(where, value)
}

// Logged searches a value as log/slog logs it.
func (w *Watch) Logged(where string, value any) {
	for _, v := range []any{value, pointerTo(value)} {
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("line", "value", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("line", "value", v)
		w.Text(where+" as logged", out.String())
	}
}

func pointerTo(value any) any {
	pointer := reflect.New(reflect.TypeOf(value))
	pointer.Elem().Set(reflect.ValueOf(value))
	return pointer.Interface()
}

// Error searches an error and all errors that it wraps. A nil error fails the test,
// because the caller expected an error.
func (w *Watch) Error(tb testing.TB, where string, err error) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("%s: no error", where)
	}
	w.each(where, err)
}

func (w *Watch) each(where string, err error) {
	w.Value(where, err)
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			w.each(where, e)
		}
	} else if e := errors.Unwrap(err); e != nil {
		w.each(where, e)
	}
}

// Lines returns the number of texts that were searched.
func (w *Watch) Lines() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines
}

// Found lists the texts that contained a secret.
func (w *Watch) Found() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.found
}

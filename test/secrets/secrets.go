// Package secrets finds secrets where they must not be: in lines, errors and values,
// in whatever form they are printed.
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

// What must be seen nowhere but on the wire.
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

// shortest is how many bytes of a secret's beginning, or end, give it away.
const shortest = 12

// Watch looks at what a program lets out. Its methods may be called from any
// goroutine.
type Watch struct {
	mu    sync.Mutex
	forms map[string]string // what must not be seen, to the name of the secret
	found []string
	lines int
}

// New looks for these secrets, each under a name.
func New(tb testing.TB, all map[string]string) *Watch {
	tb.Helper()
	w := &Watch{forms: map[string]string{}}
	for name, secret := range all {
		if len(secret) < shortest {
			tb.Fatalf("%s: a secret shorter than %d bytes", name, shortest)
		}
		for _, part := range []string{secret[:shortest], secret[len(secret)-shortest:]} {
			for _, form := range formsOf(part) {
				w.forms[form] = name
			}
		}
	}
	return w
}

// formsOf are the ways in which fmt and the encodings of the standard library write
// bytes, as they stand within a longer text.
func formsOf(part string) (forms []string) {
	b := []byte(part)
	list := func(format string) string { return strings.Trim(fmt.Sprintf(format, b), "[]") }
	forms = []string{
		part, fmt.Sprintf("%x", b), fmt.Sprintf("%X", b), fmt.Sprintf("% x", b), fmt.Sprintf("% X", b), list("%d"),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}"),
	}
	for before := range 3 { // bytes of the last three that it shares with what stands before
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(append(make([]byte, before), b...))
			forms = append(forms, text[(before*8+5)/6:(before+len(b))*8/6])
		}
	}
	return forms
}

// Text looks at a text.
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

// Write looks at a line of a log.
func (w *Watch) Write(line []byte) (int, error) {
	w.Text("log", string(line))
	return len(line), nil
}

// verbs are those with which a value may be printed.
var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d"}

// Value looks at a value as fmt prints it, by itself and within others, and as
// log/slog logs it.
func (w *Watch) Value(where string, value any) {
	for _, v := range []any{value, pointerTo(value), []any{value}, struct{ Inner any }{value}, map[string]any{"key": value}} {
		for _, verb := range verbs {
			w.Text(where+" as "+verb, fmt.Sprintf(verb, v))
		}
	}
	w.Logged(where, value)
}

// Logged checks a value as log/slog logs it.
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

// Error looks at an error and at all that it wraps. Nil is none: the caller had
// expected one.
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

// Lines counts what was looked at.
func (w *Watch) Lines() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lines
}

// Found lists where a secret was seen.
func (w *Watch) Found() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.found
}

package secrets

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWatch_FindsEveryFormOfSecret(t *testing.T) {
	const secret = "a secret of the tests"
	for name, show := range map[string]func(w *Watch){
		"text":       func(w *Watch) { w.Text("", "with "+secret) },
		"beginning":  func(w *Watch) { w.Text("", secret[:15]) },
		"end":        func(w *Watch) { w.Text("", secret[5:]) },
		"log":        func(w *Watch) { fmt.Fprintf(w, "line %q", secret) },
		"hex":        func(w *Watch) { w.Text("", fmt.Sprintf("%x", secret)) },
		"bytes":      func(w *Watch) { w.Text("", fmt.Sprint([]byte(secret))) },
		"Go's bytes": func(w *Watch) { w.Text("", fmt.Sprintf("%#v", []byte(secret))) },
		"JSON": func(w *Watch) {
			slog.New(slog.NewJSONHandler(w, nil)).Info("", "v", struct{ Data []byte }{[]byte("." + secret)})
		},
		"JSON, other base64 alignment": func(w *Watch) {
			slog.New(slog.NewJSONHandler(w, nil)).Info("", "v", struct{ Data []byte }{[]byte(".." + secret)})
		},
		"value":          func(w *Watch) { w.Value("", struct{ Data []byte }{[]byte(secret)}) },
		"pointer":        func(w *Watch) { w.Value("", &struct{ Text string }{secret}) },
		"error":          func(w *Watch) { w.Error(t, "", errors.New(secret)) },
		"wrapped errors": func(w *Watch) { w.Error(t, "", hiding{errors.Join(errors.New("a"), errors.New(secret))}) },
	} {
		w := New(t, map[string]string{"secret": secret})
		w.Text("", "nothing")
		w.Value("", struct{ Text string }{"nothing"})
		require.Empty(t, w.Found(), name)
		before := w.Lines()
		show(w)
		require.NotEmpty(t, w.Found(), name)
		require.Greater(t, w.Lines(), before, name)
	}
}

// hiding is an error that wraps another error and does not print it.
type hiding struct{ err error }

func (hiding) Error() string              { return "hidden" }
func (h hiding) Unwrap() error            { return h.err }
func (hiding) Format(f fmt.State, _ rune) { fmt.Fprint(f, "hidden") }

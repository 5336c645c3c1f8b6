//go:build cgo

package mqtt

import (
	"context"
	"errors"
	"slices"

	"github.com/mosquitto-go/mosquitto"
)

// This file sets the TLS settings of OpenSSL, anew for each attempt to connect. So the
// client uses renewed certificates, and trusts no authority that was removed.

// WithTLS sets the TLS settings. It needs servers with mqtts:// or wss://. It copies the
// PEM texts.
//
// The client reads the files, and calls KeyPassword, before every attempt to connect. It
// does not resume TLS sessions. So a renewed certificate is used, and a removed authority
// is no longer trusted, at the next attempt. If a file cannot be read, or a certificate
// and its key do not fit each other, the attempt fails. KeyPassword runs on a separate
// goroutine; the attempt does not wait for it longer than the connect timeout.
//
// Dial returns an error that wraps [mosquitto.ErrInval], [mosquitto.ErrTLS] or the error
// of package os if the settings cannot be used.
func WithTLS(t TLS) Option {
	return Option{func(s *settings) error {
		t.CA, t.Cert, t.Key, t.ALPN = slices.Clone(t.CA), slices.Clone(t.Cert), slices.Clone(t.Key), slices.Clone(t.ALPN)
		s.tls = &t
		return nil
	}}
}

// WithTLSFunc sets a function that returns the TLS settings, for example with a
// certificate that a vault has issued. The client calls f before every attempt to
// connect, on a separate goroutine, and otherwise does as with [WithTLS]. If f returns an
// error, the attempt fails with this error. ctx ends with the connect timeout.
func WithTLSFunc(f func(ctx context.Context) (TLS, error)) Option {
	return Option{func(s *settings) error {
		if f == nil {
			return badArgument("WithTLSFunc", "f is nil")
		}
		s.tlsFunc = f
		return nil
	}}
}

// tlsOption returns the name of the option that sets TLS up, or "".
func (s *settings) tlsOption() string {
	switch {
	case s.tlsFunc != nil:
		return "WithTLSFunc"
	case s.tls != nil:
		return "WithTLS"
	}
	return ""
}

// checkTLSOptions checks that the options about TLS fit each other and the servers.
func (s *settings) checkTLSOptions(encrypted bool) error {
	switch {
	case s.tls != nil && s.tlsFunc != nil:
		return badArgument("WithTLSFunc", "WithTLS is set too")
	case s.tlsOption() != "" && !encrypted:
		return badArgument(s.tlsOption(), "the servers are not mqtts:// or wss://")
	}
	return nil
}

// usesOpenSSL reports whether the library encrypts the connections with the settings of
// this file.
func (c *Client) usesOpenSSL() bool {
	return c.servers[0].tls && !c.opts.isRelayed() && !c.setupTLS
}

// checkSetupTLS finds out whether a function of WithLibrarySetup has set TLS up itself.
// Its settings then apply.
func (c *Client) checkSetupTLS(m *mosquitto.Client) error {
	c.setupTLS = m.HasTLS()
	if option := c.opts.tlsOption(); option != "" && c.setupTLS {
		return badArgument(option, "WithLibrarySetup has set TLS up too")
	}
	return nil
}

// tryTLS sets fixed TLS settings before the first attempt, so that Dial returns an error
// about them at once.
func (c *Client) tryTLS(ctx context.Context) error {
	if !c.usesOpenSSL() || c.opts.tlsFunc != nil {
		return nil
	}
	if err := c.setTLS(ctx); err != nil {
		return err
	}
	c.tlsReady = true
	return nil
}

// setTLS sets the TLS settings of an attempt. The code of the program, which may block,
// runs until ctx ends.
func (c *Client) setTLS(ctx context.Context) error {
	if !c.usesOpenSSL() {
		return nil
	}
	if c.tlsReady {
		c.tlsReady = false
		return nil
	}
	m := c.library.Load()
	return c.runInBackground(func() error {
		t, err := c.opts.tlsSettings(ctx)
		if err != nil {
			return wrapError("WithTLSFunc", err)
		}
		if password := t.KeyPassword; password != nil {
			t.KeyPassword = func() (string, error) {
				return callUntil(ctx, func(context.Context) (string, error) { return password() })
			}
		}
		if err := m.SetTLS(t); err != nil {
			return tlsError{c.opts.tlsOption(), err}
		}
		return nil
	})
}

// tlsSettings returns the TLS settings of an attempt.
func (s *settings) tlsSettings(ctx context.Context) (TLS, error) {
	switch {
	case s.tlsFunc != nil:
		return callUntil(ctx, s.tlsFunc)
	case s.tls != nil:
		return *s.tls, nil
	}
	return TLS{}, nil
}

// callUntil runs a function of the program in a new goroutine. If ctx ends first, it
// returns the cause and does not wait for f.
func callUntil[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	returned := make(chan answer, 1)
	go func() {
		value, err := f(ctx)
		returned <- answer{value, err}
	}()
	select {
	case a := <-returned:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// tlsError reports TLS settings that cannot be used.
type tlsError struct {
	option string // "" for the default settings
	err    error
}

func (e tlsError) Error() string {
	text := "mqtt: "
	if e.option != "" {
		text += e.option + ": "
	}
	var op *mosquitto.OpError
	if !errors.As(e.err, &op) || op.Detail == "" {
		return text + withoutPrefix(e.err)
	}
	text += op.Detail
	var code mosquitto.Error
	if !errors.As(op.Err, &code) { // the system's error, or the error of KeyPassword
		text += ": " + op.Err.Error()
	}
	return text
}

// Unwrap returns the error of the root package.
func (e tlsError) Unwrap() error { return e.err }

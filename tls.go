//go:build cgo

package mosquitto

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"unsafe"
)

// Values of the argument verify of [Client.TLSOptsSet]. They are those of OpenSSL.
const (
	SSLVerifyNone = 0 // accept any certificate: only for tests
	SSLVerifyPeer = 1 // verify the broker's certificate (default)
)

// TLSSet wraps mosquitto_tls_set: it sets up TLS with certificates from PEM files.
// caFile or caPath has the trusted authorities. caPath is a directory prepared by
// "openssl rehash". For the authorities of the system see [OptTLSUseOSCerts]. certFile
// and keyFile are the client's certificate and key: set both or none.
//
// password returns the password of an encrypted key. It is called in every connect and
// reconnect, on the goroutine that connects or on the library's thread. With a nil
// password an encrypted key cannot be loaded. OpenSSL does not ask on the terminal.
//
// TLSSet checks that the files can be opened. A connect checks their content
// ([ErrTLS]).
//
// The library reads the files at every connect, but keeps the authorities of earlier
// connects. An authority that was removed from caFile stays trusted until Close.
// [Client.SetTLS] has no such limit.
func (c *Client) TLSSet(caFile, caPath, certFile, keyFile string, password func(*Client) (string, error)) (err error) {
	const op = "tls_set"
	defer func() {
		if errors.Is(err, ErrInval) { // the library reports no more than that
			naming(&err, "%s", unreadable(fileArgument{"caFile", caFile}, fileArgument{"certFile", certFile}, fileArgument{"keyFile", keyFile}))
		}
	}()
	for _, arg := range [...]struct{ name, value string }{
		{"caFile", caFile}, {"caPath", caPath}, {"certFile", certFile}, {"keyFile", keyFile},
	} {
		if err := checkText(op, arg.name, arg.value); err != nil {
			return err
		}
	}
	switch {
	case caFile == "" && caPath == "":
		return badArgument(op, ErrInval, "caFile, caPath: both are empty")
	case (certFile == "") != (keyFile == ""):
		return badArgument(op, ErrInval, "certFile, keyFile: one is empty")
	}
	return c.configureTLS(op, func() result {
		r := cTLSSet(c.c, caFile, caPath, certFile, keyFile)
		if r.rc == cSuccess {
			c.tls.Store(true)
			c.hasTLS.Store(true)
			c.listeners.password.set(c, evPassword, password, password != nil)
		}
		return r
	})
}

// TLSInsecureSet wraps mosquitto_tls_insecure_set: true turns off the check of the
// broker's host name. Use it only in tests: any certificate of the CA is then accepted.
func (c *Client) TLSInsecureSet(insecure bool) error {
	return c.configureTLS("tls_insecure_set", func() result { return cTLSInsecureSet(c.c, insecure) })
}

// TLSOptsSet wraps mosquitto_tls_opts_set: it sets the verification of the broker, the
// TLS version and the ciphers. verify is SSLVerifyPeer or SSLVerifyNone. version is
// "tlsv1.1" (not in 2.1), "tlsv1.2" or "tlsv1.3". "" is the library's default. ciphers
// is an OpenSSL list.
func (c *Client) TLSOptsSet(verify int, version, ciphers string) (err error) {
	const op = "tls_opts_set"
	defer naming(&err, "version: this library has no %q", version)
	if err := checkPair(op, "version", version, "ciphers", ciphers); err != nil {
		return err
	}
	if verify != SSLVerifyNone && verify != SSLVerifyPeer {
		return badArgument(op, ErrInval, "verify: %d is neither SSLVerifyNone nor SSLVerifyPeer", verify)
	}
	switch version { // other spellings are accepted by the library, and fail at connect
	case "", "tlsv1.1", "tlsv1.2", "tlsv1.3":
	default:
		return badArgument(op, ErrInval, "version: %q is not tlsv1.1, tlsv1.2 or tlsv1.3", version)
	}
	return c.configureTLS(op, func() result { return cTLSOptsSet(c.c, verify, version, ciphers) })
}

// configureTLS is configure for settings that have no effect after SetTLS.
func (c *Client) configureTLS(op string, set func() result) error {
	if c.made() && c.ownTLS.Load() {
		return badArgument(op, ErrInval, "SetTLS has been called, and replaces this setting")
	}
	return c.configure(op, set)
}

// maxPSK is the largest key that OpenSSL accepts: 512 bytes, in hex digits.
const maxPSK = 1024

// TLSPSKSet wraps mosquitto_tls_psk_set: it sets up TLS with a pre-shared key instead
// of certificates. psk is the key: at most 1,024 hex digits, without 0x. Before 2.0.12
// the library also accepts a broker that sends a certificate instead, and does not
// verify it.
func (c *Client) TLSPSKSet(psk, identity, ciphers string) error {
	const op = "tls_psk_set"
	if err := checkName(op, "psk", psk); err != nil {
		return err
	}
	if err := checkName(op, "identity", identity); err != nil {
		return err
	}
	if err := checkText(op, "ciphers", ciphers); err != nil {
		return err
	}
	if err := checkPSK(op, "psk", psk); err != nil { // the library would write leading zeros past its buffer
		return err
	}
	return c.configureTLS(op, func() result {
		r := cTLSPSKSet(c.c, psk, identity, ciphers)
		if r.rc == cSuccess {
			c.tls.Store(true)
			c.hasTLS.Store(true)
		}
		return r
	})
}

func checkPSK(op, argument, psk string) error {
	switch {
	case !isHex(psk):
		return badArgument(op, ErrInval, "%s: not hex digits only", argument)
	case len(psk) > maxPSK:
		return badArgument(op, ErrInval, "%s: %d digits, more than %d", argument, len(psk), maxPSK)
	}
	return nil
}

func isHex(text string) bool {
	return strings.TrimLeft(text, "0123456789abcdefABCDEF") == ""
}

// SSLGet wraps mosquitto_ssl_get: it returns the connection's OpenSSL SSL object, or
// nil without one. The library owns it, and it is valid only until the connection ends.
// Use it inside a callback.
func (c *Client) SSLGet() unsafe.Pointer {
	if c.begin("ssl_get") != nil {
		return nil
	}
	defer c.end()
	return cSSLGet(c.c)
}

// fileArgument is an argument that names a file.
type fileArgument struct{ argument, file string }

// unreadable returns a text that names the first file that cannot be opened, and why.
func unreadable(files ...fileArgument) string {
	for _, f := range files {
		if fault := f.fault(); fault != "" {
			return fault
		}
	}
	return "caFile, caPath, certFile, keyFile: the library cannot open a file"
}

// fault returns why the file cannot be opened, "" if it can.
func (f fileArgument) fault() string {
	if f.file == "" {
		return ""
	}
	opened, err := os.Open(f.file)
	if err == nil {
		opened.Close()
		return ""
	}
	var fault *fs.PathError
	if errors.As(err, &fault) {
		err = fault.Err
	}
	return f.String() + ": " + err.Error()
}

// String names the argument and the file. A path of a file descriptor means nothing to
// the user.
func (f fileArgument) String() string {
	if f.file == "" || strings.HasPrefix(f.file, "/proc/self/fd/") || strings.HasPrefix(f.file, "/dev/fd/") {
		return f.argument
	}
	return f.argument + ": " + f.file
}

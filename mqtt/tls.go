//go:build cgo

package mqtt

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/mosquitto-go/mosquitto"
)

// TLS says how the broker is known, and how the client makes itself known. The
// zero value trusts what the system trusts. Servers with mqtts:// or wss:// use
// it; without [WithTLS] they use the zero value.
type TLS struct {
	CAFile, CAPath    string // whom to trust: a PEM file, or a directory made by "openssl rehash"
	CertFile, KeyFile string // the client's own, PEM

	// The same from memory, PEM. Nothing of it is written to a disk.
	CA, Cert, Key []byte

	// KeyPassword is asked for the password of an encrypted key, at every connect.
	KeyPassword func() (string, error)

	// PSK is a key that both sides know, in hex digits, instead of certificates.
	PSK, PSKIdentity string

	// ServerName is the name that the broker's certificate must have, if not the
	// host of its address. The files are then read by Dial, once.
	ServerName string

	ALPN       []string // one protocol: the library offers no more
	MinVersion string   // "tlsv1.2" (default) or "tlsv1.3": the lowest version
	Ciphers    string   // an OpenSSL list, for TLS 1.2

	// InsecureSkipHostname accepts a certificate of any host: for tests.
	InsecureSkipHostname bool
	// InsecureSkipVerify accepts anybody as the broker: for tests.
	InsecureSkipVerify bool
}

// WithTLS sets TLS up.
func WithTLS(t TLS) Option {
	return func(s *settings) error {
		s.tls = &t
		return t.check()
	}
}

func (t *TLS) check() error {
	psk := t.PSK != "" || t.PSKIdentity != ""
	certificates := t.CAFile != "" || t.CAPath != "" || t.CertFile != "" || len(t.CA) > 0 || len(t.Cert) > 0
	switch {
	case psk && (t.PSK == "" || t.PSKIdentity == ""):
		return badArgument("WithTLS", "PSK and PSKIdentity go together")
	case psk && certificates:
		return badArgument("WithTLS", "PSK or certificates, not both")
	case t.CAFile != "" && len(t.CA) > 0, t.CertFile != "" && len(t.Cert) > 0, t.KeyFile != "" && len(t.Key) > 0:
		return badArgument("WithTLS", "a file or memory, not both")
	case (t.CertFile != "" || len(t.Cert) > 0) != (t.KeyFile != "" || len(t.Key) > 0):
		return badArgument("WithTLS", "a certificate and its key go together")
	case t.ServerName != "" && (psk || t.InsecureSkipHostname || t.InsecureSkipVerify):
		return badArgument("WithTLS", "ServerName is for certificates that are checked")
	case len(t.CA) > 0 && !containsPEM(t.CA, "CERTIFICATE"):
		return badArgument("WithTLS", "CA: no certificate in PEM form")
	case len(t.Cert) > 0 && !containsPEM(t.Cert, "CERTIFICATE"):
		return badArgument("WithTLS", "Cert: no certificate in PEM form")
	case len(t.Key) > 0 && !containsPEM(t.Key, "KEY"):
		return badArgument("WithTLS", "Key: no key in PEM form")
	case len(t.ALPN) > 1:
		return badArgument("WithTLS", "ALPN: %d protocols, the library offers one", len(t.ALPN))
	}
	return nil
}

// containsPEM reports whether text has a PEM block of a kind.
func containsPEM(text []byte, kind string) bool {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return false
		}
		if strings.HasSuffix(block.Type, kind) {
			return true
		}
		text = rest
	}
}

// apply tells the client underneath. The files are to be kept open as long as it
// connects: it reads them at every connect.
func (t *TLS) apply(m *mosquitto.Client) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	if t.ServerName != "" {
		return nil, t.applyContext(m)
	}
	if t.PSK != "" {
		err = m.TLSPSKSet(t.PSK, t.PSKIdentity, t.Ciphers)
	} else {
		files, err = t.applyCertificates(m)
	}
	if err != nil {
		return files, err
	}
	verify := mosquitto.SSLVerifyPeer
	if t.InsecureSkipVerify {
		verify = mosquitto.SSLVerifyNone
	}
	ciphers := t.Ciphers
	if t.PSK != "" {
		ciphers = ""
	}
	if err := m.TLSOptsSet(verify, t.MinVersion, ciphers); err != nil {
		return files, err
	}
	if t.InsecureSkipHostname || t.InsecureSkipVerify {
		if err := m.TLSInsecureSet(true); err != nil {
			return files, err
		}
	}
	if len(t.ALPN) == 1 {
		return files, m.StringOption(mosquitto.OptTLSALPN, t.ALPN[0])
	}
	return files, nil
}

// pemFiles are files that the library can read, and which of them are to be closed
// when it has.
type pemFiles struct {
	ca, caPath, cert, key string
	files                 []*os.File
}

// readable puts what is in memory into files, and looks for the system's store if
// there is no CA.
func (t *TLS) loadFiles() (p pemFiles, err error) {
	p = pemFiles{ca: t.CAFile, caPath: t.CAPath, cert: t.CertFile, key: t.KeyFile}
	for _, part := range []struct {
		name string
		text []byte
		file *string
	}{{"CA", t.CA, &p.ca}, {"Cert", t.Cert, &p.cert}, {"Key", t.Key, &p.key}} {
		if len(part.text) == 0 {
			continue
		}
		f, err := memoryFile(part.name, part.text)
		if err != nil {
			closeAll(p.files)
			return pemFiles{}, fmt.Errorf("mqtt: WithTLS: %s: %w", part.name, err)
		}
		p.files = append(p.files, f)
		*part.file = fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	}
	if p.ca == "" && p.caPath == "" {
		if p.ca, p.caPath = systemStore(); p.ca == "" && p.caPath == "" {
			closeAll(p.files)
			return pemFiles{}, errors.New("mqtt: WithTLS: no CA given, and no store of the system's found")
		}
	}
	return p, nil
}

func (t *TLS) applyCertificates(m *mosquitto.Client) (files []*os.File, err error) {
	p, err := t.loadFiles()
	if err != nil {
		return nil, err
	}
	var password func(*mosquitto.Client) (string, error)
	if t.KeyPassword != nil {
		password = func(*mosquitto.Client) (string, error) { return t.KeyPassword() }
	}
	return p.files, m.TLSSet(p.ca, p.caPath, p.cert, p.key, password)
}

// applyContext is for a server name: the library itself knows the host only.
func (t *TLS) applyContext(m *mosquitto.Client) error {
	p, err := t.loadFiles()
	if err != nil {
		return err
	}
	defer closeAll(p.files)
	var password string
	if t.KeyPassword != nil {
		if password, err = t.KeyPassword(); err != nil {
			return err
		}
	}
	settings := mosquitto.TLSContext{
		ServerName: t.ServerName, CAFile: p.ca, CAPath: p.caPath, CertFile: p.cert, KeyFile: p.key,
		KeyPassword: password, MinVersion: t.MinVersion, Ciphers: t.Ciphers,
	}
	if len(t.ALPN) == 1 {
		settings.ALPN = t.ALPN[0]
	}
	return m.TLSContextSet(settings)
}

// systemStore is where this system keeps whom it trusts. The library's own option
// for it fails at reconnects (2.0.11).
func systemStore() (file, path string) {
	if file = os.Getenv("SSL_CERT_FILE"); file != "" {
		return file, ""
	}
	if path = os.Getenv("SSL_CERT_DIR"); path != "" {
		return "", path
	}
	for _, file := range []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine, Arch
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
		"/etc/ssl/ca-bundle.pem",                            // SUSE
		"/etc/ssl/cert.pem",                                 // BSD, macOS
	} {
		if _, err := os.Stat(file); err == nil {
			return file, ""
		}
	}
	return "", ""
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

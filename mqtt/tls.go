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

// TLS holds the TLS settings for servers with mqtts:// or wss://. The zero value trusts
// the system's certificate authorities; it is the default without [WithTLS].
type TLS struct {
	CAFile, CAPath    string // trusted authorities: a PEM file, or a directory made by "openssl rehash"
	CertFile, KeyFile string // the client's certificate and key, in PEM files

	// CA, Cert and Key are the same as PEM texts in memory. They are not written to a
	// disk.
	CA, Cert, Key []byte

	// KeyPassword returns the password of an encrypted key. It is called at every
	// connect.
	KeyPassword func() (string, error)

	// PSK is a pre-shared key in hex digits, and PSKIdentity is its name. They are used
	// instead of certificates.
	PSK, PSKIdentity string

	// ServerName is the name in the broker's certificate, if it differs from the
	// server's host. With ServerName, Dial reads the files once; they are not read again
	// at reconnects.
	ServerName string

	ALPN       []string // at most one protocol, because the library offers only one
	MinVersion string   // lowest version: "tlsv1.2" (default) or "tlsv1.3"
	Ciphers    string   // OpenSSL cipher list for TLS 1.2

	// InsecureSkipHostname accepts a certificate of any host. Use it only in tests.
	InsecureSkipHostname bool
	// InsecureSkipVerify accepts any certificate. Use it only in tests.
	InsecureSkipVerify bool
}

// WithTLS sets the TLS settings. It needs servers with mqtts:// or wss://.
func WithTLS(t TLS) Option {
	return Option{func(s *settings) error {
		s.tls = &t
		return t.check()
	}}
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

// apply passes the settings to the library client. The library reads the files at every
// connect, so the caller must keep them open.
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

// pemFiles are the paths that the library reads. The caller must close files when the
// library no longer needs them.
type pemFiles struct {
	ca, caPath, cert, key string
	files                 []*os.File
}

// loadFiles writes PEM texts to memory files. Without a CA it uses the system's store.
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
			return pemFiles{}, errors.New("mqtt: WithTLS: no CA given, and the system has no certificate store")
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

// applyContext sets the TLS context for a ServerName. The library's own options can only
// check the server's host.
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

// systemStore returns the system's certificate store. The library's own option for it
// fails at reconnects (2.0.11).
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

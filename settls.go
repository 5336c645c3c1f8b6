//go:build cgo

package mosquitto

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TLS holds the TLS settings of [Client.SetTLS]. The zero value trusts the certificate
// authorities of the system.
type TLS struct {
	CAFile, CAPath    string // trusted authorities: a PEM file, or a directory made by "openssl rehash"
	CertFile, KeyFile string // the client's certificate with its chain, and its key, in PEM files

	// CA, Cert and Key are the same as PEM texts in memory. They are not written to a
	// file.
	CA, Cert, Key []byte

	// Certificate is the client's certificate, chain and key. [x509.MarshalPKCS8PrivateKey]
	// must accept the key. A key that stays in hardware needs WithTLSConfig of package mqtt.
	Certificate *tls.Certificate

	// KeyPassword returns the password of an encrypted key. It is called whenever such a
	// key is read.
	KeyPassword func() (string, error)

	// PSK is a pre-shared key in hex digits, at most 1,024, and PSKIdentity is its name.
	// They are used instead of certificates, with TLS 1.2.
	PSK, PSKIdentity string

	// ServerName is the name or the IP address in the broker's certificate. Empty, it is
	// the host that the client connects to.
	ServerName string

	ALPN       []string // protocols to offer, the preferred one first
	MinVersion string   // lowest version: "tlsv1.2" (default) or "tlsv1.3"
	Ciphers    string   // OpenSSL cipher list for TLS 1.2

	// InsecureSkipHostname accepts a certificate of any host. Use it only in tests.
	InsecureSkipHostname bool
	// InsecureSkipVerify accepts any certificate. Use it only in tests.
	InsecureSkipVerify bool
}

// tlsVersions are the numbers of the protocol.
var tlsVersions = map[string]int{"": 0x0303, "tlsv1.2": 0x0303, "tlsv1.3": 0x0304}

// SetTLS wraps mosquitto_void_option with [OptSSLCtx]: it sets the TLS settings of the
// next connections, with an SSL_CTX that it makes. They replace all earlier TLS
// settings. [OptTLSOCSPRequired] still applies. After SetTLS, [Client.TLSSet],
// [Client.TLSOptsSet], [Client.TLSPSKSet], [Client.TLSInsecureSet] and the other
// options about TLS would have no effect, so they return [ErrInval].
//
// SetTLS reads the files and calls KeyPassword, once. The client keeps no certificate of
// an earlier call. To use renewed files at a reconnect, call SetTLS again: in
// [Client.OnDisconnect] or before [Client.Reconnect]. A call with the same settings and
// unchanged files costs only the time to read the files.
//
// SetTLS returns [ErrInval] for settings that do not fit each other, [ErrTLS] with the
// reason of OpenSSL for settings that OpenSSL refuses, the errors of package os and of
// KeyPassword. The error names the field. The earlier settings remain in force then.
// In a fully static program SetTLS returns [ErrNotSupported], unless the program was
// built with CGO_CFLAGS=-DGOMOSQ_LINK_OPENSSL.
//
// A unix socket has no host: set ServerName or InsecureSkipHostname.
func (c *Client) SetTLS(t TLS) error {
	const op = "set_tls"
	if err := t.check(op); err != nil {
		return err
	}
	texts, err := t.read(op)
	if err != nil {
		return err
	}
	sum, known := t.sum(&texts)
	same := false
	err = c.configure(op, func() result {
		same = known && c.ownTLS.Load() && c.tlsSum != nil && *c.tlsSum == sum
		return result{}
	})
	if err != nil || same {
		return err
	}
	settings, err := t.shared(op, &texts, &sum, known)
	if err != nil {
		return err
	}
	installed := false
	err = c.configure(op, func() result {
		r := cTLSInstall(c.c, settings)
		if installed = r.rc == cSuccess; installed && known {
			c.tlsSum = &sum
		} else if installed {
			c.tlsSum = nil // the checksum does not cover these settings
		}
		return r
	})
	if !installed {
		cTLSFree(settings)
		return err
	}
	c.hasTLS.Store(true)
	c.ownTLS.Store(true)
	return err
}

// tlsTexts are the texts that the files of TLS settings contain.
type tlsTexts struct {
	ca, cert, key pemText
	directories   string // of trusted authorities
	directoryOf   string // for errors: where the directories are from
}

// read reads the files.
func (t *TLS) read(op string) (texts tlsTexts, err error) {
	if err := t.readTrust(op, &texts); err != nil {
		return texts, err
	}
	return texts, t.readCertificate(op, &texts)
}

// sum returns a checksum of the settings. known is false if the same settings may have
// another meaning at the next call: the files of a directory, or the password, may change.
func (t *TLS) sum(texts *tlsTexts) (sum [sha256.Size]byte, known bool) {
	h := sha256.New()
	for _, part := range [...]string{
		t.MinVersion, t.ServerName, t.Ciphers, t.PSK, t.PSKIdentity, strings.Join(t.ALPN, "\x00"),
		fmt.Sprint(t.InsecureSkipHostname, t.InsecureSkipVerify, len(t.ALPN)),
		string(texts.ca.text), string(texts.cert.text), string(texts.key.text),
	} {
		fmt.Fprintf(h, "%d ", len(part))
		h.Write([]byte(part))
	}
	return [sha256.Size]byte(h.Sum(nil)), texts.directories == "" && t.KeyPassword == nil
}

// HasTLS reports whether TLS was set up with [Client.SetTLS], [Client.TLSSet],
// [Client.TLSPSKSet], [OptTLSUseOSCerts] or [OptSSLCtx].
func (c *Client) HasTLS() bool { return c.made() && c.hasTLS.Load() }

// check refuses settings that do not fit each other.
func (t *TLS) check(op string) error {
	for _, field := range [...]struct{ name, text string }{
		{"CAFile", t.CAFile}, {"CAPath", t.CAPath}, {"CertFile", t.CertFile}, {"KeyFile", t.KeyFile},
		{"PSKIdentity", t.PSKIdentity}, {"ServerName", t.ServerName}, {"Ciphers", t.Ciphers},
	} {
		if err := checkText(op, "TLS."+field.name, field.text); err != nil {
			return err
		}
	}
	psk := t.PSK != "" || t.PSKIdentity != ""
	cert, key := t.CertFile != "" || len(t.Cert) > 0, t.KeyFile != "" || len(t.Key) > 0
	authority := t.CAFile != "" || t.CAPath != "" || len(t.CA) > 0
	bad := func(text string) error { return badArgument(op, ErrInval, "%s", text) }
	switch {
	case psk && (t.PSK == "" || t.PSKIdentity == ""):
		return bad("TLS.PSK, TLS.PSKIdentity: one is empty")
	case psk && (authority || cert || key || t.Certificate != nil):
		return bad("TLS.PSK: set a PSK or certificates, not both")
	case psk && t.MinVersion == "tlsv1.3":
		return bad("TLS.MinVersion: a PSK needs tlsv1.2")
	case t.CAFile != "" && len(t.CA) > 0:
		return bad("TLS.CAFile, TLS.CA: set one of them")
	case t.CertFile != "" && len(t.Cert) > 0:
		return bad("TLS.CertFile, TLS.Cert: set one of them")
	case t.KeyFile != "" && len(t.Key) > 0:
		return bad("TLS.KeyFile, TLS.Key: set one of them")
	case t.Certificate != nil && (cert || key):
		return bad("TLS.Certificate: the certificate or the key is also set in another field")
	case cert != key:
		return bad("TLS.Cert, TLS.Key: a certificate needs its key, and a key needs its certificate")
	case t.ServerName != "" && (psk || t.InsecureSkipHostname || t.InsecureSkipVerify):
		return bad("TLS.ServerName: the settings do not check the name")
	case tlsVersions[t.MinVersion] == 0:
		return badArgument(op, ErrInval, "TLS.MinVersion: %q is not tlsv1.2 or tlsv1.3", t.MinVersion)
	case psk:
		return checkPSK(op, "TLS.PSK", t.PSK)
	}
	for _, protocol := range t.ALPN {
		if len(protocol) < 1 || len(protocol) > 255 {
			return badArgument(op, ErrInval, "TLS.ALPN: a protocol has %d bytes, not 1 to 255", len(protocol))
		}
	}
	return nil
}

// shared returns the settings of another client if they are the same, otherwise it loads
// them. The caller must free or install the result.
func (t *TLS) shared(op string, texts *tlsTexts, sum *[sha256.Size]byte, known bool) (*tlsSettings, error) {
	if !known {
		return t.load(op, texts)
	}
	if s := cTLSFind(sum); s != nil {
		return s, nil
	}
	s, err := t.load(op, texts)
	if err == nil {
		cTLSShare(s, sum)
	}
	return s, err
}

// load passes the settings to OpenSSL. The caller must free or install the result.
func (t *TLS) load(op string, texts *tlsTexts) (_ *tlsSettings, err error) {
	s := cTLSNew(tlsVersions[t.MinVersion], t.InsecureSkipHostname, t.InsecureSkipVerify)
	if s == nil {
		return nil, badArgument(op, ErrNotSupported, "no OpenSSL: a fully static program needs CGO_CFLAGS=-DGOMOSQ_LINK_OPENSSL")
	}
	defer func() {
		if err != nil {
			cTLSFree(s)
		}
	}()
	if err := t.loadNames(op, s); err != nil {
		return nil, err
	}
	if t.PSK != "" {
		return s, t.loadPSK(op, s)
	}
	if err := t.loadTrust(op, texts, s); err != nil {
		return nil, err
	}
	return s, t.loadCertificate(op, texts, s)
}

func (t *TLS) loadNames(op string, s *tlsSettings) error {
	ciphers := t.Ciphers
	if ciphers == "" && t.PSK != "" {
		ciphers = "PSK"
	}
	if ciphers != "" {
		if reason := cTLSCiphers(s, ciphers); reason != "" {
			return refusedSetting(op, "TLS.Ciphers", reason)
		}
	}
	var protocols []byte
	for _, protocol := range t.ALPN {
		protocols = append(append(protocols, byte(len(protocol))), protocol...)
	}
	if !cTLSNames(s, t.ServerName, protocols) {
		return &OpError{Op: op, Err: ErrNoMem}
	}
	return nil
}

func (t *TLS) loadPSK(op string, s *tlsSettings) error {
	digits := t.PSK
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	psk, err := hex.DecodeString(digits)
	if err != nil { // check has looked at the digits; err may quote them
		return badArgument(op, ErrInval, "TLS.PSK: not hex digits only")
	}
	if !cTLSPSK(s, t.PSKIdentity, psk) {
		return &OpError{Op: op, Err: ErrNoMem}
	}
	return nil
}

// readTrust reads the trusted authorities. If none is set, it reads the authorities of the
// system.
func (t *TLS) readTrust(op string, texts *tlsTexts) (err error) {
	if t.PSK != "" {
		return nil
	}
	file, path, fileField, pathField := t.CAFile, t.CAPath, "TLS.CAFile", "TLS.CAPath"
	if file == "" && path == "" && len(t.CA) == 0 {
		if t.InsecureSkipVerify {
			return nil
		}
		if file, path = systemStore(); file == "" && path == "" {
			return badArgument(op, ErrTLS, "TLS.CAFile: empty, and the system has no certificate store")
		}
		fileField, pathField = "the system's certificate store", "the system's certificate store"
	}
	texts.ca = pemText{"TLS.CA", t.CA}
	if file != "" {
		if texts.ca, err = readPEM(op, fileField, file); err != nil {
			return err
		}
	}
	texts.directoryOf, texts.directories = pathField+": "+path, path
	return nil
}

// loadTrust passes the trusted authorities.
func (t *TLS) loadTrust(op string, texts *tlsTexts, s *tlsSettings) error {
	switch {
	case texts.ca.field == "": // no certificate is verified
		return nil
	case texts.directories == "":
		return trustShared(op, texts.ca, s)
	}
	if texts.ca.field != "TLS.CA" || len(t.CA) > 0 {
		if reason := cTLSTrust(s, texts.ca.text); reason != "" {
			return refusedSetting(op, texts.ca.field, reason)
		}
	}
	return loadDirectories(op, texts.directoryOf, texts.directories, s)
}

// loadDirectories passes directories of trusted authorities. OpenSSL opens them during a
// handshake, and reports nothing if one is missing.
func loadDirectories(op, field, path string, s *tlsSettings) error {
	for _, folder := range filepath.SplitList(path) {
		if _, err := os.ReadDir(folder); err != nil {
			return readError(op, field, err)
		}
	}
	if reason := cTLSTrustDirectory(s, path); reason != "" {
		return refusedSetting(op, field, reason)
	}
	return nil
}

// readCertificate reads the client's certificate and its key.
func (t *TLS) readCertificate(op string, texts *tlsTexts) (err error) {
	texts.cert, texts.key = pemText{"TLS.Cert", t.Cert}, pemText{"TLS.Key", t.Key}
	if t.Certificate != nil {
		if texts.cert, texts.key, err = encodeCertificate(op, t.Certificate); err != nil {
			return err
		}
	}
	if t.CertFile != "" {
		if texts.cert, err = readPEM(op, "TLS.CertFile", t.CertFile); err != nil {
			return err
		}
	}
	if t.KeyFile != "" {
		texts.key, err = readPEM(op, "TLS.KeyFile", t.KeyFile)
	}
	return err
}

func (t *TLS) loadCertificate(op string, texts *tlsTexts, s *tlsSettings) error {
	cert, key := texts.cert, texts.key
	if len(cert.text) == 0 && t.CertFile == "" {
		return nil
	}
	if reason := cTLSCertificate(s, cert.text); reason != "" {
		return refusedSetting(op, cert.field, reason)
	}
	if !bytes.Contains(key.text, []byte("PRIVATE KEY-----")) { // the reason of OpenSSL depends on its version
		return refusedSetting(op, key.field, "no key in PEM form")
	}
	password, err := t.keyPassword(op, key.text)
	if err != nil {
		return err
	}
	if reason := cTLSKey(s, key.text, password); reason != "" {
		return refusedSetting(op, key.field, reason)
	}
	return nil
}

// keyPassword returns the password of an encrypted key.
func (t *TLS) keyPassword(op string, key []byte) (string, error) {
	if t.KeyPassword == nil || !bytes.Contains(key, []byte("ENCRYPTED")) {
		return "", nil
	}
	const field = "TLS.KeyPassword"
	password, err := t.KeyPassword()
	if err != nil {
		return "", &OpError{Op: op, Err: err, Detail: field}
	}
	return password, checkText(op, field, password)
}

// pemText is a PEM text, and where it is from.
type pemText struct {
	field string // for errors
	text  []byte
}

func readPEM(op, field, file string) (pemText, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return pemText{}, readError(op, field+": "+file, err)
	}
	return pemText{field + ": " + file, text}, nil
}

// readError reports that a file cannot be read. The field names the file, so err must
// not.
func readError(op, field string, err error) error {
	var fault *fs.PathError
	if errors.As(err, &fault) {
		err = fault.Err
	}
	return &OpError{Op: op, Err: err, Detail: field}
}

// refusedSetting is the refusal of a setting by OpenSSL.
func refusedSetting(op, field, reason string) error {
	return badArgument(op, ErrTLS, "%s: %s", field, sentence(reason))
}

// encodeCertificate returns the chain and the key of a certificate as PEM texts.
func encodeCertificate(op string, c *tls.Certificate) (cert, key pemText, err error) {
	const field = "TLS.Certificate"
	cert.field, key.field = field, field
	switch {
	case len(c.Certificate) == 0:
		return cert, key, badArgument(op, ErrInval, "%s: no certificate", field)
	case c.PrivateKey == nil:
		return cert, key, badArgument(op, ErrInval, "%s: no private key", field)
	}
	for _, der := range c.Certificate {
		cert.text = append(cert.text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return cert, key, badArgument(op, ErrInval, "%s: a private key of type %T cannot be exported to OpenSSL: package mqtt uses it with WithTLSConfig", field, c.PrivateKey)
	}
	key.text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return cert, key, nil
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

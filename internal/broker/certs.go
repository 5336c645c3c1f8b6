package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is a certificate authority for one test.
type CA struct {
	File    string // PEM file of its certificate
	KeyFile string // PEM file of its private key
	Dir     string // directory of all files that it writes

	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Cert names the PEM files of a certificate and its private key.
type Cert struct{ CertFile, KeyFile string }

// NewCA creates a certificate authority with a new key.
func NewCA(tb testing.TB, name string) *CA {
	tb.Helper()
	ca := &CA{tb: tb, Dir: tb.TempDir(), key: newKey(tb)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour), // a soak test may run for days
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &ca.key.PublicKey, ca.key)
	ca.check(err)
	ca.cert, err = x509.ParseCertificate(der)
	ca.check(err)
	ca.File = ca.writePEM("ca.pem", &pem.Block{Type: "CERTIFICATE", Bytes: der})
	ca.KeyFile = ca.writeKey("ca.key", ca.key)
	return ca
}

// Issue creates a certificate for the named hosts and IP addresses. It expires in
// an hour.
func (ca *CA) Issue(name string, hosts ...string) *Cert {
	return ca.IssueFor(name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), hosts...)
}

// IssueFor creates a certificate that is valid between two times.
func (ca *CA) IssueFor(name string, from, to time.Time, hosts ...string) *Cert {
	ca.tb.Helper()
	return ca.sign(name, leaf(name, from, to, hosts))
}

// IssueForClient creates a certificate that is valid for clients only. It expires in
// an hour.
func (ca *CA) IssueForClient(name string, hosts ...string) *Cert {
	ca.tb.Helper()
	template := leaf(name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), hosts)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return ca.sign(name, template)
}

func (ca *CA) sign(name string, template *x509.Certificate) *Cert {
	ca.tb.Helper()
	key := newKey(ca.tb)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	ca.check(err)
	return &Cert{
		CertFile: ca.writePEM(name+".pem", &pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyFile:  ca.writeKey(name+".key", key),
	}
}

// SelfSigned creates a self-signed certificate for the named hosts and IP addresses.
func SelfSigned(tb testing.TB, name string, hosts ...string) *Cert {
	tb.Helper()
	ca := NewCA(tb, name)
	key := newKey(tb)
	template := leaf(name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), hosts)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ca.check(err)
	return &Cert{
		CertFile: ca.writePEM(name+".pem", &pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyFile:  ca.writeKey(name+".key", key),
	}
}

// leaf returns the unsigned certificate of a server or client.
func leaf(name string, from, to time.Time, hosts []string) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: from, NotAfter: to,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template
}

// Encrypt writes a copy of a key file, encrypted with a password, and returns its
// name.
func (ca *CA) Encrypt(keyFile, password string) string {
	ca.tb.Helper()
	text, err := os.ReadFile(keyFile)
	ca.check(err)
	block, _ := pem.Decode(text)
	//lint:ignore SA1019 the format is weak, but OpenSSL reads it and no other function writes it
	block, err = x509.EncryptPEMBlock(rand.Reader, block.Type, block.Bytes, []byte(password), x509.PEMCipherAES256)
	ca.check(err)
	return ca.writePEM(filepath.Base(keyFile)+".encrypted", block)
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (ca *CA) writePEM(name string, block *pem.Block) string {
	file := filepath.Join(ca.Dir, name)
	ca.check(os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	return file
}

func (ca *CA) writeKey(name string, key *ecdsa.PrivateKey) string {
	der, err := x509.MarshalECPrivateKey(key)
	ca.check(err)
	return ca.writePEM(name, &pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func (ca *CA) check(err error) {
	ca.tb.Helper()
	if err != nil {
		ca.tb.Fatal(err)
	}
}

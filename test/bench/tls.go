package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates are the PEM files of the servers.
type certificates struct {
	ca, server, key string
}

// makeCertificates creates an authority, and a certificate with an ECDSA P-256 key for
// servers on the loopback interface.
func makeCertificates(dir string) (files certificates, err error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return files, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return files, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "bench server"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return files, err
	}
	serverDER, err := x509.CreateCertificate(rand.Reader, server, ca, &key.PublicKey, caKey)
	if err != nil {
		return files, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return files, err
	}
	files = certificates{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")}
	return files, errors.Join(
		writePEM(files.ca, "CERTIFICATE", caDER),
		writePEM(files.server, "CERTIFICATE", serverDER),
		writePEM(files.key, "PRIVATE KEY", keyDER))
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// The authority and the TLS sessions of a worker. Without a cache it resumes no session.
var (
	authority *x509.CertPool
	sessions  tls.ClientSessionCache
)

func prepareTLS(job Job) error {
	text, err := os.ReadFile(job.CAFile)
	if err != nil {
		return err
	}
	authority = x509.NewCertPool()
	if !authority.AppendCertsFromPEM(text) {
		return errors.New("no certificate in " + job.CAFile)
	}
	if job.Resume {
		sessions = tls.NewLRUClientSessionCache(0)
	}
	return nil
}

// tlsConfig returns the settings of a client that uses crypto/tls.
func tlsConfig(host string) *tls.Config {
	return &tls.Config{
		RootCAs: authority, ServerName: host, ClientSessionCache: sessions, MinVersion: tls.VersionTLS12,
		VerifyConnection: func(s tls.ConnectionState) error {
			if s.DidResume {
				resumed.Add(1)
			}
			return nil
		},
	}
}

//go:build cgo

package mosquitto

import (
	"crypto/sha256"
	"slices"
	"sync"
)

// This file shares the trusted certificates of TLS settings between clients: to parse the
// system's certificates takes about 10 ms, and they use about 1 MB. The stores of the
// last used PEM texts are kept. Each PEM text has its own store, so an authority that was
// removed from the text is not trusted. Shared: trustStores has its own mutex. It is held
// during calls of OpenSSL that only count references.

const maxTrustStores = 8

type trustStoreOf struct {
	pem   [sha256.Size]byte
	store trustStore
}

var trustStores struct {
	mu   sync.Mutex
	last []trustStoreOf // the most recently used one first
}

// trustShared passes the trusted authorities of a PEM text.
func trustShared(op string, ca pemText, s *tlsSettings) error {
	sum := sha256.Sum256(ca.text)
	if useTrustStore(sum, s) {
		return nil
	}
	if reason := cTLSTrust(s, ca.text); reason != "" {
		return refusedSetting(op, ca.field, reason)
	}
	keepTrustStore(sum, s)
	return nil
}

// useTrustStore reports whether the store of the PEM text is known. s uses it then.
func useTrustStore(sum [sha256.Size]byte, s *tlsSettings) bool {
	trustStores.mu.Lock()
	defer trustStores.mu.Unlock()
	i := slices.IndexFunc(trustStores.last, func(t trustStoreOf) bool { return t.pem == sum })
	if i < 0 {
		return false
	}
	used := trustStores.last[i]
	trustStores.last = slices.Insert(slices.Delete(trustStores.last, i, i+1), 0, used)
	cTLSTrustStore(s, used.store)
	return true
}

// keepTrustStore keeps the store of s for other clients.
func keepTrustStore(sum [sha256.Size]byte, s *tlsSettings) {
	store := cTLSStore(s)
	if store == nil {
		return
	}
	trustStores.mu.Lock()
	defer trustStores.mu.Unlock()
	trustStores.last = slices.Insert(trustStores.last, 0, trustStoreOf{sum, store})
	if n := len(trustStores.last); n > maxTrustStores {
		cTLSStoreFree(trustStores.last[n-1].store)
		trustStores.last = trustStores.last[:n-1]
	}
}

//go:build cgo

package mqtt

// Outbox keeps messages of QoS 1 and 2 until they are acknowledged, so that they
// survive the process: see [WithOutbox]. Its methods may be called from any
// goroutine.
type Outbox interface {
	// Put stores a message durably before it returns, and gives it a key. Keys
	// rise in the order of the calls.
	Put(p *Publication) (key uint64, err error)
	// Delete forgets a message that was acknowledged. It must not wait for the
	// disk: a message whose deletion is lost in a crash is delivered once more.
	Delete(key uint64)
	// Load calls f with each message that is stored, in the order of the keys,
	// until f returns false.
	Load(f func(key uint64, p *Publication) bool) error
}

package boltoutbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

	"github.com/mosquitto-go/mosquitto/mqtt"
	bolt "go.etcd.io/bbolt"
)

var (
	errKey    = errors.New("a key that is invalid or out of order")
	errBucket = errors.New("a bucket instead of a message")
)

// Load calls f for each message whose key is above after, in the order of the keys,
// until f returns false. f may keep the messages. Load returns an error at the first
// record that it cannot read, or [ErrClosed]. Load is safe for concurrent use.
func (o *Outbox) Load(after uint64, f func(key uint64, p *mqtt.Publication) bool) error {
	tx, deleted, err := o.view()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	w := reader{cursor: tx.Bucket(messagesBucket).Cursor(), deleted: deleted, at: after}
	for {
		p, err := w.next()
		if err != nil {
			return o.fileErr("read", err)
		}
		if p == nil || !f(w.at, p) {
			return nil
		}
	}
}

// view returns a snapshot of the file, and the keys of messages that are deleted but
// still stored.
func (o *Outbox) view() (tx *bolt.Tx, deleted map[uint64]bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, nil, ErrClosed
	}
	tx, err = o.db.Begin(false)
	return tx, maps.Clone(o.deleted), o.fileErr("read", err)
}

// reader reads the records in the order of their keys.
type reader struct {
	cursor  *bolt.Cursor
	deleted map[uint64]bool
	at      uint64 // key of the current record
	started bool
}

// next returns the next message, or nil at the end.
func (w *reader) next() (p *mqtt.Publication, err error) {
	err = catchPanic(func() error {
		for {
			record, err := w.step()
			if record == nil || err != nil {
				return err
			}
			if w.deleted[w.at] {
				continue
			}
			if p, err = decode(w.at, record); err != nil {
				return fmt.Errorf("message %d: %w", w.at, err)
			}
			return nil
		}
	})
	return p, err
}

// step returns the next record, or nil at the end. It checks that keys rise: in a
// damaged file the cursor could run in a cycle.
func (w *reader) step() (record []byte, err error) {
	var key []byte
	if w.started {
		key, record = w.cursor.Next()
	} else {
		key, record = w.cursor.Seek(keyBytes(w.at + 1))
		w.started = true
	}
	if key == nil {
		return nil, nil
	}
	if len(key) != 8 || binary.BigEndian.Uint64(key) <= w.at {
		return nil, damage{fmt.Errorf("%w: %q", errKey, key)}
	}
	w.at = binary.BigEndian.Uint64(key)
	if record == nil {
		return nil, damage{errBucket}
	}
	return record, nil
}

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
	errKey    = errors.New("a key that is none of an outbox, or out of order")
	errBucket = errors.New("something else under a message's key")
)

// Load calls f with the messages under keys above after, in their order, until f
// returns false. A record that cannot be read is an error, with which it ends.
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
			return o.fileErr("reading", err)
		}
		if p == nil || !f(w.at, p) {
			return nil
		}
	}
}

// view is the file at this moment, and what was deleted but for the disk.
func (o *Outbox) view() (tx *bolt.Tx, deleted map[uint64]bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, nil, ErrClosed
	}
	tx, err = o.db.Begin(false)
	return tx, maps.Clone(o.deleted), o.fileErr("reading", err)
}

// reader goes through the records.
type reader struct {
	cursor  *bolt.Cursor
	deleted map[uint64]bool
	at      uint64 // key
	started bool
}

// next is the next message, nil at the end.
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

// step goes on to the next record, nil at the end. In a damaged file there may be
// no end.
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

package boltoutbox

import (
	"errors"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// put is a message that Put submits to the writer.
type put struct {
	key    uint64
	record []byte
	done   chan error // capacity 1, for the result
}

// retryDelay is the delay before deletions are tried again after the disk was full.
const retryDelay = time.Second

func (o *Outbox) wakeWriter() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// write is the writer's goroutine. Each transaction writes everything that was queued
// during the previous transaction.
func (o *Outbox) write() {
	defer close(o.done)
	for range o.wake {
		puts, deletes, closed := o.take()
		if len(puts)+len(deletes) > 0 {
			o.commit(puts, deletes)
		}
		if closed {
			return
		}
	}
}

// take removes and returns the queued puts and deletions. If closed is true, nothing
// more will be queued.
func (o *Outbox) take() (puts []*put, deletes []uint64, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	puts, deletes = o.puts, o.deletes
	o.puts, o.deletes = nil, nil
	return puts, deletes, o.closed
}

// commit writes everything in one transaction. If the disk is full, it writes the
// deletions first, because they free space, and then one message after the other.
func (o *Outbox) commit(puts []*put, deletes []uint64) {
	err := o.update(puts, deletes)
	if len(puts) == 0 || !isFull(err) {
		o.finish(puts, deletes, err)
		return
	}
	if len(deletes) > 0 {
		o.finish(nil, deletes, o.update(nil, deletes))
	}
	for i := range puts {
		one := puts[i : i+1]
		o.finish(one, nil, o.update(one, nil))
	}
}

// update writes one transaction. When it returns nil, the transaction is on the disk.
func (o *Outbox) update(puts []*put, deletes []uint64) error {
	if o.diskErr != nil { // only the writer sets it
		return o.diskErr
	}
	change := 0
	err := catchPanic(func() error {
		return o.db.Update(func(tx *bolt.Tx) error {
			b := tx.Bucket(messagesBucket)
			b.FillPercent = 0.9 // keys rise
			for _, key := range deletes {
				if b.Get(keyBytes(key)) == nil {
					continue
				}
				if err := b.Delete(keyBytes(key)); err != nil {
					return err
				}
				change--
			}
			for _, w := range puts {
				if err := b.Put(keyBytes(w.key), w.record); err != nil {
					return err
				}
				change++
			}
			return nil
		})
	})
	if err != nil {
		return o.fileErr("store", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stored += change
	for _, key := range deletes {
		delete(o.deleted, key)
	}
	return nil
}

// isFull reports whether an error is temporary and left the file unchanged: the disk or
// a quota is full. After other errors the content of the file is unknown.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) ||
		err != nil && strings.Contains(err.Error(), "file resize error") // bbolt does not wrap the cause
}

// finish reports the result of an update. Deletions that were not written are queued
// again. After a temporary error they are retried.
func (o *Outbox) finish(puts []*put, deletes []uint64, err error) {
	if err != nil {
		o.mu.Lock()
		o.deletes, o.deleteErr = append(deletes, o.deletes...), err
		if !isFull(err) {
			o.diskErr = err
		} else if len(o.deletes) > 0 && !o.closed {
			o.timer.Reset(retryDelay)
		}
		o.mu.Unlock()
	}
	for _, w := range puts {
		w.done <- err
	}
}

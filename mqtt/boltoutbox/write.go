package boltoutbox

import (
	"errors"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// put is a message on its way to the disk.
type put struct {
	key    uint64
	record []byte
	done   chan error // has room for the outcome
}

// retryDelay is how long deletions wait after a disk was full.
const retryDelay = time.Second

func (o *Outbox) wakeWriter() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// write is the goroutine that writes: all that has come in while it wrote what was
// before, at a time.
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

// take takes what there is to write. After closed nothing more comes.
func (o *Outbox) take() (puts []*put, deletes []uint64, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	puts, deletes = o.puts, o.deletes
	o.puts, o.deletes = nil, nil
	return puts, deletes, o.closed
}

// commit writes all at once. If that does not fit on the disk the deletions go
// first, for they make room, and then as many messages as there is room for.
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

// update makes one transaction, which is on the disk when it returns nil.
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
		return o.fileErr("storing", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stored += change
	for _, key := range deletes {
		delete(o.deleted, key)
	}
	return nil
}

// isFull tells errors after which nothing was written, and which may pass, from
// those that leave unknown what is on the disk.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) ||
		err != nil && strings.Contains(err.Error(), "file resize error") // bbolt's, without its cause
}

// settle tells of the outcome of an update. Deletions that were not written wait
// for another attempt, if one can help.
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

package boltoutbox

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	bolt "go.etcd.io/bbolt"
)

var (
	// ErrClosed is returned by the methods of an outbox after Close.
	ErrClosed = errors.New("boltoutbox: closed")
	// ErrLocked is returned by Open if another process, or another Outbox of this
	// process, has locked the file for longer than [WithLockTimeout] allows.
	ErrLocked = errors.New("another process or Outbox has it open")
	// ErrDamaged is returned for a file that is not an outbox, or is damaged. The file
	// is not changed.
	ErrDamaged = errors.New("not an outbox, or damaged")
)

// Outbox is an [mqtt.Outbox] that stores messages in a file. Its methods are safe for
// concurrent use.
type Outbox struct {
	path string
	db   *bolt.DB
	wake chan struct{} // receives a value when there is something to write
	done chan struct{} // closed when the writer has ended

	mu        sync.Mutex
	last      uint64          // key of the last message
	puts      []*put          // queued for the writer
	deletes   []uint64        // queued for the writer
	deleted   map[uint64]bool // queued deletes, and deletes that are being written
	stored    int             // records in the file
	timer     *time.Timer     // wakes the writer for deletes
	closed    bool
	deleteErr error // why the last deletions were not written
	diskErr   error // a disk error after which the content of the file is unknown
}

var _ mqtt.Outbox = (*Outbox)(nil)

// Option is a setting for [Open].
type Option func(*settings)

type settings struct{ lockWait time.Duration }

// WithLockTimeout sets how long Open waits for the lock of the file. The default is 5 s.
// With 0 Open tries once.
func WithLockTimeout(d time.Duration) Option {
	return func(s *settings) { s.lockWait = max(d, 1) } // bbolt waits for ever with 0
}

// Open opens an outbox, or creates it with mode 0600. The directory must exist, on a
// local file system. The file is locked until Close. Open returns an error that wraps
// [ErrLocked] or [ErrDamaged], or an error of the system.
func Open(path string, options ...Option) (*Outbox, error) {
	s := settings{lockWait: 5 * time.Second}
	for _, option := range options {
		option(&s)
	}
	db, err := openFile(path, s.lockWait)
	if err != nil {
		return nil, err
	}
	o := &Outbox{path: path, db: db, wake: make(chan struct{}, 1), done: make(chan struct{}), deleted: map[uint64]bool{}}
	if err := o.countRecords(); err != nil {
		_ = db.Close()
		return nil, err
	}
	o.timer = time.AfterFunc(time.Hour, o.wakeWriter)
	o.timer.Stop()
	go o.write()
	return o, nil
}

// countRecords counts the records and finds the last key.
func (o *Outbox) countRecords() error {
	return o.fileErr("read", catchPanic(func() error {
		return o.db.View(func(tx *bolt.Tx) error {
			w := reader{cursor: tx.Bucket(messagesBucket).Cursor()}
			for {
				record, err := w.step()
				if record == nil || err != nil {
					return err
				}
				o.last = w.at
				o.stored++
			}
		})
	}))
}

// fileErr adds the path and the operation to an error.
func (o *Outbox) fileErr(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("boltoutbox: %s: %s: %w", o.path, op, err)
}

// Put stores a message and returns its key. It blocks until the message is on the disk.
// Calls of several goroutines share a write. Keys rise, and are not reused while the
// outbox is open. Put does not keep p. If the disk is full, the error wraps
// [syscall.ENOSPC], and a later Put may succeed. After any other disk error Put fails
// until the file is opened again.
func (o *Outbox) Put(p *mqtt.Publication) (key uint64, err error) {
	record := encode(p)
	o.mu.Lock()
	if err := o.acceptErr(); err != nil {
		o.mu.Unlock()
		return 0, err
	}
	o.last++
	w := &put{key: o.last, record: appendSum(o.last, record), done: make(chan error, 1)}
	o.puts = append(o.puts, w)
	o.mu.Unlock()
	o.wakeWriter()
	if err := <-w.done; err != nil {
		return 0, err
	}
	return w.key, nil
}

// acceptErr returns why the outbox accepts nothing, or nil. The caller must hold mu.
func (o *Outbox) acceptErr() error {
	if o.closed {
		return ErrClosed
	}
	return o.diskErr
}

// deleteDelay is how long deletions wait to be written with other deletions or with a
// Put.
const deleteDelay = 50 * time.Millisecond

// Delete removes a message. It does not wait for the disk: the deletion is written after
// about 50 ms, or by Close. After Close, Delete does nothing.
func (o *Outbox) Delete(key uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.deleted[key] {
		return
	}
	o.deleted[key] = true
	o.deletes = append(o.deletes, key)
	if len(o.deletes) == 1 {
		o.timer.Reset(deleteDelay)
	}
}

// Len returns the number of stored messages, or [ErrClosed].
func (o *Outbox) Len() (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, ErrClosed
	}
	return o.stored - len(o.deleted), nil
}

// Close waits for running Puts, writes the deletions and unlocks the file. Close the
// client first. If Close returns an error, deletions may not be on the disk: those
// messages will be delivered again. A second Close returns nil.
func (o *Outbox) Close() error {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		<-o.done
		return nil
	}
	o.closed = true
	o.timer.Stop()
	o.mu.Unlock()
	o.wakeWriter()
	<-o.done
	var err error
	if n := len(o.deleted); n > 0 {
		err = fmt.Errorf("boltoutbox: %s: %d delivered messages could not be deleted: %w", o.path, n, o.deleteErr)
	}
	return errors.Join(err, o.fileErr("close", o.db.Close()))
}

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
	// ErrLocked is returned by Open when the file stays in use: by another
	// process, or by another Outbox of this one.
	ErrLocked = errors.New("somebody else has it open")
	// ErrDamaged is returned for a file that is no outbox, or damaged. Nothing
	// was changed in it.
	ErrDamaged = errors.New("not an outbox, or damaged")
)

// Outbox is an [mqtt.Outbox] in a file. Its methods may be called from any
// goroutine.
type Outbox struct {
	path string
	db   *bolt.DB
	wake chan struct{} // told when there is something to write
	done chan struct{} // the writer has ended

	mu        sync.Mutex
	last      uint64          // key
	puts      []*put          // that wait for the writer
	deletes   []uint64        // that wait for the writer
	deleted   map[uint64]bool // deletes, and those being written
	stored    int             // records in the file
	timer     *time.Timer     // wakes the writer for deletes
	closed    bool
	deleteErr error // why the last deletions were not written
	diskErr   error // the disk has failed: what is on it is not known any more
}

var _ mqtt.Outbox = (*Outbox)(nil)

// Option is a setting of [Open].
type Option func(*settings)

type settings struct{ lockWait time.Duration }

// WithLockTimeout sets how long Open waits for a file that somebody else has open:
// 5 s unless said otherwise. Without a wait there is one attempt.
func WithLockTimeout(d time.Duration) Option {
	return func(s *settings) { s.lockWait = max(d, 1) } // for bbolt 0 is for ever
}

// Open opens the outbox in a file, or makes one, readable for the user alone. The
// folder must be there, on a local file system. The file is locked until Close.
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

// countRecords finds out what is stored.
func (o *Outbox) countRecords() error {
	return o.fileErr("reading", catchPanic(func() error {
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

// fileErr says which file an error is about.
func (o *Outbox) fileErr(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("boltoutbox: %s: %s: %w", o.path, doing, err)
}

// Put stores a message. When it returns nil the message is on the disk. Calls of
// several goroutines share their way there. Keys are never used twice while the
// outbox is open.
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

// acceptErr is why nothing can be stored any more. mu is held.
func (o *Outbox) acceptErr() error {
	if o.closed {
		return ErrClosed
	}
	return o.diskErr
}

// deleteDelay is how long deletions wait for others, or for a Put that they can
// go along with.
const deleteDelay = 50 * time.Millisecond

// Delete forgets a message. It does not wait: the file forgets it some time later,
// at Close at the latest. After Close it does nothing.
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

// Len is how many messages are stored.
func (o *Outbox) Len() (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, ErrClosed
	}
	return o.stored - len(o.deleted), nil
}

// Close waits for calls of Put, writes the deletions, and unlocks the file. An
// error says that deletions could not be written: those messages will be delivered
// again. Close the client before.
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
		err = fmt.Errorf("boltoutbox: %s: %d messages that were delivered are still stored: %w", o.path, n, o.deleteErr)
	}
	return errors.Join(err, o.fileErr("closing", o.db.Close()))
}

package boltoutbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The names of the buckets, and the key and value that identify an outbox.
var (
	metaBucket     = []byte("meta")
	messagesBucket = []byte("messages")
	formatKey      = []byte("format")
	formatName     = []byte("mosquitto-go outbox ") // without the version
	format         = append(slices.Clip(formatName), '1')
)

var (
	errForeign = errors.New("a bbolt database of another program")
	errShort   = errors.New("the file is truncated")
	errNewer   = errors.New("written by a newer version of this package")
)

// openFile opens the database. It checks the length and the format, but not the records.
func openFile(path string, wait time.Duration) (db *bolt.DB, err error) {
	size := int64(0)
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	if size > 0 {
		if err := checkLength(path, wait); err != nil {
			return nil, openErr(path, wait, err)
		}
	}
	err = catchPanic(func() (err error) {
		db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: wait, FreelistType: bolt.FreelistMapType})
		return err
	})
	if err != nil {
		return nil, openErr(path, wait, err)
	}
	if size == 0 {
		err = syncDir(filepath.Dir(path))
	}
	if err == nil {
		err = catchPanic(func() error { return prepare(db) })
	}
	if err != nil {
		_ = db.Close()
		return nil, openErr(path, wait, err)
	}
	return db, nil
}

// checkLength returns an error for a truncated file. Otherwise bbolt would read beyond
// its end. A read-only database reads only the first pages.
func checkLength(path string, wait time.Duration) error {
	return catchPanic(func() error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: wait, ReadOnly: true})
		if err != nil {
			return contentErr(err)
		}
		defer func() { _ = db.Close() }() // Close cannot lose data here: the database is read-only
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return db.View(func(tx *bolt.Tx) error {
			if tx.Size() > info.Size() {
				return damage{errShort}
			}
			return nil
		})
	})
}

// prepare makes the buckets of a new file, and checks the format of other files.
func prepare(db *bolt.DB) error {
	empty := false
	err := db.View(func(tx *bolt.Tx) error {
		first, _ := tx.Cursor().First()
		empty = first == nil
		if empty {
			return nil
		}
		return checkFormat(tx.Bucket(metaBucket), tx.Bucket(messagesBucket))
	})
	if err != nil || !empty {
		return err
	}
	return db.Update(func(tx *bolt.Tx) error {
		meta, err := tx.CreateBucket(metaBucket)
		if err != nil {
			return err
		}
		if _, err = tx.CreateBucket(messagesBucket); err != nil {
			return err
		}
		return meta.Put(formatKey, format)
	})
}

func checkFormat(meta, messages *bolt.Bucket) error {
	switch {
	case meta == nil || messages == nil || !bytes.HasPrefix(meta.Get(formatKey), formatName):
		return damage{errForeign}
	case !bytes.Equal(meta.Get(formatKey), format):
		return errNewer
	}
	return nil
}

// syncDir makes the name of a new file durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// damage marks an error that is caused by the content of the file.
type damage struct{ error }

func (d damage) Error() string { return ErrDamaged.Error() + ": " + d.error.Error() }

func (d damage) Unwrap() []error { return []error{ErrDamaged, d.error} }

// catchPanic converts panics to errors. bbolt panics on damaged pages, and reading a bad
// page of the mapped file raises a fault.
func catchPanic(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damage{fmt.Errorf("%v", p)}
		}
	}()
	return f()
}

// contentErr marks bbolt's errors as damage, except errors of the system and of the
// lock.
func contentErr(err error) error {
	var path *fs.PathError
	var errno syscall.Errno
	if errors.As(err, &path) || errors.As(err, &errno) || errors.Is(err, berrors.ErrTimeout) {
		return err
	}
	return damage{err}
}

// openErr adds the path to an error of Open.
func openErr(path string, wait time.Duration, err error) error {
	if errors.Is(err, berrors.ErrTimeout) {
		err = fmt.Errorf("%w (waited %v)", ErrLocked, wait)
	}
	return fmt.Errorf("boltoutbox: open %s: %w", path, err)
}

package mqtt

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mosquitto-go/mosquitto/paho/packets"
)

// FileStore is a store in a directory, with a file for each packet. The packets survive
// the process. They may not survive a power failure. At most one client may use a
// directory at a time. It reads the files of paho.mqtt.golang. Make it with
// [NewFileStore].
type FileStore struct {
	sync.RWMutex
	directory string
	opened    bool
	last      time.Time // modification time of the newest file
}

const (
	messageSuffix = ".msg"
	partSuffix    = ".tmp"
	badSuffix     = ".CORRUPT"
)

// NewFileStore returns a store that is not open yet. An empty directory means the
// working directory.
func NewFileStore(directory string) *FileStore { return &FileStore{directory: directory} }

// Open makes the store usable. It makes the directory if it does not exist. If this
// fails, Open logs it to [ERROR], and Publish returns errors.
func (store *FileStore) Open() {
	store.Lock()
	defer store.Unlock()
	if store.directory == "" {
		store.directory = "."
	}
	if err := os.MkdirAll(store.directory, 0o770); err != nil {
		ERROR.Println(STR, "the file store cannot make its directory:", err)
	}
	store.opened = true
}

// Close makes the store unusable until the next Open. It keeps the files.
func (store *FileStore) Close() {
	store.Lock()
	defer store.Unlock()
	store.opened = false
}

// Put writes a packet. It replaces an earlier packet with the same key. It logs failures
// to [ERROR].
func (store *FileStore) Put(key string, m packets.ControlPacket) {
	if err := store.put(key, m); err != nil {
		ERROR.Println(STR, err)
	}
}

func (store *FileStore) put(key string, m packets.ControlPacket) error {
	store.Lock()
	defer store.Unlock()
	if !store.isOpen() {
		return fmt.Errorf("paho: file store: %w", os.ErrClosed)
	}
	if err := store.write(key, m); err != nil {
		return fmt.Errorf("paho: file store: %w", err)
	}
	return nil
}

// write writes a file under another name first, so that a crash leaves no half packet.
// The modification times rise, because All sorts by them. The caller must hold the lock.
func (store *FileStore) write(key string, m packets.ControlPacket) error {
	var packet bytes.Buffer
	if err := m.Write(&packet); err != nil {
		return err
	}
	part := store.path(key, partSuffix)
	if err := os.WriteFile(part, packet.Bytes(), 0o660); err != nil {
		return err
	}
	if now := time.Now(); now.After(store.last) {
		store.last = now
	} else {
		store.last = store.last.Add(time.Microsecond)
	}
	if err := os.Chtimes(part, store.last, store.last); err != nil {
		return err
	}
	return os.Rename(part, store.path(key, messageSuffix))
}

// Get reads the packet with a key. It returns nil if there is none. It renames a file
// that is not a packet and logs this to [WARN].
func (store *FileStore) Get(key string) packets.ControlPacket {
	store.RLock()
	defer store.RUnlock()
	if !store.isOpen() {
		return nil
	}
	name := store.path(key, messageSuffix)
	text, err := os.ReadFile(name)
	if err != nil {
		if !os.IsNotExist(err) {
			ERROR.Println(STR, "file store:", err)
		}
		return nil
	}
	packet, err := packets.ReadPacket(bytes.NewReader(text))
	if err != nil {
		WARN.Println(STR, "file store: a file is not a packet and is renamed:", name, err)
		if err := os.Rename(name, store.path(key, badSuffix)); err != nil {
			ERROR.Println(STR, "file store:", err)
		}
		return nil
	}
	return packet
}

// All returns the keys in the order in which they were put.
func (store *FileStore) All() []string {
	store.RLock()
	defer store.RUnlock()
	return store.all()
}

// all implements All. The caller must hold the lock.
func (store *FileStore) all() []string {
	if !store.isOpen() {
		return nil
	}
	files, err := os.ReadDir(store.directory)
	if err != nil {
		ERROR.Println(STR, "file store:", err)
	}
	written := map[string]time.Time{}
	var keys []string
	for _, file := range files {
		key, ok := strings.CutSuffix(file.Name(), messageSuffix)
		info, err := file.Info()
		if ok && err == nil {
			keys = append(keys, key)
			written[key] = info.ModTime()
		}
	}
	slices.SortStableFunc(keys, func(a, b string) int { return written[a].Compare(written[b]) })
	return keys
}

// Del removes a packet.
func (store *FileStore) Del(key string) {
	store.Lock()
	defer store.Unlock()
	store.del(key)
}

// del implements Del. The caller must hold the lock.
func (store *FileStore) del(key string) {
	if !store.isOpen() {
		return
	}
	if err := os.Remove(store.path(key, messageSuffix)); err != nil {
		WARN.Println(STR, "file store:", err)
	}
}

// Reset removes all packets.
func (store *FileStore) Reset() {
	store.Lock()
	defer store.Unlock()
	for _, key := range store.all() {
		store.del(key)
	}
}

// isOpen reports whether the store is open, and logs it if not.
func (store *FileStore) isOpen() bool {
	if !store.opened {
		ERROR.Println(STR, "the file store is used and not open")
	}
	return store.opened
}

// path returns the name of a file.
func (store *FileStore) path(key, suffix string) string {
	return filepath.Join(store.directory, key+suffix)
}

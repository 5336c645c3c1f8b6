//go:build cgo

package mqtt

import (
	"os"

	"golang.org/x/sys/unix"
)

// memoryFile makes a file that exists in memory only. The library reads PEM texts from
// it.
func memoryFile(name string, text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(text); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

//go:build cgo && !linux

package mqtt

import "os"

// memoryFile is for Linux: elsewhere the text would have to be written to a disk.
func memoryFile(string, []byte) (*os.File, error) { return nil, ErrNotSupported }

//go:build cgo && !linux

package mqtt

import "os"

// memoryFile is implemented only for Linux. On other systems the text would have to be
// written to a disk.
func memoryFile(string, []byte) (*os.File, error) { return nil, ErrNotSupported }

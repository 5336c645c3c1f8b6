//go:build cgo

package mqtt

import "syscall"

// threadID names the calling thread. A goroutine that is locked to its thread is
// known by it.
func threadID() int { return syscall.Gettid() }

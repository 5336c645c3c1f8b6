// Package exampletb has a [testing.TB] for examples, so that they can start brokers as
// tests do.
package exampletb

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// TB is a [testing.TB] without a test. It has the methods that helpers of tests call; the
// other methods panic.
type TB struct {
	testing.TB
	cleanups []func()
}

// End runs the functions of Cleanup, the last one first. TestMain calls it.
func (t *TB) End() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
	t.cleanups = nil
}

// Cleanup adds a function for End.
func (t *TB) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// Failed returns false.
func (t *TB) Failed() bool { return false }

// Helper does nothing.
func (t *TB) Helper() {}

// Fatal panics.
func (t *TB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// Fatalf panics.
func (t *TB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// TempDir returns a new directory, which End removes.
func (t *TB) TempDir() string {
	dir, err := os.MkdirTemp("", "examples")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

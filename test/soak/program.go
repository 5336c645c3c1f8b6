package main

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// program implements the methods of testing.TB that the broker and the fault proxies
// need, for use without go test.
type program struct {
	testing.TB
	cleanups []func()
}

// fatal is the value with which Fatal and Fatalf panic.
type fatal string

// Helper does nothing here.
func (p *program) Helper() {}

// Failed returns false, because the soak's report shows failures.
func (p *program) Failed() bool { return false }

// Cleanup registers f to run at the end of the program, in reverse order.
func (p *program) Cleanup(f func()) { p.cleanups = append(p.cleanups, f) }

// Fatal ends the program.
func (p *program) Fatal(args ...any) { panic(fatal(fmt.Sprint(args...))) }

// Fatalf ends the program.
func (p *program) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }

// TempDir creates a directory that is removed at the end of the program.
func (p *program) TempDir() string {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// end runs the registered functions. It recovers from the panic of Fatal, prints its
// message and sets the exit code to 2. The program must defer it.
func (p *program) end(code *int) {
	reason := recover()
	for _, f := range slices.Backward(p.cleanups) {
		f()
	}
	switch reason := reason.(type) {
	case nil:
	case fatal:
		fmt.Fprintln(os.Stderr, reason)
		*code = 2
	default:
		panic(reason)
	}
}

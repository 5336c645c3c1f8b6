package main

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// program is what the tests' brokers and proxies need of a testing.TB, outside
// of go test.
type program struct {
	testing.TB
	cleanups []func()
}

// fatal is what Fatal panics with.
type fatal string

// Helper does nothing here.
func (p *program) Helper() {}

func (p *program) Failed() bool { return false } // its report shows failures

// Cleanup runs f at the end of the program, the last one first.
func (p *program) Cleanup(f func()) { p.cleanups = append(p.cleanups, f) }

// Fatal ends the program.
func (p *program) Fatal(args ...any) { panic(fatal(fmt.Sprint(args...))) }

// Fatalf ends the program.
func (p *program) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }

// TempDir is a folder that is removed at the end.
func (p *program) TempDir() string {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// end is for the end of the program, also one by Fatal.
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

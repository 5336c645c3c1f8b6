// Package program has the functions that the programs of this module share. The programs
// print one line for each event, and wait at some steps for the test.
package program

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"time"
)

// Patience limits each wait. A program that waits longer ends with status 1.
const Patience = 20 * time.Second

// Server is the URL of the server: the program's second argument is its address.
func Server() string { return "tcp://" + os.Args[2] }

// Say prints a line. It is safe for concurrent use.
func Say(format string, values ...any) { fmt.Fprintf(os.Stdout, format+"\n", values...) }

var steps = bufio.NewReader(os.Stdin)

// Step waits until the test continues the program. It must not be called concurrently.
func Step() {
	if _, err := steps.ReadString('\n'); err != nil && err != io.EOF {
		Fail("step", err)
	}
}

// Token lists the methods of a token that this package needs.
type Token interface {
	WaitTimeout(time.Duration) bool
	Error() error
}

// Wait waits for a token and prints how it ended. The texts of errors are the libraries'
// own: a line says only that there was an error.
func Wait(what string, t Token) {
	switch {
	case !t.WaitTimeout(Patience):
		Fail(what, fmt.Errorf("the token was not completed in %v", Patience))
	case t.Error() != nil:
		Say("%s: error", what)
	default:
		Say("%s: ok", what)
	}
}

// Must ends the program if the token has an error.
func Must(what string, t Token) {
	if !t.WaitTimeout(Patience) {
		Fail(what, fmt.Errorf("the token was not completed in %v", Patience))
	}
	if err := t.Error(); err != nil {
		Fail(what, err)
	}
}

// Receive waits for an event.
func Receive[T any](what string, events <-chan T) (event T) {
	select {
	case event = <-events:
	case <-time.After(Patience):
		Fail(what, fmt.Errorf("nothing arrived in %v", Patience))
	}
	return event
}

// Fail ends the program.
func Fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

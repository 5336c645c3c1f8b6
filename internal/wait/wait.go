// Package wait has the functions with which tests wait for a value from a channel,
// or for a condition. If the wait times out, the test fails with the line that
// called the function.
package wait

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is the timeout of every wait. A correct program needs much less time. A
// TestMain can set a longer timeout before it runs the tests.
var Patience = 10 * time.Second

// For receives a value from a channel. It fails the test if none arrives in time.
func For[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(Patience):
		require.FailNow(t, "timeout while waiting for "+what)
	}
	return v
}

// None asserts that the channel holds no value. It does not wait.
func None[T any](t testing.TB, ch <-chan T, what string) {
	t.Helper()
	select {
	case v := <-ch:
		require.FailNow(t, "unexpected "+what, "%+v", v)
	default:
	}
}

// Until polls a condition until it holds. Use it only where no channel or callback
// reports the event.
func Until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			require.FailNow(t, "timeout while waiting for "+what)
		}
	}
}

// Soon returns a context that ends after Patience, or when the test ends.
func Soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// AtOnce starts f in n goroutines at the same time, and waits until all have returned.
func AtOnce(n int, f func(i int)) {
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Add(1)
		go func() {
			defer running.Done()
			<-start
			f(i)
		}()
	}
	close(start)
	running.Wait()
}

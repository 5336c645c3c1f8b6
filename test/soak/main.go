// Soak runs publishers and subscribers over a faulty network while it restarts and
// kills the broker. It checks that every acknowledged message arrives (QoS 2 exactly
// once), and that no memory leaks and no call hangs. It prints a summary. The exit code
// is 1 if a check failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	disableThreadCaches()
	os.Exit(run())
}

// disableThreadCaches executes the program again with malloc's thread caches disabled.
// Each thread caches up to 200 kB of freed memory, which would count as used.
func disableThreadCaches() {
	const tunables, value = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"
	if os.Getenv(tunables) != "" {
		return
	}
	self, err := os.Executable()
	if err == nil {
		err = syscall.Exec(self, os.Args, append(os.Environ(), tunables+"="+value))
	}
	fmt.Fprintln(os.Stderr, "soak: disable malloc's thread caches (the C heap is measured less exactly):", err)
}

func run() (code int) {
	length := flag.Duration("for", 10*time.Minute, "how long to run")
	seed := flag.Int64("seed", time.Now().UnixNano()%1e9, "seed of the random faults; the same seed injects the same faults")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	p := &program{}
	defer p.end(&code)
	progress := newProgress(os.Stderr, *length)
	fmt.Fprintf(os.Stderr, "Soak for %v, seed %d\n", *length, *seed)
	s := start(p, config{length: *length, faultTime: 8 * time.Second, seed: *seed, progress: progress})
	s.soak(ctx)
	s.stop()
	progress.clear()
	fmt.Print(s.summary())
	if s.report.count() > 0 {
		return 1
	}
	return 0
}

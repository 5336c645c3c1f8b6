// Soak runs publishers and subscribers through a faulty network while their
// broker is killed and restarted, and counts: every message that was
// acknowledged must arrive, QoS 2 once, and nothing may leak or hang. It ends
// with a summary, and with code 1 when a promise was broken.
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
	countExactly()
	os.Exit(run())
}

// countExactly starts the program anew with a malloc whose threads keep nothing
// for themselves: what they keep, 200 kB each, would count as used.
func countExactly() {
	const tunables, value = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"
	if os.Getenv(tunables) != "" {
		return
	}
	err := syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), tunables+"="+value))
	fmt.Fprintln(os.Stderr, "the C heap cannot be counted exactly:", err)
}

func run() (code int) {
	length := flag.Duration("for", 10*time.Minute, "how long to run")
	seed := flag.Int64("seed", time.Now().UnixNano()%1e9, "of the faults: the same one plays the same faults")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	p := &program{}
	defer p.end(&code)
	progress := newProgress(os.Stderr, *length)
	fmt.Fprintf(os.Stderr, "Soak for %v, seed %d\n", *length, *seed)
	s := start(p, config{length: *length, trouble: 8 * time.Second, seed: *seed, progress: progress})
	s.soak(ctx)
	s.stop()
	progress.clear()
	fmt.Print(s.summary())
	if s.report.count() > 0 {
		return 1
	}
	return 0
}

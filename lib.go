//go:build cgo

package mosquitto

import (
	"sync"
	"sync/atomic"
	"time"
)

// Functions of the library without a client, and its one-time set-up. This file
// owns the count of LibInit calls and the OpenSSL turn of the process.

// LibVersion wraps mosquitto_lib_version: it returns the version of the library
// that is loaded. 2.1.0, 2.1.1 and 2.1.2 all report 2.1.0.
func LibVersion() (major, minor, revision int) { return cLibVersion() }

// libInit calls mosquitto_lib_init for the package, before the first client,
// because it chooses the clock. It is never undone: mosquitto_lib_cleanup would
// unload the OpenSSL modules of the whole process.
var libInit = sync.OnceFunc(func() { cLibInit() })

// userInits counts the calls of LibInit. mosquitto_lib_init itself is not safe
// for concurrent use.
var userInits struct {
	sync.Mutex
	n int
}

// LibInit wraps mosquitto_lib_init: it initialises the library. Programs need not call
// it, because [New] does.
func LibInit() error {
	libInit()
	userInits.Lock()
	defer userInits.Unlock()
	userInits.n++
	return libError("lib_init", result{rc: cLibInit()})
}

// LibCleanup wraps mosquitto_lib_cleanup: it undoes one LibInit. Without an earlier
// [LibInit] it does nothing. Clients keep working, because the package's own
// initialisation remains.
func LibCleanup() error {
	userInits.Lock()
	defer userInits.Unlock()
	if userInits.n == 0 {
		return nil
	}
	userInits.n--
	return libError("lib_cleanup", result{rc: cLibCleanup()})
}

// openssl serialises the connects that may be the first of the process with TLS:
// the library initialises OpenSSL without a lock. After the first connect that
// succeeds, connects no longer wait for each other.
var openssl = struct {
	ready atomic.Bool
	turn  chan struct{}
}{turn: make(chan struct{}, 1)}

// inOpensslTurn runs a connect after those of other clients. It waits at most
// stopGrace: a connect that hangs in connect(2) has not reached OpenSSL yet.
func (c *Client) inOpensslTurn(connect func() result) result {
	if openssl.ready.Load() || !has21 && !c.tls.Load() { // 2.1 initialises it in every connect
		return connect()
	}
	select {
	case openssl.turn <- struct{}{}:
		defer func() { <-openssl.turn }()
	case <-time.After(stopGrace):
	}
	r := connect()
	if r.rc == cSuccess {
		openssl.ready.Store(true)
	}
	return r
}

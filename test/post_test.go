package test

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// postReport posts a function that reports its goroutine.
func postReport(t testing.TB, c *mosquitto.Client) <-chan string {
	t.Helper()
	ran := make(chan string, 1)
	require.NoError(t, c.Post(func() { ran <- goroutine() }))
	return ran
}

func TestPost_RunsOnTheGoroutineInRun(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "post", true)
	r := connectRun(t, c, e, b.Port)
	loop := wait.For(t, r.goroutine, "the goroutine of Run")
	for range 5 { // each time Run waits for input first
		require.Equal(t, loop, wait.For(t, postReport(t, c), "the posted function"))
	}
}

func TestPost_KeepsTheOrderOfEachGoroutine(t *testing.T) {
	const goroutines, each = 8, 1000
	b := plain(t)
	c, e := newClient(t, "post", true)
	connectRun(t, c, e, b.Port)
	var last [goroutines]int
	var disorder int
	var all sync.WaitGroup
	all.Add(goroutines * each)
	for g := range goroutines {
		go func() {
			for i := 1; i <= each; i++ {
				assert.NoError(t, c.Post(func() {
					if last[g] != i-1 {
						disorder++
					}
					last[g] = i
					all.Done()
				}))
			}
		}()
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	wait.For(t, done, "all posted functions")
	count := make(chan int, 1)
	require.NoError(t, c.Post(func() { count <- disorder }))
	require.Zero(t, wait.For(t, count, "the last posted function"))
}

func TestPost_AllowsEveryCallThatACallbackMayMake(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "post", true)
	r := connectRun(t, c, e, b.Port)
	results := make(chan error, 20)
	inside := make(chan bool, 1)
	require.NoError(t, c.Post(func() {
		inside <- c.InCallback()
		_, err := c.Subscribe("a", 1)
		results <- err
		_, err = c.Publish("a", []byte("x"), 1, false)
		results <- err
		results <- c.UsernamePwSet("user", "password")
		results <- c.WillSet("will", nil, 0, false)
		c.OnPublish(nil)
	}))
	require.False(t, wait.For(t, inside, "the posted function"))
	for range 4 {
		require.NoError(t, wait.For(t, results, "a call"))
	}
	require.Equal(t, "x", string(wait.For(t, e.message, "OnMessage").Payload))
	require.NoError(t, c.Post(func() {
		results <- c.Loop(0)
		results <- c.Reconnect()
		results <- c.Run(context.Background())
		results <- c.Reinitialise("x", true, nil)
		results <- c.Disconnect()
	}))
	for range 4 {
		require.ErrorIs(t, wait.For(t, results, "a call"), mosquitto.ErrBusy)
	}
	require.NoError(t, wait.For(t, results, "Disconnect"))
	require.NoError(t, wait.For(t, r.ended, "the end of Run"))
}

func TestPost_SettersOfOtherGoroutinesAreStillRefused(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "post", true)
	connectRun(t, c, e, b.Port)
	refused := make(chan error, 1)
	require.NoError(t, c.Post(func() {
		other := make(chan error)
		go func() { other <- c.UsernamePwSet("user", "password") }()
		refused <- <-other
	}))
	require.ErrorIs(t, wait.For(t, refused, "the setter"), mosquitto.ErrBusy)
}

func TestPost_CloseInsideAPostedFunctionReturns(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "post", true)
	r := connectRun(t, c, e, b.Port)
	closed := make(chan error, 2)
	ran := make(chan struct{}, 1)
	require.NoError(t, c.Post(func() {
		_ = c.Post(func() { ran <- struct{}{} })
		closed <- c.Close()
		closed <- c.Post(func() {})
	}))
	require.NoError(t, wait.For(t, closed, "Close"))
	require.ErrorIs(t, wait.For(t, closed, "Post after Close"), mosquitto.ErrClosed)
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), mosquitto.ErrClosed)
	wait.None(t, ran, "posted function after Close")
}

func TestPost_BesideCloseRunsOrReturnsAnError(t *testing.T) {
	b := plain(t)
	for range 20 {
		c, e := newClient(t, "", true)
		r := connectRun(t, c, e, b.Port)
		refused := make(chan error, 1)
		go func() {
			for {
				if err := c.Post(func() {}); err != nil {
					refused <- err
					return
				}
			}
		}()
		require.NoError(t, c.Close())
		require.ErrorIs(t, wait.For(t, refused, "Post"), mosquitto.ErrClosed)
		require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), mosquitto.ErrClosed)
	}
}

func TestPost_InsideACallbackRunsAfterIt(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "post", true)
	order := make(chan string, 4)
	c.OnMessage(func(c *mosquitto.Client, _ mosquitto.Message) {
		_ = c.Post(func() { order <- "posted" })
		order <- "callback"
	})
	conn, _ := meetRun(t, c, e, p)
	conn.Send(fakebroker.Publish(0, "a", 0, "x"))
	require.Equal(t, "callback", wait.For(t, order, "the callback"))
	require.Equal(t, "posted", wait.For(t, order, "the posted function"))
}

// The callback is slow and the input long. The posted function runs before the end of
// the input.
func TestPost_RunsBetweenMessagesOfALongInput(t *testing.T) {
	const messages = 200
	p := fakebroker.Listen(t)
	c, e := newClient(t, "post", true)
	received := make(chan int, messages)
	first, goOn := make(chan struct{}), make(chan struct{})
	n := 0
	c.OnMessage(func(*mosquitto.Client, mosquitto.Message) {
		if n++; n == 1 {
			close(first)
			<-goOn
		}
	})
	conn, _ := meetRun(t, c, e, p)
	for range messages {
		conn.Send(fakebroker.Publish(0, "a", 0, string(make([]byte, 2000))))
	}
	wait.For(t, first, "the first message")
	require.NoError(t, c.Post(func() { received <- n }))
	close(goOn)
	require.Less(t, wait.For(t, received, "the posted function"), messages)
}

func TestPost_InsideOnLogIsRefused(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "post", true)
	refused := make(chan error, 1000)
	c.OnLog(func(c *mosquitto.Client, _ mosquitto.LogLevel, _ string) { refused <- c.Post(func() {}) })
	connectRun(t, c, e, b.Port)
	require.ErrorIs(t, wait.For(t, refused, "OnLog"), mosquitto.ErrInCallback)
}

func TestPost_InsideItselfDoesNotStarveTheNetwork(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "post", true)
	connectRun(t, c, e, b.Port)
	stop := make(chan struct{})
	var again func()
	again = func() {
		select {
		case <-stop:
		default:
			_ = c.Post(again)
		}
	}
	require.NoError(t, c.Post(again))
	subscribe(t, c, e, "a", 1)
	_, err := c.Publish("a", []byte("x"), 1, false)
	require.NoError(t, err)
	wait.For(t, e.message, "OnMessage")
	close(stop)
}

func TestPost_InsideItselfDoesNotPreventReconnects(t *testing.T) {
	b := plain(t)
	b.Stop()
	c, e := newClient(t, "post", true)
	require.Error(t, c.Connect("127.0.0.1", b.Port, keepalive))
	var again func()
	again = func() { _ = c.Post(again) }
	require.NoError(t, c.Post(again))
	run(t, c)
	b.Restart()
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
}

func TestPost_WithoutALoopRunsFirstInTheNextRun(t *testing.T) {
	b := plain(t)
	c, _ := newClient(t, "post", true)
	order := make(chan string, 10)
	c.OnConnect(func(*mosquitto.Client, mosquitto.Connack) { order <- "OnConnect" })
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for _, run := range []func(context.Context) error{c.Run, c.RunOnce} {
		require.NoError(t, c.Post(func() { order <- "first" }))
		require.NoError(t, c.Post(func() { order <- "second" }))
		wait.None(t, order, "posted function without a loop")
		require.Error(t, run(ended))
		require.Equal(t, "first", wait.For(t, order, "the first function"))
		require.Equal(t, "second", wait.For(t, order, "the second function"))
	}
	require.NoError(t, c.Post(func() { order <- "first" }))
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	run(t, c)
	require.Equal(t, "first", wait.For(t, order, "the first function"))
	require.Equal(t, "OnConnect", wait.For(t, order, "OnConnect"))
}

func TestPost_RunsDuringBackoff(t *testing.T) {
	c, _ := newClient(t, "post", true)
	require.NoError(t, c.ReconnectDelaySet(time.Hour, time.Hour, false))
	require.Error(t, c.Connect("127.0.0.1", broker.FreePort(t), keepalive))
	r := run(t, c)
	loop := wait.For(t, r.goroutine, "the goroutine of Run")
	for range 3 {
		require.Equal(t, loop, wait.For(t, postReport(t, c), "the posted function"))
	}
	settings := make(chan error, 1)
	require.NoError(t, c.Post(func() { settings <- c.UsernamePwSet("user", "password") }))
	require.NoError(t, wait.For(t, settings, "the setter"))
	require.NoError(t, c.Post(func() { _ = c.Disconnect() }))
	require.NoError(t, wait.For(t, r.ended, "the end of Run"))
}

func TestPost_RunsWhileAConnectIsInProgress(t *testing.T) {
	d := newSilentPort(t)
	d.fill()
	c, _ := newClient(t, "post", true)
	require.NoError(t, c.ConnectAsync("127.0.0.1", d.port, keepalive))
	r := run(t, c)
	loop := wait.For(t, r.goroutine, "the goroutine of Run")
	for range 3 {
		require.Equal(t, loop, wait.For(t, postReport(t, c), "the posted function"))
	}
}

func TestPost_RunsBesideABlockingConnect(t *testing.T) {
	d := newSilentPort(t)
	c, _ := newClient(t, "post", true)
	require.NoError(t, c.Connect("localhost", d.port, keepalive)) // with a host name, connects block
	d.fill()
	require.NoError(t, syscall.Shutdown(c.Socket(), syscall.SHUT_RDWR))
	r := run(t, c)
	loop := wait.For(t, r.goroutine, "the goroutine of Run")
	wait.Until(t, "the connect to hang", d.asked)
	require.Equal(t, loop, wait.For(t, postReport(t, c), "the posted function"))
	busy := make(chan error, 1)
	require.NoError(t, c.Post(func() { busy <- c.WillClear() }))
	require.ErrorIs(t, wait.For(t, busy, "the setter"), mosquitto.ErrBusy)
	r.cancel()
	require.ErrorIs(t, wait.For(t, r.ended, "the end of Run"), context.Canceled)
	d.hangUp()
	wait.Until(t, "the attempt to end", func() bool { return c.WillClear() == nil })
}

func TestPost_PanicLeavesRunAsPanicError(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "post", true)
	require.NoError(t, c.Connect("127.0.0.1", b.Port, keepalive))
	raised := make(chan any, 1)
	go func() {
		defer func() { raised <- recover() }()
		_ = c.Run(context.Background())
	}()
	wait.For(t, e.connect, "OnConnect")
	cause := errors.New("cause")
	ran := make(chan struct{}, 1)
	require.NoError(t, c.Post(func() {
		_ = c.Post(func() { ran <- struct{}{} })
		panic(cause)
	}))
	var fault *mosquitto.PanicError
	require.ErrorAs(t, wait.For(t, raised, "the panic of Run").(error), &fault)
	require.ErrorIs(t, fault, cause)
	require.Contains(t, string(fault.Stack), "post_test.go")
	require.Equal(t, -1, c.Socket(), "the connection is closed")

	require.NoError(t, c.Reconnect()) // the client still works
	run(t, c)
	wait.For(t, e.connect, "OnConnect")
	wait.For(t, ran, "the function queued before the panic")
}

// The CONNACK arrives while the posted function runs.
func TestPost_SlowFunctionBeforeTheConnackKeepsTheConnection(t *testing.T) {
	t.Parallel()
	p := fakebroker.Listen(t)
	c, e := newClient(t, "post", true)
	require.NoError(t, c.Connect("127.0.0.1", p.Port, shortest))
	conn := p.Accept()
	run(t, c)
	conn.Expect(fakebroker.CONNECT)
	started := make(chan struct{})
	require.NoError(t, c.Post(func() {
		close(started)
		time.Sleep(shortest + 2*time.Second)
	}))
	wait.For(t, started, "the posted function")
	conn.Send(fakebroker.Bytes(fakebroker.CONNACK, 0, 0))
	require.NoError(t, wait.For(t, e.connect, "OnConnect").Err())
	wait.None(t, e.disconnect, "OnDisconnect")
}

func TestPost_NilFunctionReturnsError(t *testing.T) {
	c, _ := newClient(t, "post", true)
	err := c.Post(nil)
	require.ErrorIs(t, err, mosquitto.ErrInval)
	require.ErrorContains(t, err, "f: nil")
}

func BenchmarkPost(b *testing.B) {
	server := plain(b)
	c, e := newClient(b, "post", true)
	connectRun(b, c, e, server.Port)
	done := make(chan struct{})
	b.ReportAllocs()
	n := 0
	f := func() { n++ }
	for b.Loop() {
		_ = c.Post(f)
	}
	_ = c.Post(func() { close(done) })
	<-done
}

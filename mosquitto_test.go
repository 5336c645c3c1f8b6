package mosquitto

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

// zeroArguments returns zero values for the parameters of a method, and a background
// context.
func zeroArguments(method reflect.Type) (args []reflect.Value) {
	for i := range method.NumIn() {
		if i == method.NumIn()-1 && method.IsVariadic() {
			break
		}
		in := method.In(i)
		if in == reflect.TypeFor[context.Context]() {
			args = append(args, reflect.ValueOf(context.Background()))
			continue
		}
		args = append(args, reflect.Zero(in))
	}
	return args
}

func TestClient_NilAndZeroClientsReturnErrors(t *testing.T) {
	for name, c := range map[string]*Client{"nil": nil, "zero": {}} {
		client := reflect.ValueOf(c)
		for i := range client.NumMethod() {
			method := client.Type().Method(i).Name
			t.Run(name+"/"+method, func(t *testing.T) {
				if method == "Format" {
					require.Contains(t, fmt.Sprint(c), "mosquitto.Client")
					return
				}
				call := client.Method(i)
				results := call.Call(zeroArguments(call.Type()))
				if len(results) == 0 {
					return
				}
				last := results[len(results)-1]
				switch {
				case last.Type() == reflect.TypeFor[error]():
					require.False(t, last.IsNil(), "an error")
					require.NotContains(t, last.Interface().(error).Error(), "\n")
				case method == "Socket":
					require.Equal(t, int64(-1), last.Int())
				default:
					require.True(t, last.IsZero())
				}
			})
		}
	}
}

// Valid arguments must not make a difference.
func TestClient_NilClientWithValidArgumentsReturnsErrors(t *testing.T) {
	var c *Client
	for _, call := range []func() error{
		func() error { return c.Connect("127.0.0.1", 1883, time.Minute) },
		func() error {
			return c.ConnectAsyncContext(context.Background(), "127.0.0.1", 1883, time.Minute, "", nil)
		},
		func() error { _, err := c.Publish("a", nil, 0, false); return err },
		func() error { _, err := c.Subscribe("a", 0); return err },
		func() error { _, err := c.Unsubscribe("a"); return err },
		func() error { return c.WillSet("a", nil, 0, false) },
		func() error { return c.TLSSet("/", "", "", "", nil) },
		func() error { return c.Post(func() {}) },
		func() error { return c.Disconnect() },
		func() error { return c.Reinitialise("a", true, nil) },
		func() error { return c.Close() },
	} {
		require.ErrorIs(t, call(), ErrInval)
	}
	c.OnMessage(func(*Client, Message) {})
	c.OnLog(func(*Client, LogLevel, string) {})
}

// Close found no loop to stop, so a loop that is about to start must not start.
func TestClient_LoopBesideCloseDoesNotStart(t *testing.T) {
	c, err := New("", true, nil)
	require.NoError(t, err)
	require.NoError(t, c.begin("loop_forever"))
	require.True(t, c.shut())
	_, err = c.own("loop_forever", 0)
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, int32(ownerNone), c.owner.Load())
	c.end()
	c.end()
	<-c.done
}

func TestClient_CallbackSetBesideReinitialiseLasts(t *testing.T) {
	c, err := New("", true, nil)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.begin("reinitialise"))
	c.reinitialising.Lock()
	require.True(t, c.gate.alone())
	var set sync.WaitGroup
	set.Add(2)
	go func() {
		defer set.Done()
		c.OnMessage(func(*Client, Message) {})
	}()
	go func() {
		defer set.Done()
		c.OnLog(func(*Client, LogLevel, string) {})
	}()
	wait.Until(t, "the setters to wait for Reinitialise", func() bool {
		stacks := make([]byte, 1<<20)
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "awaitReinitialise(") == 2
	})
	c.listeners.clear()
	c.gate.together()
	c.reinitialising.Unlock()
	c.end()
	set.Wait()
	_, message := c.listeners.message.get()
	_, log := c.listeners.log.get()
	require.True(t, message && log)
}

func TestUserData_CanBeReplaced(t *testing.T) {
	c, err := New("", true, "first")
	require.NoError(t, err)
	require.Equal(t, "first", c.UserData())
	c.SetUserData(2)
	require.Equal(t, 2, c.UserData())
	c.SetUserData(nil)
	require.Nil(t, c.UserData())
	require.NoError(t, c.Close())
	c.SetUserData("set after Close")
	require.Equal(t, "set after Close", c.UserData())
}

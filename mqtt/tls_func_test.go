//go:build cgo

package mqtt_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/sslctx"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

func TestTLSFunc_ErrorFailsTheAttempt(t *testing.T) {
	t.Parallel()
	sealed := errors.New("the vault is sealed")
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1")})
	attempts := 0
	f := mqtt.WithTLSFunc(func(context.Context) (mqtt.TLS, error) {
		if attempts++; attempts < 3 { // no lock needed: attempts do not overlap
			return mqtt.TLS{}, sealed
		}
		return mqtt.TLS{CAFile: ca.File}, nil
	})
	_, err := mqtt.Dial(wait.Soon(t), []string{secure(b.Port)}, f)
	requireConnectError(t, err, secure(b.Port))
	require.ErrorIs(t, err, sealed)
	require.EqualError(t, err, "mqtt: connect "+secure(b.Port)+": WithTLSFunc: the vault is sealed")
	dialAll(t, []string{secure(b.Port)}, f) // the client retries after a failed attempt
}

func TestTLSFunc_ContextEndsWithTheConnectTimeout(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	_, err := mqtt.Dial(wait.Soon(t), []string{"mqtts://127.0.0.1"}, mqtt.WithConnectTimeout(50*time.Millisecond),
		mqtt.WithTLSFunc(func(ctx context.Context) (mqtt.TLS, error) {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return mqtt.TLS{}, ctx.Err()
		}))
	require.ErrorIs(t, err, mqtt.ErrConnectTimeout)
	require.ErrorIs(t, wait.For(t, ended, "the end of the context"), mqtt.ErrConnectTimeout)
}

// A function of the program that does not return delays neither the next attempt nor Close.
func TestTLSFunc_HangingFunctionsDoNotHoldUpTheClient(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	own := ca.Issue("client")
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	password := func() (string, error) {
		<-hang
		return "", errors.New("too late")
	}
	settings := mqtt.TLS{CAFile: ca.File, CertFile: own.CertFile, KeyFile: ca.Encrypt(own.KeyFile, "secret"), KeyPassword: password}
	for name, f := range map[string]func(context.Context) (mqtt.TLS, error){
		"function": func(context.Context) (mqtt.TLS, error) { return mqtt.TLS{}, second(password()) },
		"password": func(context.Context) (mqtt.TLS, error) { return settings, nil },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mqtt.Dial(wait.Soon(t), []string{"mqtts://127.0.0.1"}, mqtt.WithConnectTimeout(50*time.Millisecond), mqtt.WithTLSFunc(f))
			require.ErrorIs(t, err, mqtt.ErrConnectTimeout)

			called := make(chan struct{}, 1)
			c, err := mqtt.Dial(wait.Soon(t), []string{"mqtts://127.0.0.1"}, mqtt.WithBackgroundConnect(), mqtt.WithConnectTimeout(time.Hour),
				mqtt.WithTLSFunc(func(ctx context.Context) (mqtt.TLS, error) {
					called <- struct{}{}
					return f(ctx)
				}))
			require.NoError(t, err)
			wait.For(t, called, "the call of the function")
			require.Error(t, c.Publish(context50ms(t), "a", nil), "the loop serves calls")
			closeNow(t, c)
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := mqtt.Dial(ctx, []string{"mqtts://127.0.0.1"}, mqtt.WithTLS(settings))
	require.ErrorIs(t, err, context.DeadlineExceeded, "Dial asks for the password of fixed settings")
	require.ErrorContains(t, err, "mqtt: WithTLS: TLS.KeyPassword: ")
}

// The first attempt uses the key that Dial has read, so KeyPassword is called only once.
func TestTLS_KeyPasswordIsCalledOnceForEachAttempt(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "127.0.0.1"), ClientCA: ca.File})
	own := ca.Issue("client")
	calls := make(chan string, 1000)
	settings := mqtt.TLS{CAFile: ca.File, CertFile: own.CertFile, KeyFile: ca.Encrypt(own.KeyFile, "secret"), KeyPassword: func() (string, error) {
		calls <- ""
		return "secret", nil
	}}
	dialAll(t, []string{secure(b.Port)}, mqtt.WithTLS(settings))
	require.Len(t, calls, 1)
	settings.KeyFile = own.KeyFile
	dialAll(t, []string{secure(b.Port)}, mqtt.WithTLS(settings))
	require.Len(t, calls, 1, "the key is not encrypted")
}

// signerOnly is a key that can sign but cannot be exported, like a key in hardware.
type signerOnly struct{ crypto.Signer }

func TestTLS_KeyThatCannotBeExportedNeedsWithTLSConfig(t *testing.T) {
	t.Parallel()
	ca := broker.NewCA(t, "authority")
	own := ca.Issue("client")
	pair, err := tls.LoadX509KeyPair(own.CertFile, own.KeyFile)
	require.NoError(t, err)
	pair.PrivateKey = signerOnly{pair.PrivateKey.(crypto.Signer)}
	_, err = mqtt.Dial(wait.Soon(t), []string{secure(broker.FreePort(t))}, mqtt.WithTLS(mqtt.TLS{CAFile: ca.File, Certificate: &pair}))
	requireOneLine(t, err)
	require.ErrorIs(t, err, mosquitto.ErrInval)
	require.ErrorContains(t, err, "mqtt: WithTLS: TLS.Certificate: ")
	require.ErrorContains(t, err, "WithTLSConfig")
}

func TestTLSFunc_OptionsThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	settings := func(context.Context) (mqtt.TLS, error) { return mqtt.TLS{}, nil }
	for says, test := range map[string]struct {
		server  string
		options []mqtt.Option
	}{
		"WithTLSFunc: f is nil":                   {"mqtts://h", []mqtt.Option{mqtt.WithTLSFunc(nil)}},
		"WithTLSFunc: WithTLS is set too":         {"mqtts://h", []mqtt.Option{mqtt.WithTLSFunc(settings), mqtt.WithTLS(mqtt.TLS{})}},
		"WithTLSFunc: the servers are not":        {"mqtt://h", []mqtt.Option{mqtt.WithTLSFunc(settings)}},
		"WithTLSConfig: WithTLSFunc is set too":   {"mqtts://h", []mqtt.Option{mqtt.WithTLSFunc(settings), mqtt.WithTLSConfig(&tls.Config{})}},
		"WithTLS: WithLibrarySetup has set TLS":   {"mqtts://h", []mqtt.Option{mqtt.WithTLS(mqtt.TLS{}), mqtt.WithLibrarySetup(ownTLS("/"))}},
		"WithTLSFunc: WithLibrarySetup has set T": {"mqtts://h", []mqtt.Option{mqtt.WithTLSFunc(settings), mqtt.WithLibrarySetup(ownTLS("/"))}},
	} {
		_, err := mqtt.Dial(wait.Soon(t), []string{test.server}, test.options...)
		require.ErrorIs(t, err, mosquitto.ErrInval, says)
		require.ErrorContains(t, err, "mqtt: "+says)
	}
}

// ownTLS sets up TLS with the root package.
func ownTLS(caPath string) func(*mosquitto.Client) error {
	return func(m *mosquitto.Client) error { return m.TLSSet("", caPath, "", "", nil) }
}

// TLS that WithLibrarySetup sets up stays as it is.
func TestTLS_LibrarySetupMaySetTLSUp(t *testing.T) {
	t.Parallel()
	ca, other := broker.NewCA(t, "authority"), broker.NewCA(t, "other")
	b := broker.Start(t, broker.Config{TLS: ca.Issue("broker", "localhost")})
	server := fmt.Sprintf("mqtts://localhost:%d", b.Port)
	for name, setup := range map[string]func(caFile string) func(*mosquitto.Client) error{
		"TLSSet": func(caFile string) func(*mosquitto.Client) error { return ownTLS(sslctx.HashedDir(t, caFile)) },
		"context": func(caFile string) func(*mosquitto.Client) error {
			ctx := sslctx.New(t, caFile)
			return func(m *mosquitto.Client) error {
				return errors.Join(m.IntOption(mosquitto.OptSSLCtxWithDefaults, 0), m.VoidOption(mosquitto.OptSSLCtx, ctx))
			}
		},
	} {
		c := dialAll(t, []string{server}, mqtt.WithLibrarySetup(setup(ca.File)))
		b.Restart()
		requireServed(t, c)
		_, err := mqtt.Dial(wait.Soon(t), []string{server}, mqtt.WithLibrarySetup(setup(other.File)))
		require.ErrorContains(t, err, badCertificate, name)
	}
}

//go:build cgo

package mqtt_test

import (
	"cmp"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/secrets"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// need21 skips a test with a library before 2.1.
// TestWithAuth_NeedsLibrary21 asserts what these libraries do.
func need21(t testing.TB) {
	t.Helper()
	if !has21() {
		t.Skip("needs libmosquitto 2.1")
	}
}

func has21() bool {
	major, minor, _ := mosquitto.LibVersion()
	return major*1000+minor >= 2001
}

// exchange is an AuthExchange that calls functions. A nil function returns no data and no error.
type exchange struct {
	start   func(context.Context) ([]byte, error)
	proceed func(context.Context, []byte) ([]byte, error)
	finish  func(context.Context, []byte) error
}

func (e exchange) Start(ctx context.Context) ([]byte, error) {
	if e.start == nil {
		return nil, nil
	}
	return e.start(ctx)
}

func (e exchange) Continue(ctx context.Context, challenge []byte) ([]byte, error) {
	if e.proceed == nil {
		return nil, nil
	}
	return e.proceed(ctx, challenge)
}

func (e exchange) Finish(ctx context.Context, data []byte) error {
	if e.finish == nil {
		return nil
	}
	return e.finish(ctx, data)
}

// withExchange authenticates with the method M.
func withExchange(e exchange) mqtt.Option {
	return mqtt.WithAuth("M", func() mqtt.AuthExchange { return e })
}

// withScram authenticates with a password.
func withScram(password string) mqtt.Option {
	return mqtt.WithAuth("SCRAM-SHA-256", func() mqtt.AuthExchange {
		return &scram{username: "user", password: password, nonce: rand.Text()}
	})
}

// dialAuth connects with MQTT 5. It tries the server once.
func dialAuth(t testing.TB, port int, options ...mqtt.Option) error {
	t.Helper()
	c, err := mqtt.Dial(wait.Soon(t), []string{url(port)}, append(options, mqtt.WithProtocol(mqtt.V5), fast())...)
	if err == nil {
		t.Cleanup(func() { closeNow(t, c) })
	}
	return err
}

// authFields returns method and data of a CONNECT or an AUTH packet.
func authFields(p packet) (method, data string) {
	var skip int
	switch p.Type() {
	case fakebroker.CONNECT:
		skip = 10 // protocol, level, flags, keepalive
	case fakebroker.AUTH:
		skip = 1 // reason code
	default:
		return "", ""
	}
	props, _ := p.cutProperties(p.Body[skip:])
	for len(props) > 0 {
		switch id := props[0]; id {
		case byte(mqtt.PropAuthenticationMethod):
			method, props = cutText(props[1:])
		case byte(mqtt.PropAuthenticationData):
			data, props = cutText(props[1:])
		case byte(mqtt.PropReceiveMaximum), byte(mqtt.PropTopicAliasMaximum):
			props = props[3:]
		default:
			props = props[5:]
		}
	}
	return method, data
}

// scramBroker is the server's side of SCRAM-SHA-256. Its user has the password pencil. It
// replies to CONNECT and AUTH.
type scramBroker struct {
	signed func(connection int, signature string) string // changes the server's signature

	message string // the text that client and server sign
	nonce   string
}

func (s *scramBroker) reply(c *brokerConn, p packet) bool {
	const iterations, saltText = 4096, "W22ZaJ0SNY7soEsUEjb6gQ=="
	method, data := authFields(p)
	switch p.Type() {
	case fakebroker.CONNECT:
		first := strings.TrimPrefix(data, "n,,")
		_, nonce, _ := strings.Cut(first, ",r=")
		s.nonce = nonce + rand.Text()
		challenge := fmt.Sprintf("r=%s,s=%s,i=%d", s.nonce, saltText, iterations)
		s.message = first + "," + challenge
		c.write(fakebroker.Auth(byte(mqtt.RCContinueAuthentication), fakebroker.AuthMethod(method), fakebroker.AuthData(challenge)))
		return true
	case fakebroker.AUTH:
		final, proof, _ := strings.Cut(data, ",p=")
		s.message += "," + final
		salt, _ := base64.StdEncoding.DecodeString(saltText)
		salted, _ := pbkdf2.Key(sha256.New, "pencil", salt, iterations, sha256.Size)
		stored := sha256.Sum256(mac(salted, "Client Key"))
		want := mac(stored[:], s.message)
		got, _ := base64.StdEncoding.DecodeString(proof)
		for i := range got {
			got[i] ^= want[i]
		}
		if final != "c=biws,r="+s.nonce || sha256.Sum256(got) != stored {
			c.write(c.version.Connack(false, byte(mqtt.RCNotAuthorized)))
			return true
		}
		signature := "v=" + base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), s.message))
		if s.signed != nil {
			signature = s.signed(c.number, signature)
		}
		c.write(c.version.Connack(false, 0, fakebroker.AuthMethod(method), fakebroker.AuthData(signature)))
		return true
	}
	return false
}

// The example of RFC 7677, byte by byte.
func TestWithAuth_ScramExchangeMatchesRFC7677(t *testing.T) {
	t.Parallel()
	need21(t)
	p := fakebroker.Listen(t)
	dialed := make(chan error, 1)
	go func() {
		dialed <- dialAuth(t, p.Port, mqtt.WithClientID("id"), mqtt.WithAuth("SCRAM-SHA-256", func() mqtt.AuthExchange {
			return &scram{username: "user", password: "pencil", nonce: "rOprNGfwEbeRWgbNEkqO"}
		}))
	}()
	d := p.Accept().Dialog()
	d.Expect(`10 < 'MQTT' 05 02 00 3C < 15 'SCRAM-SHA-256' 16 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO' 21 FF FF > 'id' >`)
	d.Send(`F0 < 18 < 15 'SCRAM-SHA-256' 16 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096' > >`)
	d.Expect(`F0 < 18 < 15 'SCRAM-SHA-256' 16 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=' > >`)
	d.Send(`20 < 00 00 < 15 'SCRAM-SHA-256' 16 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=' > >`)
	require.NoError(t, wait.For(t, dialed, "Dial"))
}

// Every attempt to connect begins a new exchange, after a connection loss and for Reconnect.
func TestWithAuth_EveryConnectionAuthenticates(t *testing.T) {
	t.Parallel()
	need21(t)
	b := startFakeBroker(t, (&scramBroker{}).reply)
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), withScram("pencil"))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	b.conn().Close()
	wait.Until(t, "the second connection", func() bool { return b.connections() == 2 })
	require.NoError(t, c.AwaitConnected(wait.Soon(t)))
	require.NoError(t, c.Reconnect(wait.Soon(t)))
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
	require.Len(t, b.received(fakebroker.AUTH), 3)
	var nonces []string
	for _, p := range b.received(fakebroker.CONNECT) {
		_, data := authFields(p)
		require.NotContains(t, nonces, data)
		nonces = append(nonces, data)
	}
	require.Len(t, nonces, 3)
}

func TestWithAuth_WrongPasswordIsRefused(t *testing.T) {
	t.Parallel()
	need21(t)
	b := startFakeBroker(t, (&scramBroker{}).reply)
	err := dialAuth(t, b.port, withScram("pen"))
	require.ErrorIs(t, err, mqtt.ConnackError{Code: mqtt.ConnackCode(mqtt.RCNotAuthorized)})
}

// drain receives all values that a channel holds.
func drain(ch <-chan string) (all []string) {
	for {
		select {
		case s := <-ch:
			all = append(all, s)
		default:
			return all
		}
	}
}

// slowFinish is a scram whose Finish is slow. The messages behind CONNACK arrive during
// Finish, and the loop postpones their delivery.
type slowFinish struct{ *scram }

func (s slowFinish) Finish(ctx context.Context, data []byte) error {
	time.Sleep(30 * time.Millisecond) // nothing reports when the loop has read the messages
	return s.scram.Finish(ctx, data)
}

// A server that does not know the password receives no message, not even one in flight. The
// client delivers no message of the server.
func TestWithAuth_WrongServerSignatureEndsTheConnection(t *testing.T) {
	t.Parallel()
	need21(t)
	const wrong = 3 // connections 2 and 3 have a wrong signature or none
	s := &scramBroker{signed: func(connection int, signature string) string {
		return map[int]string{2: "v=" + base64.StdEncoding.EncodeToString(make([]byte, sha256.Size)), 3: ""}[connection] +
			map[bool]string{true: signature}[connection == 1 || connection > wrong]
	}}
	published := make(chan struct{}, 100)
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		switch {
		case p.Type() == fakebroker.PUBLISH:
			published <- struct{}{}
			return c.number == 1 // the message on the first connection stays in flight
		case p.Type() == fakebroker.AUTH && c.number > 1 && c.number <= wrong:
			s.reply(c, p)
			for range 10 {
				c.publish(0, "from/impostor", 0, "x")
				c.publish(1, "from/impostor", 1, "x")
			}
			return true
		}
		return s.reply(c, p)
	})
	option, changes := watchStates()
	delivered := make(chan string, 100)
	slow := mqtt.WithAuth("SCRAM-SHA-256", func() mqtt.AuthExchange {
		return slowFinish{&scram{username: "user", password: "pencil", nonce: rand.Text()}}
	})
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), slow, mqtt.WithClientID("c"), mqtt.WithSession(time.Hour), option,
		mqtt.WithDefaultHandler(func(_ context.Context, m mqtt.Message) { delivered <- m.Topic }))
	token := c.PublishAsync(wait.Soon(t), "a", []byte("secret"))
	wait.For(t, published, "PUBLISH")
	b.conn().Close()
	awaitState(t, changes, mqtt.StateDisconnected)
	require.NoError(t, token.Wait(wait.Soon(t)))
	for _, p := range b.received(fakebroker.PUBLISH) {
		require.Contains(t, []int{1, wrong + 1}, p.connection)
	}
	require.Empty(t, delivered)
	require.Equal(t, wrong+1, b.connections())
	err := dialAuth(t, startFakeBroker(t, (&scramBroker{signed: func(int, string) string { return "" }}).reply).port, withScram("pencil"))
	require.ErrorIs(t, err, errScram)
	require.Regexp(t, `^mqtt: connect mqtt://127.0.0.1:\d+: authentication: SCRAM: the server does not know the password$`, err.Error())
}

// Messages of an impostor arrive while the queue of the worker is full. They are not delivered
// when the queue has capacity again.
func TestWithAuth_MessagesOfAnImpostorAreDropped(t *testing.T) {
	t.Parallel()
	need21(t)
	const impostor = 2
	s := &scramBroker{signed: func(connection int, signature string) string {
		return map[bool]string{false: signature}[connection == impostor]
	}}
	b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
		answered := s.reply(c, p)
		if p.Type() == fakebroker.AUTH {
			topic := map[bool]string{false: "a", true: "from/impostor"}[c.number == impostor]
			for range 20 {
				c.publish(0, topic, 0, "x")
			}
		}
		return answered
	})
	delivered, release := make(chan string, 1000), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), withScram("pencil"), mqtt.WithHandlerMode(mqtt.Worker(1, mqtt.Block)),
		mqtt.WithDefaultHandler(func(_ context.Context, m mqtt.Message) {
			delivered <- m.Topic
			<-release
		}))
	t.Cleanup(free)
	require.Equal(t, "a", wait.For(t, delivered, "a message"))
	require.NoError(t, c.Reconnect(wait.Soon(t)))
	require.Equal(t, impostor+1, b.connections())
	free()
	wait.Until(t, "the messages of the third connection", func() bool { return len(delivered) >= 20 })
	require.NoError(t, c.Close(wait.Soon(t)))
	require.NotContains(t, drain(delivered), "from/impostor")
}

// An error of any step ends the attempt.
func TestWithAuth_ErrorOfTheExchangeFailsTheAttempt(t *testing.T) {
	t.Parallel()
	need21(t)
	no := errors.New("no")
	large := make([]byte, 65_536)
	for name, test := range map[string]struct {
		exchange exchange
		want     string
	}{
		"Start":         {exchange{start: func(context.Context) ([]byte, error) { return nil, no }}, "no"},
		"Continue":      {exchange{proceed: func(context.Context, []byte) ([]byte, error) { return nil, no }}, "no"},
		"Finish":        {exchange{finish: func(context.Context, []byte) error { return no }}, "no"},
		"data of Start": {exchange{start: func(context.Context) ([]byte, error) { return large, nil }}, "Start returned 65536 bytes, more than 65535"},
		"data of Continue": {
			exchange{proceed: func(context.Context, []byte) ([]byte, error) { return large, nil }}, "Continue returned 65536 bytes, more than 65535",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, oneChallenge)
			err := dialAuth(t, b.port, withExchange(test.exchange))
			require.EqualError(t, err, "mqtt: connect "+url(b.port)+": authentication: "+test.want)
			if test.want == "no" {
				require.ErrorIs(t, err, no)
			}
			var failure *mqtt.ConnectError
			require.ErrorAs(t, err, &failure)
			require.Nil(t, failure.Connack)
		})
	}
	err := dialAuth(t, startFakeBroker(t, nil).port, mqtt.WithAuth("M", func() mqtt.AuthExchange { return nil }))
	require.ErrorContains(t, err, "the function of WithAuth returned nil")
}

// oneChallenge is a script of a broker with the method M and one challenge.
func oneChallenge(c *brokerConn, p packet) bool {
	switch p.Type() {
	case fakebroker.CONNECT:
		c.write(fakebroker.Auth(0x18, fakebroker.AuthMethod("M"), fakebroker.AuthData("challenge")))
		return true
	case fakebroker.AUTH:
		c.write(fakebroker.V5.Connack(false, 0, fakebroker.AuthMethod("M")))
		return true
	}
	return false
}

// The client closes the connection to a broker that violates the protocol, and reports why.
func TestWithAuth_ProtocolErrorOfTheBrokerIsReported(t *testing.T) {
	t.Parallel()
	need21(t)
	challenge := fakebroker.Auth(0x18, fakebroker.AuthMethod("M"), fakebroker.AuthData("challenge"))
	accepted := fakebroker.V5.Connack(false, 0, fakebroker.AuthMethod("M"))
	for name, test := range map[string]struct {
		packets [][]byte
		want    string
	}{
		"AUTH with another method":    {[][]byte{fakebroker.Auth(0x18, fakebroker.AuthMethod("N"))}, `the broker answered with the method "N" instead of "M"`},
		"AUTH without method":         {[][]byte{fakebroker.Auth(0x18, fakebroker.AuthData("x"))}, `the broker answered with the method "" instead of "M"`},
		"CONNACK with another method": {[][]byte{fakebroker.V5.Connack(false, 0, fakebroker.AuthMethod("N"))}, `the broker answered with the method "N" instead of "M"`},
		"two challenges":              {[][]byte{challenge, challenge, accepted}, "the broker sent AUTH before it had the response to its challenge"},
		"early CONNACK":               {[][]byte{challenge, accepted}, "the broker accepted the connection before it had the response to its challenge"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startFakeBroker(t, func(c *brokerConn, p packet) bool {
				if p.Type() != fakebroker.CONNECT {
					return false
				}
				var all []byte
				for _, packet := range test.packets {
					all = append(all, packet...)
				}
				c.write(all)
				return true
			})
			err := dialAuth(t, b.port, withExchange(exchange{proceed: func(ctx context.Context, _ []byte) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}))
			require.EqualError(t, err, "mqtt: connect "+url(b.port)+": authentication: "+test.want)
		})
	}
}

func TestWithAuth_LateAuthEndsTheConnection(t *testing.T) {
	t.Parallel()
	need21(t)
	b := startFakeBroker(t, oneChallenge)
	option, changes := watchStates()
	c := dial(t, b.port, mqtt.WithProtocol(mqtt.V5), withExchange(exchange{}), option)
	b.conn().write(fakebroker.Auth(0x18, fakebroker.AuthMethod("M")))
	err := awaitFailure(t, changes).Err
	require.EqualError(t, err, "mqtt: connection to "+url(b.port)+": authentication: the broker sent AUTH on an established connection")
	require.NoError(t, c.Publish(wait.Soon(t), "a", nil))
}

// A step that blocks ends with the connect timeout and with Close. It does not block the loop.
func TestWithAuth_BlockingStepsEnd(t *testing.T) {
	t.Parallel()
	need21(t)
	for _, step := range []string{"Start", "Continue", "Finish"} {
		for _, ending := range []string{"timeout", "Close"} {
			t.Run(step+" "+ending, func(t *testing.T) {
				t.Parallel()
				entered := make(chan struct{}, 100)
				block := func(ctx context.Context, here string) error {
					if here != step {
						return nil
					}
					entered <- struct{}{}
					<-ctx.Done()
					return ctx.Err()
				}
				e := exchange{
					start:   func(ctx context.Context) ([]byte, error) { return nil, block(ctx, "Start") },
					proceed: func(ctx context.Context, _ []byte) ([]byte, error) { return nil, block(ctx, "Continue") },
					finish:  func(ctx context.Context, _ []byte) error { return block(ctx, "Finish") },
				}
				b := startFakeBroker(t, oneChallenge)
				if ending == "timeout" {
					err := dialAuth(t, b.port, withExchange(e), mqtt.WithConnectTimeout(50*time.Millisecond))
					require.ErrorIs(t, err, mqtt.ErrConnectTimeout)
					return
				}
				c, err := mqtt.Dial(wait.Soon(t), []string{url(b.port)}, mqtt.WithProtocol(mqtt.V5), withExchange(e),
					mqtt.WithBackgroundConnect(), mqtt.WithConnectTimeout(time.Hour))
				require.NoError(t, err)
				wait.For(t, entered, step)
				closed := make(chan error, 1)
				go func() { closed <- c.Close(context.Background()) }()
				require.NoError(t, wait.For(t, closed, "Close"))
			})
		}
	}
}

// The packets have no property for empty data. A method may need no challenge.
func TestWithAuth_ExchangeWithoutDataSucceeds(t *testing.T) {
	t.Parallel()
	need21(t)
	b := startFakeBroker(t, nil)
	var finished atomic.Pointer[[]byte]
	require.NoError(t, dialAuth(t, b.port, withExchange(exchange{
		start:  func(context.Context) ([]byte, error) { return []byte{}, nil },
		finish: func(_ context.Context, data []byte) error { finished.Store(&data); return nil },
	})))
	require.Nil(t, *finished.Load())
	body := b.received(fakebroker.CONNECT)[0].Body
	require.NotContains(t, string(body), string(binary.BigEndian.AppendUint16([]byte{byte(mqtt.PropAuthenticationData)}, 0)))
	require.Contains(t, string(body), "\x15\x00\x01M")
}

func TestWithAuth_InvalidOptionsAreRefused(t *testing.T) {
	t.Parallel()
	auth, v5 := withExchange(exchange{}), mqtt.WithProtocol(mqtt.V5)
	for name, test := range map[string]struct {
		server  string
		options []mqtt.Option
		want    string
	}{
		"MQTT 3":        {"", []mqtt.Option{auth}, "WithAuth: needs WithProtocol(V5) without another version"},
		"MQTT 5 or 3":   {"", []mqtt.Option{auth, mqtt.WithProtocol(mqtt.V5, mqtt.V311)}, "WithAuth: needs WithProtocol(V5) without another version"},
		"no function":   {"", []mqtt.Option{v5, mqtt.WithAuth("M", nil)}, "WithAuth: begin is nil"},
		"no method":     {"", []mqtt.Option{v5, mqtt.WithAuth("", func() mqtt.AuthExchange { return nil })}, "WithAuth: method"},
		"NUL in method": {"", []mqtt.Option{v5, mqtt.WithAuth("a\x00", func() mqtt.AuthExchange { return nil })}, "WithAuth: method"},
		"data twice": {"", []mqtt.Option{v5, auth, mqtt.WithConnectProperties(mqtt.Properties{
			{ID: mqtt.PropAuthenticationMethod, Text: "N"}, {ID: mqtt.PropAuthenticationData, Data: []byte(secrets.Auth)},
		})}, "WithConnectProperties"},
		"proxy":      {"", []mqtt.Option{v5, auth, mqtt.WithProxy("localhost", 1, "", "")}, "WithAuth: not with WithProxy"},
		"websockets": {"ws://127.0.0.1:1", []mqtt.Option{v5, auth}, "WithAuth: not with ws://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !has21() && (name == "proxy" || name == "websockets") {
				test.want = "2.1"
			}
			_, err := mqtt.Dial(wait.Soon(t), []string{cmp.Or(test.server, "mqtt://127.0.0.1:1")}, test.options...)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), secrets.Auth)
		})
	}
}

func TestWithAuth_NeedsLibrary21(t *testing.T) {
	t.Parallel()
	b := startFakeBroker(t, oneChallenge)
	err := dialAuth(t, b.port, withExchange(exchange{}))
	if has21() {
		require.NoError(t, err)
		return
	}
	require.ErrorIs(t, err, mqtt.ErrNotSupported)
	require.ErrorContains(t, err, "mqtt: WithAuth needs libmosquitto 2.1")
	require.Zero(t, b.connections())
}

// Authentication data is in no log line, no error and no state.
func TestWithAuth_DataStaysSecret(t *testing.T) {
	t.Parallel()
	need21(t)
	w := watchSecrets(t, nil)
	data := []byte(secrets.Auth)
	broken := errors.New("broken")
	script := func(c *brokerConn, p packet) bool {
		switch p.Type() {
		case fakebroker.CONNECT:
			c.write(fakebroker.Auth(0x18, fakebroker.AuthMethod("M"), fakebroker.AuthData(secrets.Auth)))
			return true
		case fakebroker.AUTH:
			_, response := authFields(p)
			require.Equal(t, secrets.Auth, response)
			c.write(fakebroker.V5.Connack(false, 0, fakebroker.AuthMethod("M"), fakebroker.ReasonString("r")))
			return true
		}
		return false
	}
	for _, end := range []error{nil, broken} {
		b := startFakeBroker(t, script)
		_, err := dialWatched(t, w, url(b.port), mqtt.WithProtocol(mqtt.V5), withExchange(exchange{
			start:   func(context.Context) ([]byte, error) { return data, nil },
			proceed: func(context.Context, []byte) ([]byte, error) { return data, nil },
			finish:  func(context.Context, []byte) error { return end },
		}))
		require.ErrorIs(t, err, end)
		if err != nil {
			w.Error(t, "authentication", err)
		}
	}
	require.Greater(t, w.Lines(), 10)
}

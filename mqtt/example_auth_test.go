//go:build cgo

package mqtt_test

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"strconv"
	"strings"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

// A client that proves its password with SCRAM-SHA-256 (RFC 7677) without sending it, and
// checks that the broker knows the password too. It needs libmosquitto 2.1.
func ExampleWithAuth() {
	ctx := context.Background()
	client, err := mqtt.Dial(ctx, servers(), mqtt.WithProtocol(mqtt.V5),
		mqtt.WithAuth("SCRAM-SHA-256", func() mqtt.AuthExchange {
			return &scram{username: "user", password: "pencil", nonce: rand.Text()}
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(ctx)
}

// scram is one exchange of SCRAM-SHA-256. The username must not contain "," or "=", and
// the password must be ASCII: others need SASLprep.
type scram struct {
	username, password, nonce string

	first     string // the first message without its header
	signature []byte // what the server must send
}

// maxIterations limits the work that a server can demand.
const maxIterations = 1_000_000

var errScram = errors.New("SCRAM: the server does not know the password")

func (s *scram) Start(context.Context) ([]byte, error) {
	s.first = "n=" + s.username + ",r=" + s.nonce
	return []byte("n,," + s.first), nil
}

func (s *scram) Continue(_ context.Context, challenge []byte) ([]byte, error) {
	fields := strings.Split(string(challenge), ",")
	if s.signature != nil || len(fields) < 3 {
		return nil, errors.New("SCRAM: unexpected challenge")
	}
	nonce, fresh := strings.CutPrefix(fields[0], "r="+s.nonce)
	salt, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[1], "s="))
	iterations, err2 := strconv.Atoi(strings.TrimPrefix(fields[2], "i="))
	if !fresh || nonce == "" || err != nil || err2 != nil || iterations < 4096 || iterations > maxIterations {
		return nil, errors.New("SCRAM: invalid challenge")
	}
	salted, err := pbkdf2.Key(sha256.New, s.password, salt, iterations, sha256.Size)
	if err != nil {
		return nil, err
	}
	final := "c=biws," + fields[0]
	message := s.first + "," + string(challenge) + "," + final
	clientKey := mac(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	proof := make([]byte, sha256.Size)
	subtle.XORBytes(proof, clientKey, mac(stored[:], message))
	s.signature = mac(mac(salted, "Server Key"), message)
	return fmt.Appendf(nil, "%s,p=%s", final, base64.StdEncoding.EncodeToString(proof)), nil
}

func (s *scram) Finish(_ context.Context, data []byte) error {
	got, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(data), "v="))
	if err != nil || s.signature == nil || !hmac.Equal(got, s.signature) {
		return errScram
	}
	return nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

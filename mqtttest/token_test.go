//go:build cgo

package mqtttest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtttest"
	"github.com/stretchr/testify/require"
)

// publisher is a fake client whose messages all complete with err.
type publisher struct{ err error }

func (p publisher) Publish(context.Context, string, []byte, ...mqtt.PublishOption) error {
	return p.err
}

func (p publisher) PublishAsync(context.Context, string, []byte, ...mqtt.PublishOption) *mqtt.Token {
	return mqtttest.Token(p.err)
}

func TestToken_IsCompleted(t *testing.T) {
	for _, err := range []error{nil, errors.New("refused")} {
		var fake mqtt.Publisher = publisher{err}
		token := fake.PublishAsync(t.Context(), "a", nil)
		wait.For(t, token.Done(), "the end of the token")
		require.Equal(t, err, token.Err())
		require.Equal(t, err, token.Wait(t.Context()))
	}
}

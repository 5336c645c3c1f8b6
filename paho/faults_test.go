package mqtt_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/stretchr/testify/require"
)

func TestFaults_AcknowledgedMessagesArrive(t *testing.T) {
	b := start(t)
	p := faultproxy.Start(t, b.Addr())
	callback, got := collect()
	receiver := connect(t, options(b.Port))
	succeed(t, receiver.Subscribe("a", 2, callback))
	for _, qos := range []byte{1, 2} {
		c := connect(t, options(p.Port).SetClientID("me").SetCleanSession(false))
		var tokens []paho.Token
		for i := range 500 {
			tokens = append(tokens, c.Publish("a", qos, false, fmt.Sprint(i)))
			if i%100 == 50 {
				p.CutAfter(faultproxy.Up, 300)
			}
		}
		for _, token := range tokens {
			succeed(t, token)
		}
		seen := map[string]int{}
		for len(seen) < 500 {
			seen[string(wait.For(t, got, "a message").Payload())]++
		}
		if qos == 2 {
			for payload, times := range seen {
				require.Equal(t, 1, times, payload)
			}
		}
		p.Heal()
		c.Disconnect(100)
		for range len(got) {
			<-got
		}
	}
}

func TestFaults_ReceivedMessagesSurviveALoss(t *testing.T) {
	b := start(t)
	p := faultproxy.Start(t, b.Addr())
	callback, got := collect()
	receiver := connect(t, options(p.Port).SetClientID("me").SetCleanSession(false))
	succeed(t, receiver.Subscribe("a", 1, callback))
	sender := connect(t, options(b.Port))
	for i := range 300 {
		succeed(t, sender.Publish("a", 1, false, fmt.Sprint(i)))
		if i%100 == 50 {
			p.Cut()
		}
	}
	seen := map[string]bool{}
	for len(seen) < 300 {
		seen[string(wait.For(t, got, "a message").Payload())] = true
	}
}

func TestFaults_FullQueueEndsPublishAfterTheWriteTimeout(t *testing.T) {
	b := start(t)
	p := faultproxy.Start(t, b.Addr())
	c := connect(t, options(p.Port).SetWriteTimeout(50*time.Millisecond))
	p.CloseNew()
	p.Cut()
	wait.Until(t, "the loss", func() bool { return !c.IsConnectionOpen() })
	payload := make([]byte, 1<<20)
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		if token := c.Publish("a", 1, false, payload); token.WaitTimeout(0) {
			err = token.Error()
		}
	}
	require.Error(t, err, "64 MiB wait already")
}

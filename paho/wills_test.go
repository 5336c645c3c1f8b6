package mqtt_test

import (
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/faultproxy"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

func TestWill_IsPublishedAfterALossOnly(t *testing.T) {
	b := start(t)
	callback, got := collect()
	watcher := connect(t, options(b.Port))
	succeed(t, watcher.Subscribe("will/+", 1, callback))

	connect(t, options(b.Port).SetWill("will/disconnect", "text", 1, false)).Disconnect(100)

	p := faultproxy.Start(t, b.Addr())
	for topic, payload := range map[string][]byte{"will/text": []byte("good bye"), "will/binary": {0, 0xff, 0x80}, "will/empty": nil} {
		o := options(p.Port).SetAutoReconnect(false)
		if topic == "will/text" {
			o.SetWill(topic, string(payload), 1, true)
		} else {
			o.SetBinaryWill(topic, payload, 1, true)
		}
		connect(t, o)
		p.Cut()
		m := wait.For(t, got, "the will")
		require.Equal(t, topic, m.Topic())
		require.Equal(t, string(payload), string(m.Payload()))
	}
	wait.None(t, got, "will after Disconnect")
	succeed(t, watcher.Unsubscribe("will/+"))
	succeed(t, watcher.Subscribe("will/text", 1, callback))
	require.True(t, wait.For(t, got, "the kept will").Retained())
}

package test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/stretchr/testify/require"
)

func TestSubscribe_MultipleFiltersAreGranted(t *testing.T) {
	b := plain(t)
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			c, e := newVersion(t, "id", true, v.version)
			ended := connect(t, c, e, b.Port)
			mid, err := c.SubscribeMultiple([]string{"a/+", "b/#", "c"}, 1, 0, nil)
			require.NoError(t, err)
			require.Equal(t, granted{mid: mid, codes: []mosquitto.ReasonCode{1, 1, 1}}, wait.For(t, e.subscribe, "OnSubscribe"))
			for _, topic := range []string{"a/1", "b/1/2", "c"} {
				_, err = c.Publish(topic, nil, 2, false)
				require.NoError(t, err)
				m := wait.For(t, e.message, "the message")
				require.Equal(t, topic, m.Topic)
				require.Equal(t, mosquitto.QoS(1), m.QoS)
			}
			mid, err = c.UnsubscribeMultiple([]string{"a/+", "never", "b/#"}, nil)
			require.NoError(t, err)
			want := granted{mid: mid}
			if has21() && v.version == mosquitto.ProtocolV5 {
				want.codes = []mosquitto.ReasonCode{mosquitto.RCSuccess, mosquitto.RCNoSubscriptionExisted, mosquitto.RCSuccess}
			}
			require.Equal(t, want, wait.For(t, e.unsubscribe, "OnUnsubscribe"))
			for _, topic := range []string{"a/1", "b/1/2", "c"} {
				_, err = c.Publish(topic, nil, 1, false)
				require.NoError(t, err)
			}
			require.Equal(t, "c", wait.For(t, e.message, "the message").Topic)
			leave(t, c, e, ended)
			wait.None(t, e.message, "message after unsubscribing")
		})
	}
}

func TestSubscribe_SendsTheBytesOfMQTT3(t *testing.T) {
	p := fakebroker.Listen(t)
	c, e := newClient(t, "id", true)
	conn, ended := meet(t, c, e, p)
	mid, err := c.Subscribe("a/#", 2)
	require.NoError(t, err)
	require.Equal(t, fakebroker.Packet{First: fakebroker.SUBSCRIBE | 2, Body: append(ackBody(uint16(mid)), 0, 3, 'a', '/', '#', 2)}, conn.Expect(fakebroker.SUBSCRIBE))
	mid, err = c.SubscribeMultiple([]string{"a", "b"}, 1, 0, nil)
	require.NoError(t, err)
	require.Equal(t, append(ackBody(uint16(mid)), 0, 1, 'a', 1, 0, 1, 'b', 1), conn.Expect(fakebroker.SUBSCRIBE).Body)
	mid, err = c.Unsubscribe("a/#")
	require.NoError(t, err)
	require.Equal(t, fakebroker.Packet{First: fakebroker.UNSUBSCRIBE | 2, Body: append(ackBody(uint16(mid)), 0, 3, 'a', '/', '#')}, conn.Expect(fakebroker.UNSUBSCRIBE))
	mid, err = c.UnsubscribeMultiple([]string{"a", "b"}, nil)
	require.NoError(t, err)
	require.Equal(t, append(ackBody(uint16(mid)), 0, 1, 'a', 0, 1, 'b'), conn.Expect(fakebroker.UNSUBSCRIBE).Body)
	part(t, c, conn, ended)
}

func TestSubscribe_OfflineReturnsErrNoConn(t *testing.T) {
	c, _ := newV5(t, "id", true)
	for name, call := range propertyCalls(c, 1) {
		switch name {
		case "subscribe", "subscribe multiple", "unsubscribe", "unsubscribe multiple":
			require.ErrorIs(t, call(nil), mosquitto.ErrNoConn, name)
		}
	}
}

// guarded starts a broker with the dynamic security plugin, which can refuse
// subscriptions. The broker's ACL files only suppress messages.
func guarded(t *testing.T) *broker.Broker {
	t.Helper()
	var plugin string
	for _, pattern := range []string{"/usr/lib/*", "/usr/lib*", "/usr/local/lib*"} {
		found, err := filepath.Glob(pattern + "/mosquitto_dynamic_security.so")
		require.NoError(t, err)
		if len(found) > 0 {
			plugin = found[0]
		}
	}
	require.NotEmpty(t, plugin, "the broker's plugin mosquitto_dynamic_security.so is missing")
	rules := filepath.Join(t.TempDir(), "rules.json")
	require.NoError(t, os.WriteFile(rules, []byte(`{
		"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true, "subscribe": true, "unsubscribe": true},
		"clients": [],
		"groups": [{"groupname": "all", "roles": [{"rolename": "guest"}], "clients": []}],
		"roles": [{"rolename": "guest", "acls": [{"acltype": "subscribePattern", "topic": "denied/#", "priority": 1, "allow": false}]}],
		"anonymousGroup": "all"
	}`), 0o600))
	return startExtra(t, "plugin "+plugin, "plugin_opt_config_file "+rules)
}

func TestSubscribe_RefusalIsReported(t *testing.T) {
	b := guarded(t)
	want := map[int]mosquitto.ReasonCode{
		mosquitto.ProtocolV31:  mosquitto.RCGrantedQoS1, // MQTT 3.1 has no code for a refusal
		mosquitto.ProtocolV311: mosquitto.RCUnspecified,
		mosquitto.ProtocolV5:   mosquitto.RCNotAuthorized,
	}
	for _, v := range protocols {
		t.Run(v.name, func(t *testing.T) {
			c, e := newVersion(t, "id", true, v.version)
			ended := connect(t, c, e, b.Port)
			_, err := c.SubscribeMultiple([]string{"denied/a", "allowed/a"}, 1, 0, nil)
			require.NoError(t, err)
			codes := wait.For(t, e.subscribe, "OnSubscribe").codes
			require.Equal(t, []mosquitto.ReasonCode{want[v.version], mosquitto.RCGrantedQoS1}, codes)
			if v.version != mosquitto.ProtocolV31 {
				require.ErrorIs(t, codes[0].Err(), mosquitto.ReasonError{Code: want[v.version]})
			}
			require.NoError(t, codes[1].Err())
			mark(t, c, e, "denied/a")
			mark(t, c, e, "allowed/a")
			require.Equal(t, "allowed/a", wait.For(t, e.message, "the message").Topic)
			leave(t, c, e, ended)
		})
	}
}

// The members of a shared subscription together get each message once.
func TestSubscribe_SharedDeliversEachMessageOnce(t *testing.T) {
	const messages = 20
	b := plain(t)
	for _, version := range []int{mosquitto.ProtocolV311, mosquitto.ProtocolV5} {
		one, e1 := newVersion(t, "one", true, version)
		ended1 := connect(t, one, e1, b.Port)
		subscribe(t, one, e1, "$share/group/a/+", 1)
		two, e2 := newVersion(t, "two", true, version)
		ended2 := connect(t, two, e2, b.Port)
		subscribe(t, two, e2, "$share/group/a/+", 1)
		for range messages {
			mark(t, one, e1, "a/b")
		}
		wait.Until(t, "all messages", func() bool { return len(e1.message)+len(e2.message) >= messages })
		mark(t, two, e2, "a/b")
		wait.Until(t, "one more message", func() bool { return len(e1.message)+len(e2.message) >= messages+1 })
		leave(t, one, e1, ended1)
		leave(t, two, e2, ended2)
		require.Equal(t, messages+1, len(e1.message)+len(e2.message))
		require.NotEmpty(t, e1.message)
		require.NotEmpty(t, e2.message)
	}
}

func TestSubscribe_NoLocalSuppressesOwnMessages(t *testing.T) {
	b := plain(t)
	c, e := newV5(t, "id", true)
	ended := connect(t, c, e, b.Port)
	subscribeWith(t, c, e, "a/b", mosquitto.SubNoLocal)
	other, oe := newV5(t, "other", true)
	otherEnded := connect(t, other, oe, b.Port)
	_, err := c.Publish("a/b", []byte("own"), 1, false)
	require.NoError(t, err)
	wait.For(t, e.publish, "OnPublish")
	_, err = other.Publish("a/b", []byte("foreign"), 1, false)
	require.NoError(t, err)
	received(t, e, "foreign")
	leave(t, c, e, ended)
	leave(t, other, oe, otherEnded)
	wait.None(t, e.message, "message that the client has published")
}

// A second subscription to the same filter replaces the QoS of the first.
func TestSubscribe_AgainChangesTheQoS(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "id", true)
	ended := connect(t, c, e, b.Port)
	subscribe(t, c, e, "a/b", 0)
	subscribe(t, c, e, "a/b", 2)
	_, err := c.Publish("a/b", nil, 2, false)
	require.NoError(t, err)
	require.Equal(t, mosquitto.QoS(2), wait.For(t, e.message, "the message").QoS)
	mark(t, c, e, "a/b")
	received(t, e, "mark")
	leave(t, c, e, ended)
	wait.None(t, e.message, "second copy")
}

func TestSubscribe_InvalidFilterReturnsErrInval(t *testing.T) {
	b := plain(t)
	c, e := newClient(t, "id", true)
	ended := connect(t, c, e, b.Port)
	for _, filter := range []string{"", "a/#/b", "a#", "a+/b", "#a"} {
		_, err := c.Subscribe(filter, 0)
		require.ErrorIs(t, err, mosquitto.ErrInval, filter)
		_, err = c.Unsubscribe(filter)
		require.ErrorIs(t, err, mosquitto.ErrInval, filter)
	}
	leave(t, c, e, ended)
}

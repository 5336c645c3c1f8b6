//go:build cgo

package mqtt

import (
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto"
	"github.com/stretchr/testify/require"
)

func TestParseServers_AcceptsEachForm(t *testing.T) {
	for text, want := range map[string]server{
		"mqtt://h":                 {name: "mqtt://h:1883", host: "h", port: 1883},
		"h":                        {name: "mqtt://h:1883", host: "h", port: 1883},
		"h:99":                     {name: "mqtt://h:99", host: "h", port: 99},
		"[::1]:99":                 {name: "mqtt://[::1]:99", host: "::1", port: 99},
		"MQTT://h/":                {name: "mqtt://h:1883", host: "h", port: 1883},
		"tcp://127.0.0.1:1":        {name: "tcp://127.0.0.1:1", host: "127.0.0.1", port: 1},
		"mqtts://h":                {name: "mqtts://h:8883", host: "h", port: 8883, tls: true},
		"ssl://h:7":                {name: "ssl://h:7", host: "h", port: 7, tls: true},
		"tls://h":                  {name: "tls://h:8883", host: "h", port: 8883, tls: true},
		"tcps://h":                 {name: "tcps://h:8883", host: "h", port: 8883, tls: true},
		"mqtt+ssl://h:7":           {name: "mqtt+ssl://h:7", host: "h", port: 7, tls: true},
		"unix:/run/m.sock":         {name: "unix:/run/m.sock", host: "/run/m.sock"},
		"unix:///run/m.sock":       {name: "unix:/run/m.sock", host: "/run/m.sock"},
		"mqtt://me:secr%2Fet@h":    {name: "mqtt://h:1883", host: "h", port: 1883, user: "me", password: "secr/et"},
		"mqtt://only-a-username@h": {name: "mqtt://h:1883", host: "h", port: 1883, user: "only-a-username"},
	} {
		got, err := parseServers([]string{text})
		require.NoError(t, err, text)
		require.Equal(t, []server{want}, got, text)
	}
}

func TestParseServers_WebsocketsNeedLibrary21(t *testing.T) {
	got, err := parseServers([]string{"ws://h/mqtt", "ws://h"})
	if !websockets() {
		require.ErrorIs(t, err, ErrNotSupported)
		require.ErrorContains(t, err, "servers[0]")
		return
	}
	require.NoError(t, err)
	require.Equal(t, []server{
		{name: "ws://h:80/mqtt", host: "h", port: 80, ws: true, path: "/mqtt"}, {name: "ws://h:80", host: "h", port: 80, ws: true},
	}, got)
}

// The error names the index of the server, because its URL may contain a password.
func TestParseServers_InvalidURLIsAnErrorWithoutPassword(t *testing.T) {
	for _, text := range []string{
		"", "mqtt://", "http://h", "mqtt://h:0", "mqtt://h:65536", "mqtt://h:x", "mqtt://h/path", "mqtt://h?a=b",
		"mqtt://h#f", "unix:", "unix:\x00", "mqtt://me:secret@h:x", "mqtt://me:secret@h\x7f", "://", "mqtt://[::1",
	} {
		_, err := parseServers([]string{"mqtt://good", text})
		require.ErrorIs(t, err, mosquitto.ErrInval, "%q", text)
		require.ErrorContains(t, err, "servers[1]", "%q", text)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := parseServers(nil)
	require.ErrorIs(t, err, mosquitto.ErrInval)
	_, err = parseServers([]string{"http://h"})
	require.ErrorContains(t, err, allSchemes)
	for name := range schemes {
		require.Contains(t, strings.Split(allSchemes, ", "), name)
	}
	_, err = parseServers([]string{"mqtt://h", "mqtts://h"})
	require.ErrorContains(t, err, "servers[1]: TLS is for all servers or for none")
}

func FuzzParseServers(f *testing.F) {
	for _, text := range []string{"mqtt://u:p@h:1/", "unix:/x", "[::1]:1", "wss://h/p", "h"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseServers([]string{text})
		if err != nil {
			return
		}
		s := all[0]
		if s.host == "" || s.port < 0 || s.port > 65535 || s.password != "" && len(s.password) > 3 && strings.Contains(s.name, s.password) && !strings.Contains(s.host+s.path, s.password) {
			t.Fatalf("%q became %+v", text, s)
		}
	})
}

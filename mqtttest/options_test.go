//go:build cgo

package mqtttest_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtttest"
	"github.com/stretchr/testify/require"
)

func TestWithPasswords_OnlyTheRightPasswordConnects(t *testing.T) {
	broker := mqtttest.StartBroker(t, mqtttest.WithPasswords(map[string]string{"alice": "secret: word", "bob": ""}))
	requireRoundTrip(t, mustDial(t, broker.URL(), mqtt.WithCredentials("alice", "secret: word")), "a")
	for _, wrong := range [][2]string{{"alice", "other"}, {"bob", "secret: word"}, {"carol", "secret: word"}} {
		_, err := dial(t, broker.URL(), mqtt.WithCredentials(wrong[0], wrong[1]))
		require.ErrorContains(t, err, "not authori", "%v", wrong)
	}
	_, err := dial(t, broker.URL())
	require.Error(t, err, "without credentials")
}

func TestWithACL_DeniesOtherTopics(t *testing.T) {
	broker := mqtttest.StartBroker(t, mqtttest.WithACL("topic read a/#\ntopic readwrite b/#"))
	client := mustDial(t, broker.URL(), mqtt.WithProtocol(mqtt.V5))
	requireRoundTrip(t, client, "b/1")
	requireDenied(t, client, "a/1")
	requireDenied(t, client, "c")
}

// requireDenied checks that the broker refuses a message of the client on the topic (MQTT 5).
func requireDenied(t *testing.T, client *mqtt.Client, topic string) {
	t.Helper()
	var refused *mqtt.PublishError
	require.ErrorAs(t, client.Publish(wait.Soon(t), topic, nil), &refused)
}

func TestWithTLS_ClientWithCAFileConnects(t *testing.T) {
	broker := mqtttest.StartBroker(t, mqtttest.WithTLS())
	require.Equal(t, "mqtts://"+broker.Addr(), broker.URL())
	requireRoundTrip(t, mustDial(t, broker.URL(), mqtt.WithTLS(mqtt.TLS{CAFile: broker.CAFile()})), "a")
	_, err := dial(t, broker.URL())
	require.ErrorContains(t, err, "certificate", "the system does not trust the authority")
	_, err = dial(t, "mqtt://"+broker.Addr())
	require.Error(t, err, "without TLS")
}

func TestWithClientCertificates_NameIsTheUsername(t *testing.T) {
	broker := mqtttest.StartBroker(t, mqtttest.WithClientCertificates(), mqtttest.WithACL("user alice\ntopic a/#"))
	settings := mqtt.TLS{CAFile: broker.CAFile()}
	_, err := dial(t, broker.URL(), mqtt.WithTLS(settings))
	require.Error(t, err, "without a certificate")

	settings.CertFile, settings.KeyFile = broker.Certificate("alice")
	alice := mustDial(t, broker.URL(), mqtt.WithTLS(settings), mqtt.WithProtocol(mqtt.V5))
	requireRoundTrip(t, alice, "a/1")

	settings.CertFile, settings.KeyFile = broker.Certificate("bob")
	requireDenied(t, mustDial(t, broker.URL(), mqtt.WithTLS(settings), mqtt.WithProtocol(mqtt.V5)), "a/1")
}

func TestWithClientCertificates_WithPasswordsNeedsBoth(t *testing.T) {
	broker := mqtttest.StartBroker(t, mqtttest.WithClientCertificates(), mqtttest.WithPasswords(map[string]string{"alice": "secret"}))
	settings := mqtt.TLS{CAFile: broker.CAFile()}
	settings.CertFile, settings.KeyFile = broker.Certificate("any name")
	requireRoundTrip(t, mustDial(t, broker.URL(), mqtt.WithTLS(settings), mqtt.WithCredentials("alice", "secret")), "a")
	_, err := dial(t, broker.URL(), mqtt.WithTLS(settings))
	require.ErrorContains(t, err, "not authori")
}

func TestCertificate_WithoutTLSFails(t *testing.T) {
	requireFatal(t, "CAFile needs the option WithTLS", func(r *recorder) { mqtttest.StartBroker(r).CAFile() })
	requireFatal(t, "Certificate needs the option WithTLS", func(r *recorder) { mqtttest.StartBroker(r).Certificate("a") })
}

func TestWithPersistence_StopKeepsRetainedMessages(t *testing.T) {
	for name, c := range map[string]struct {
		options []mqtttest.Option
		first   string
	}{
		"with":    {[]mqtttest.Option{mqtttest.WithPersistence()}, "kept"},
		"without": {nil, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			broker := mqtttest.StartBroker(t, c.options...)
			client := mustDial(t, broker.URL())
			require.NoError(t, client.Publish(wait.Soon(t), "a", []byte("kept"), mqtt.WithRetain(true)))
			broker.Stop()
			broker.Start()
			other := mustDial(t, broker.URL())
			received := make(chan string, 10)
			require.NoError(t, other.Subscribe(wait.Soon(t), "a", 1, func(_ context.Context, m mqtt.Message) { received <- string(m.Payload) }))
			require.NoError(t, other.Publish(wait.Soon(t), "a", []byte("new")))
			require.Equal(t, c.first, wait.For(t, received, "the first message"))
		})
	}
}

func TestWithConfig_SetsOptionsOfBrokerAndListener(t *testing.T) {
	broker := mqtttest.StartBroker(t, mqtttest.WithConfig("retain_available false"), mqtttest.WithConfig("max_connections 1", "max_packet_size 1000"))
	client := mustDial(t, broker.URL(), mqtt.WithProtocol(mqtt.V5))
	requireRoundTrip(t, client, "a")
	_, err := dial(t, broker.URL())
	require.Error(t, err, "the listener accepts one connection")
	require.Error(t, client.Publish(wait.Soon(t), "a", nil, mqtt.WithRetain(true)))
	require.Error(t, client.Publish(wait.Soon(t), "a", make([]byte, 1001)))
}

func TestWithProtocols_RefusesOtherVersions(t *testing.T) {
	r := record(t, func(r *recorder) {
		broker := mqtttest.StartBroker(r, mqtttest.WithProtocols(mqtt.V31, mqtt.V311))
		requireRoundTrip(r, mustDial(r, broker.URL(), mqtt.WithProtocol(mqtt.V311)), "a")
		_, err := dial(r, broker.URL(), mqtt.WithProtocol(mqtt.V5))
		require.Error(t, err)
	})
	if r.fatal != "" {
		require.Contains(t, r.fatal, "WithProtocols needs mosquitto 2.1 or later")
	}
}

func TestOptions_WrongArgumentsNameTheOption(t *testing.T) {
	for text, option := range map[string]mqtttest.Option{
		`WithPasswords: username "a:b"`:  mqtttest.WithPasswords(map[string]string{"a:b": "c"}),
		`WithPasswords: username "a\nb"`: mqtttest.WithPasswords(map[string]string{"a\nb": "c"}),
		`WithPasswords: username ""`:     mqtttest.WithPasswords(map[string]string{"": "c"}),
		"WithACL: the list is empty":     mqtttest.WithACL(" \n"),
		"WithProtocols: no version":      mqtttest.WithProtocols(),
		"WithProtocols: version 6":       mqtttest.WithProtocols(6),
		`WithImage: "-it" is not`:        mqtttest.WithImage("-it"),
	} {
		requireFatal(t, text, func(r *recorder) { mqtttest.StartBroker(r, option) })
	}
}

// fakeDocker installs a docker command that appends its arguments to a file. It runs
// mosquitto instead of a container, with no network of its own.
func fakeDocker(t *testing.T) (arguments func() string) {
	directory := t.TempDir()
	script := `#!/bin/sh
echo "$*" >>"$0.log"
case $1 in
run)
	ls -l /proc/self/fd/ >>"$0.fds"
	while [ "$1" != mosquitto ]; do shift; done
	echo $$ >"$0.pid"
	PATH=$PATH:/usr/sbin:/usr/local/sbin
	exec "$@" ;;
kill) kill -"$3" "$(cat "$0.pid")" ;;
esac
`
	path := filepath.Join(directory, "docker")
	require.NoError(t, os.WriteFile(path, []byte(script), 0o700))
	t.Setenv("PATH", directory+":"+os.Getenv("PATH"))
	return func() string { return read(t, path+".log") }
}

func read(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

func TestWithImage_RunsTheContainerOnLoopback(t *testing.T) {
	arguments := fakeDocker(t)
	broker := mqtttest.StartBroker(t, mqtttest.WithImage("eclipse-mosquitto:2.0.22"))
	requireRoundTrip(t, mustDial(t, broker.URL()), "a")
	port := broker.Addr()[len("127.0.0.1:"):]
	require.Regexp(t, `^run --rm --name mqtttest-\w+ --publish 127\.0\.0\.1:`+port+`:`+port+
		` --volume (/\S+):(/\S+) --user \d+:\d+ eclipse-mosquitto:2\.0\.22 mosquitto -c /\S+/mosquitto\.conf\n$`, arguments())
	broker.Stop()
	require.Regexp(t, `\nkill --signal 15 mqtttest-\w+\n`, arguments())
	broker.Start()
	requireRoundTrip(t, mustDial(t, broker.URL()), "a")
	broker.Kill()
	require.Regexp(t, `\nkill --signal 9 mqtttest-\w+\n$`, arguments())
}

func TestStartBroker_WithoutMosquittoRunsTheDefaultImage(t *testing.T) {
	arguments := fakeDocker(t)
	mqtttest.SearchOnlyPATH(t)
	withoutMosquitto(t)
	requireRoundTrip(t, mustDial(t, mqtttest.StartBroker(t).URL()), "a")
	require.Contains(t, arguments(), " eclipse-mosquitto:2 mosquitto -c ")
}

// withoutMosquitto removes the directories with a program mosquitto from PATH.
func withoutMosquitto(t *testing.T) {
	kept := slices.DeleteFunc(filepath.SplitList(os.Getenv("PATH")), func(directory string) bool {
		_, err := os.Stat(filepath.Join(directory, "mosquitto"))
		return err == nil
	})
	t.Setenv("PATH", strings.Join(kept, ":"))
}

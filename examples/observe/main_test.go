package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/leak"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	"github.com/mosquitto-go/mosquitto/mqtttest"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestObserve(t *testing.T) {
	b := mqtttest.StartBroker(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(wait.Soon(t))
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- observe(ctx, b.URL(), listener, writer, 10*time.Millisecond)
		writer.Close()
	}()
	spans := bufio.NewScanner(reader)
	for name := range strings.SplitSeq("publish,process", ",") {
		found := false
		for !found && spans.Scan() {
			found = strings.Contains(spans.Text(), `"Name":"`+name+` observe/{pid}"`)
		}
		require.True(t, found, name)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }() // ends with the writer
	answer, err := http.Get("http://" + listener.Addr().String() + "/metrics")
	require.NoError(t, err)
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	require.Contains(t, string(text), "mqtt_connects_total 1\n")
	require.Contains(t, string(text), `mqtt_publish_duration_seconds_count{outcome="ok",qos="1",topic="observe/{pid}"}`)
	cancel()
	require.NoError(t, wait.For(t, ended, "the end"))
}

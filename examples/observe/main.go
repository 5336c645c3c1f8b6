// Observe publishes a message every second and receives it. It reports the messages to
// OpenTelemetry and Prometheus: it prints spans to standard output and serves metrics at
// http://127.0.0.1:9464/metrics.
//
//	go run . -server mqtt://127.0.0.1:1883
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/otelmqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/prommqtt"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	server := flag.String("server", "mqtt://127.0.0.1:1883", "`address` of a broker with MQTT 5")
	listen := flag.String("listen", "127.0.0.1:9464", "`address` at which to serve the metrics")
	pause := flag.Duration("pause", time.Second, "`duration` between messages")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(os.Stderr, "metrics: http://%s/metrics\n", listener.Addr())
	if err := observe(ctx, *server, listener, os.Stdout, *pause); err != nil {
		log.Fatal(err)
	}
}

// observe publishes and receives messages until ctx or the client ends.
func observe(ctx context.Context, server string, listener net.Listener, spans io.Writer, pause time.Duration) (err error) {
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(spans))
	if err != nil {
		return err
	}
	tracing := sdk.NewTracerProvider(sdk.WithBatcher(exporter, sdk.WithBatchTimeout(time.Second)))
	defer func() { err = errors.Join(err, tracing.Shutdown(context.WithoutCancel(ctx))) }()
	template := func(string) string { return "observe/{pid}" }
	metrics := prommqtt.New(prommqtt.WithTopic(template))
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)
	stopServing := serve(listener, registry)
	defer stopServing()

	client, err := mqtt.Dial(ctx, []string{server}, mqtt.WithProtocol(mqtt.V5), mqtt.WithHooks(metrics.Hooks()),
		mqtt.WithHooks(otelmqtt.Hooks(otelmqtt.WithTracerProvider(tracing), otelmqtt.WithTemplate(template))))
	if err != nil {
		return err
	}
	defer client.Close(context.WithoutCancel(ctx))
	metrics.Watch(client)
	topic := fmt.Sprintf("observe/%d", os.Getpid())
	if err := client.Subscribe(ctx, topic, 1, func(context.Context, mqtt.Message) {}); err != nil {
		return err
	}
	for every := time.NewTicker(pause); ; {
		select {
		case now := <-every.C:
			client.PublishAsync(ctx, topic, []byte(now.String()))
		case <-ctx.Done():
			every.Stop()
			return nil
		case <-client.Done():
			return client.Err()
		}
	}
}

// serve starts to serve the metrics. The caller must call stop.
func serve(listener net.Listener, registry *prometheus.Registry) (stop func()) {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Print(err)
		}
	}()
	return func() { server.Close() }
}

//go:build cgo

package mqtttest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtttest"
)

// Report is the function to test: it publishes a temperature.
func Report(ctx context.Context, p mqtt.Publisher, celsius float64) error {
	if err := p.Publish(ctx, "temperature", fmt.Appendf(nil, "%.1f", celsius)); err != nil {
		return fmt.Errorf("report %.1f °C: %w", celsius, err)
	}
	return nil
}

// ReportArrives tests Report with a broker. In your package its name is TestReport_Arrives.
func ReportArrives(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	broker := mqtttest.StartBroker(t)
	client, err := mqtt.Dial(ctx, []string{broker.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(ctx)
	payloads := make(chan string, 1)
	err = client.Subscribe(ctx, "temperature", 1, func(_ context.Context, m mqtt.Message) {
		payloads <- string(m.Payload)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := Report(ctx, client, 20.5); err != nil {
		t.Fatal(err)
	}
	select {
	case payload := <-payloads:
		if payload != "20.5" {
			t.Errorf("got %s, expected 20.5", payload)
		}
	case <-ctx.Done():
		t.Error("the message did not arrive")
	}
}

// ReportWaitsForReconnect tests Report while the broker is not reachable. In your package
// its name is TestReport_WaitsForReconnect.
func ReportWaitsForReconnect(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	proxy := mqtttest.StartProxy(t, mqtttest.StartBroker(t).URL())
	client, err := mqtt.Dial(ctx, []string{proxy.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(ctx)
	proxy.Refuse()
	proxy.Cut()
	reported := make(chan error, 1)
	go func() { reported <- Report(ctx, client, 20.5) }()
	proxy.Accept()
	if err := <-reported; err != nil {
		t.Error(err)
	}
}

// refusing is a fake client: every message fails.
type refusing struct{}

var errRefused = errors.New("refused")

func (refusing) Publish(context.Context, string, []byte, ...mqtt.PublishOption) error {
	return errRefused
}

func (refusing) PublishAsync(context.Context, string, []byte, ...mqtt.PublishOption) *mqtt.Token {
	return mqtttest.Token(errRefused)
}

// ReportReturnsError tests Report without a broker. In your package its name is
// TestReport_ReturnsError.
func ReportReturnsError(t *testing.T) {
	if err := Report(context.Background(), refusing{}, 20.5); !errors.Is(err, errRefused) {
		t.Errorf("got %v, expected %v", err, errRefused)
	}
}

// Three tests of a function that publishes: with a broker, with a broken connection, and
// without a broker.
func Example() {
	_ = []func(*testing.T){ReportArrives, ReportWaitsForReconnect, ReportReturnsError}
}

package boltoutbox_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/stretchr/testify/require"
)

// BenchmarkPublish publishes QoS 1 messages and waits for the acknowledgements, with
// and without an outbox, from several goroutines of one client.
func BenchmarkPublish(b *testing.B) {
	for _, goroutines := range []int{1, 8, 64} {
		for _, durable := range []bool{false, true} {
			b.Run(fmt.Sprintf("goroutines=%d/durable=%t", goroutines, durable), func(b *testing.B) {
				benchmarkPublish(b, goroutines, durable)
			})
		}
	}
}

func benchmarkPublish(b *testing.B, goroutines int, durable bool) {
	server := brisk(b)
	var options []mqtt.Option
	if durable {
		options = append(options, mqtt.WithOutbox(open(b, newFile(b))))
	}
	c := dial(b, server.Port, options...)
	payload := make([]byte, 100)
	work, ended := make(chan struct{}, goroutines), make(chan error, goroutines)
	b.ResetTimer()
	for range goroutines {
		go func() {
			var err error
			for range work {
				if err == nil {
					err = c.Publish(context.Background(), "a", payload)
				}
			}
			ended <- err
		}()
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	for range goroutines {
		require.NoError(b, <-ended)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

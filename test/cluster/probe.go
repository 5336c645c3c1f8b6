package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// probe sends QoS 1 messages from every node to every node. It subscribes with QoS 0: for a
// higher QoS, NATS creates a queue, deletes it with its client, and may need seconds to create
// the next one.
func (c *Cluster) probe(deadline time.Time) error {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	got := make(chan string, 10000)
	var clients []*mosquitto.Client
	for i, n := range c.Nodes {
		client, err := mosquitto.New(fmt.Sprintf("probe%d", i), true, nil)
		if err != nil {
			return err
		}
		clients = append(clients, client)
		client.OnConnect(func(client *mosquitto.Client, _ mosquitto.Connack) { _, _ = client.Subscribe("probe", 0) })
		client.OnMessage(func(_ *mosquitto.Client, m mosquitto.Message) { got <- string(m.Payload) + " to " + n.Name })
		all.Add(1)
		go func() {
			defer all.Done()
			defer client.Close()
			_ = client.Connect("127.0.0.1", n.Port, time.Minute)
			_ = client.Run(ctx)
		}()
	}
	return c.exchange(ctx, clients, got)
}

// exchange publishes on every node repeatedly, until each node has received a message from each
// node.
func (c *Cluster) exchange(ctx context.Context, clients []*mosquitto.Client, got <-chan string) error {
	missing := make(map[string]bool)
	for _, from := range c.Nodes {
		for _, to := range c.Nodes {
			missing[from.Name+" to "+to.Name] = true
		}
	}
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for len(missing) > 0 {
		select {
		case way := <-got:
			delete(missing, way)
		case <-again.C:
			for i, client := range clients {
				if client.Socket() >= 0 {
					_, _ = client.Publish("probe", []byte(c.Nodes[i].Name), 1, false)
				}
			}
		case <-ctx.Done():
			var ways []string
			for way := range missing {
				ways = append(ways, way)
			}
			return errors.New("none came from " + strings.Join(ways, ", "))
		}
	}
	return nil
}

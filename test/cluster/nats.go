package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
)

// nats is a NATS cluster: streams and sessions have a replica on every node.
type nats struct {
	program string
	routes  [size]int // ports for connections between the nodes
	monitor [size]int // ports of the monitoring HTTP servers
}

// StartNATS starts three nodes of nats-server with JetStream. Two settings differ from the
// defaults. First, there are three replicas: NATS 2.9 would make one for each route of a node,
// and two replicas have no majority when a node is down. Second, unacknowledged messages of a
// session are delivered again after 1 s instead of 30 s.
func StartNATS(tb testing.TB) *Cluster {
	tb.Helper()
	k := &nats{program: find(tb, "nats-server", "nats-server")}
	for i := range size {
		k.routes[i], k.monitor[i] = freePort(tb), freePort(tb)
	}
	return start(tb, &Cluster{Name: "NATS", Version: version(tb, k.program, "--version")}, k)
}

// version returns the first version number in the output of a program.
func version(tb testing.TB, program string, args ...string) string {
	tb.Helper()
	text, err := subprocess.Command(program, args...).CombinedOutput()
	found := regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(string(text))
	if err != nil || found == "" {
		tb.Fatalf("%s tells no version: %v\n%s", program, err, text)
	}
	return found
}

func (k *nats) form(c *Cluster) { c.each((*Node).run) }

func (k *nats) start(n *Node) (*process, error) {
	var conf strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&conf, format+"\n", args...) }
	line("server_name: %s", n.Name)
	line("listen: 127.0.0.1:-1")
	line("http: 127.0.0.1:%d", k.monitor[n.number])
	line("jetstream { store_dir: %q, max_mem: 64M, max_file: 256M }", n.dir)
	line("mqtt { host: 127.0.0.1, port: %d, ack_wait: \"1s\", stream_replicas: %d, consumer_replicas: %d }", n.Port, size, size)
	line("cluster { name: test, listen: 127.0.0.1:%d, routes: [", k.routes[n.number])
	for i, port := range k.routes {
		if i != n.number {
			line("nats-route://127.0.0.1:%d", port)
		}
	}
	line("] }")
	return launch(subprocess.Command(k.program, "-c", n.write("nats.conf", conf.String())), n.output())
}

// group is the NATS status of a Raft group.
type group struct {
	Leader   string
	Replicas []struct { // as the leader reports them
		Name    string
		Current bool
	}
}

// complete returns an error if the group lacks a member.
func (g group) complete(n *Node, what string) error {
	if g.Leader == "" {
		return errors.New(what + " has no leader")
	}
	for _, r := range g.Replicas {
		if g.Leader == n.Name && !r.Current {
			return fmt.Errorf("%s: %s is not up to date", what, r.Name)
		}
	}
	return nil
}

// status is a part of the JetStream status from the monitoring server.
type status struct {
	Meta struct {
		group
		Size int `json:"cluster_size"`
	} `json:"meta_cluster"`
	Accounts []struct {
		Streams []struct {
			Name      string
			Cluster   group
			Consumers []struct {
				Name    string
				Cluster group
			} `json:"consumer_detail"`
		} `json:"stream_detail"`
	} `json:"account_details"`
}

func (k *nats) check(c *Cluster) error {
	for _, n := range c.Nodes {
		if err := k.led(n); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

// led returns an error unless all groups that a node leads are complete.
func (k *nats) led(n *Node) error {
	s, err := k.status(n)
	if err != nil {
		return err
	}
	if s.Meta.Size != size {
		return fmt.Errorf("JetStream has %d members", s.Meta.Size)
	}
	wrong := []error{s.Meta.complete(n, "JetStream")}
	for _, account := range s.Accounts {
		for _, stream := range account.Streams {
			wrong = append(wrong, stream.Cluster.complete(n, stream.Name))
			for _, consumer := range stream.Consumers {
				if stream.Name == "$MQTT_msgs" { // other streams may have consumers of earlier nodes
					wrong = append(wrong, consumer.Cluster.complete(n, consumer.Name))
				}
			}
		}
	}
	return errors.Join(wrong...)
}

// status requests the status of a node from its monitoring server. It closes the connection after
// the response.
func (k *nats) status(n *Node) (s status, err error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/jsz?consumers=true", k.monitor[n.number]))
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}

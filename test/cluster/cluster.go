// Package cluster starts real clusters of three MQTT brokers for tests, on free
// loopback ports, kills and restarts their nodes, and ends them with the test:
// NATS with JetStream (Debian's nats-server) and RabbitMQ with its MQTT plugin
// (Debian's rabbitmq-server: 3.10 in Debian 12, 4.0 in Debian 13).
package cluster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	size     = 3
	patience = 3 * time.Minute // for what a loaded machine takes a quarter of a minute for
)

// Cluster is three brokers that are one to their clients.
type Cluster struct {
	Name    string // NATS or RabbitMQ
	Version string // as the program says, 2.9.10
	Nodes   []*Node

	tb   testing.TB
	kind kind
}

// Node is one broker of a cluster.
type Node struct {
	Name string // unique in the cluster
	Port int    // for MQTT, on 127.0.0.1

	cluster *Cluster
	number  int // from 0
	dir     string
	process *process
}

// kind is what the two products differ in.
type kind interface {
	// start starts the program of a node that does not run.
	start(n *Node) (*process, error)
	// form starts all nodes so that they become a cluster.
	form(c *Cluster)
	// check tells why the cluster is not complete yet, by the product's account.
	check(c *Cluster) error
}

// start makes the nodes, starts them all and waits until they are a cluster.
// Everything ends with the test.
func start(tb testing.TB, c *Cluster, k kind) *Cluster {
	tb.Helper()
	c.tb, c.kind = tb, k
	dir := tb.TempDir()
	for i := range size {
		n := &Node{Name: fmt.Sprintf("n%d", i+1), Port: freePort(tb), cluster: c, number: i}
		n.dir = filepath.Join(dir, n.Name)
		if err := os.Mkdir(n.dir, 0o700); err != nil {
			tb.Fatal(err)
		}
		c.Nodes = append(c.Nodes, n)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			c.log()
		}
		c.each((*Node).Kill)
	})
	k.form(c)
	c.WaitReady()
	return c
}

func (c *Cluster) each(do func(*Node)) {
	var all sync.WaitGroup
	for _, n := range c.Nodes {
		all.Add(1)
		go func() {
			defer all.Done()
			do(n)
		}()
	}
	all.Wait()
}

// Servers are the addresses of the nodes, as URLs.
func (c *Cluster) Servers() (urls []string) {
	for _, n := range c.Nodes {
		urls = append(urls, "mqtt://"+n.Addr())
	}
	return urls
}

// WaitReady waits until the cluster is complete by the product's own account, and
// a QoS 1 message published on any node arrives at each node.
func (c *Cluster) WaitReady() {
	c.tb.Helper()
	deadline := time.Now().Add(patience)
	for err := c.kind.check(c); err != nil; err = c.kind.check(c) {
		if c.dead() || time.Now().After(deadline) {
			c.tb.Fatalf("%s: incomplete: %v", c.Name, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := c.probe(deadline); err != nil {
		c.tb.Fatalf("%s: the nodes pass no messages: %v", c.Name, err)
	}
}

// dead tells whether a node does not run.
func (c *Cluster) dead() bool {
	return slices.ContainsFunc(c.Nodes, func(n *Node) bool { return !n.Running() })
}

// log logs what the nodes have printed.
func (c *Cluster) log() {
	for _, n := range c.Nodes {
		c.tb.Logf("%s %s, running: %v\n%s", c.Name, n.Name, n.Running(), n.Log())
	}
}

// Addr is the node's TCP address for MQTT.
func (n *Node) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.Port)) }

// Running tells whether the node's process is alive, be it paused.
func (n *Node) Running() bool { return n.process != nil && n.process.alive() }

// Kill ends the node with SIGKILL, if it runs: no goodbye to anybody.
func (n *Node) Kill() {
	if n.process != nil {
		n.process.end(syscall.SIGKILL)
	}
}

// Stop ends the node with SIGTERM, if it runs: it closes its connections and
// leaves its cluster in order.
func (n *Node) Stop() {
	if n.process != nil {
		n.process.end(syscall.SIGTERM)
	}
}

// Restart starts the node again after Kill or Stop, on the same port, and waits
// until it accepts TCP connections. WaitReady waits for the rest.
func (n *Node) Restart() {
	n.cluster.tb.Helper()
	n.Stop()
	n.run()
	n.listening()
}

// listening waits until the node accepts TCP connections.
func (n *Node) listening() {
	n.cluster.tb.Helper()
	deadline := time.Now().Add(patience)
	for {
		conn, err := net.Dial("tcp4", n.Addr())
		if err == nil {
			conn.Close()
			return
		}
		if !n.Running() || time.Now().After(deadline) {
			n.cluster.tb.Fatalf("%s: %s does not listen: %v", n.cluster.Name, n.Name, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Pause stops the node's process: it keeps its connections and is silent.
func (n *Node) Pause() { n.process.signal(syscall.SIGSTOP) }

// Resume lets a paused node go on.
func (n *Node) Resume() { n.process.signal(syscall.SIGCONT) }

// Log is the last of what the node has printed so far.
func (n *Node) Log() string {
	const enough = 5000
	text, _ := os.ReadFile(n.output())
	return string(text[max(0, len(text)-enough):])
}

func (n *Node) output() string { return filepath.Join(n.dir, "output") }

func (n *Node) run() {
	p, err := n.cluster.kind.start(n)
	if err != nil {
		n.cluster.tb.Errorf("%s: %s: %v", n.cluster.Name, n.Name, err)
		return
	}
	n.process = p
}

// write writes a file into the node's directory.
func (n *Node) write(name, text string) (path string) {
	path = filepath.Join(n.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		n.cluster.tb.Error(err)
	}
	return path
}

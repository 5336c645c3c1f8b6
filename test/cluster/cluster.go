// Package cluster starts real clusters of three MQTT brokers for tests. The nodes listen on
// free loopback ports. A test can kill and restart them, and they stop at the end of the test.
// The products are NATS with JetStream (Debian's nats-server) and RabbitMQ with its MQTT plugin
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
	patience = 3 * time.Minute // limit of each wait; a loaded machine needs about 15 s
)

// Cluster is a cluster of three brokers.
type Cluster struct {
	Name    string // NATS or RabbitMQ
	Version string // as the program prints it, for example 2.9.10
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

// kind has the operations that differ between the products.
type kind interface {
	// start starts the program of a stopped node.
	start(n *Node) (*process, error)
	// form starts all nodes so that they form a cluster.
	form(c *Cluster)
	// check asks the product whether the cluster is complete. It returns an error if not.
	check(c *Cluster) error
}

// start makes the nodes, starts them and waits until they form a cluster. The nodes stop at the
// end of the test.
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

// Servers returns the URLs of the nodes.
func (c *Cluster) Servers() (urls []string) {
	for _, n := range c.Nodes {
		urls = append(urls, "mqtt://"+n.Addr())
	}
	return urls
}

// WaitReady waits until the product reports a complete cluster, and until a QoS 1 message from
// any node arrives at each node.
func (c *Cluster) WaitReady() {
	c.tb.Helper()
	deadline := time.Now().Add(patience)
	for err := c.kind.check(c); err != nil; err = c.kind.check(c) {
		if c.hasStoppedNode() || time.Now().After(deadline) {
			c.tb.Fatalf("%s: incomplete: %v", c.Name, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := c.probe(deadline); err != nil {
		c.tb.Fatalf("%s: messages do not arrive at all nodes: %v", c.Name, err)
	}
}

// hasStoppedNode reports whether at least one node is not running.
func (c *Cluster) hasStoppedNode() bool {
	return slices.ContainsFunc(c.Nodes, func(n *Node) bool { return !n.Running() })
}

// log logs the last output of the nodes.
func (c *Cluster) log() {
	for _, n := range c.Nodes {
		c.tb.Logf("%s %s, running: %v\n%s", c.Name, n.Name, n.Running(), n.Log())
	}
}

// Addr returns the node's TCP address for MQTT.
func (n *Node) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.Port)) }

// Running reports whether the node's process exists. A paused process exists too.
func (n *Node) Running() bool { return n.process != nil && n.process.alive() }

// Kill ends the node with SIGKILL, if it runs. Clients and other nodes get no DISCONNECT or
// other notice.
func (n *Node) Kill() {
	if n.process != nil {
		n.process.end(syscall.SIGKILL)
	}
}

// Stop ends the node with SIGTERM, if it runs. The node shuts down gracefully: it closes its
// connections and leaves the cluster.
func (n *Node) Stop() {
	if n.process != nil {
		n.process.end(syscall.SIGTERM)
	}
}

// Restart starts the node again after Kill or Stop, on the same port, and waits
// until it accepts TCP connections. Call WaitReady to wait until the cluster is complete.
func (n *Node) Restart() {
	n.cluster.tb.Helper()
	n.Stop()
	n.run()
	n.awaitListening()
}

// awaitListening waits until the node accepts TCP connections.
func (n *Node) awaitListening() {
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

// Pause suspends the node's process. The process keeps its connections and sends nothing.
func (n *Node) Pause() { n.process.signal(syscall.SIGSTOP) }

// Resume continues a paused node.
func (n *Node) Resume() { n.process.signal(syscall.SIGCONT) }

// Log returns the last 5000 bytes of the node's output.
func (n *Node) Log() string {
	const limit = 5000
	text, _ := os.ReadFile(n.output())
	return string(text[max(0, len(text)-limit):])
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

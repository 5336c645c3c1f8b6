package cluster

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mosquitto-go/mosquitto/internal/subprocess"
)

// rabbitMQ is a RabbitMQ cluster. It has its own epmd, the name server of Erlang nodes.
type rabbitMQ struct {
	tb      testing.TB
	dir     string // HOME of all nodes, with their common cookie
	bin     string // folder of RabbitMQ's programs
	version string
	conf    []string
	epmd    int
	amqp    [size]int
	erlang  [size]int
	plugins string
}

// StartRabbitMQ starts three nodes of rabbitmq-server. conf has additional lines of rabbitmq.conf.
// The nodes accept clients without a user name, and the user guest with the password guest.
func StartRabbitMQ(tb testing.TB, conf ...string) *Cluster {
	tb.Helper()
	server := find(tb, "rabbitmq-server", "rabbitmq-server")
	k := &rabbitMQ{tb: tb, dir: tb.TempDir(), conf: conf, epmd: freePort(tb)}
	k.bin = "/usr/lib/rabbitmq/bin" // the scripts in PATH would change the user
	if _, err := os.Stat(k.bin); err != nil {
		k.bin = filepath.Dir(server)
	}
	for i := range size {
		k.amqp[i], k.erlang[i] = freePort(tb), freePort(tb)
	}
	k.files()
	k.startEpmd()
	k.version = k.installed()
	return start(tb, &Cluster{Name: "RabbitMQ", Version: k.version}, k)
}

func (k *rabbitMQ) files() {
	k.tb.Helper()
	k.plugins = filepath.Join(k.dir, "enabled_plugins")
	err := errors.Join(
		os.WriteFile(k.plugins, []byte("[rabbitmq_mqtt].\n"), 0o600),
		os.WriteFile(filepath.Join(k.dir, ".erlang.cookie"), []byte(rand.Text()), 0o400))
	if err != nil {
		k.tb.Fatal(err)
	}
}

func (k *rabbitMQ) startEpmd() {
	k.tb.Helper()
	port := strconv.Itoa(k.epmd)
	cmd := subprocess.Command(find(k.tb, "epmd", "erlang-base"), "-port", port, "-address", "127.0.0.1")
	p, err := launch(cmd, filepath.Join(k.dir, "epmd"))
	if err != nil {
		k.tb.Fatal(err)
	}
	k.tb.Cleanup(func() { p.end(syscall.SIGKILL) })
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			conn.Close()
			return
		}
		if !p.alive() || time.Now().After(deadline) {
			k.tb.Fatalf("epmd: %v", err)
		}
	}
}

// installed returns the installed version. It reads the version from the name of a folder, because
// the program would take seconds to print it.
func (k *rabbitMQ) installed() string {
	k.tb.Helper()
	found, _ := filepath.Glob(filepath.Join(k.bin, "../lib/rabbitmq_server-*"))
	if len(found) != 1 {
		k.tb.Fatalf("cannot determine the version of RabbitMQ from the folders %q", found)
	}
	_, version, _ := strings.Cut(filepath.Base(found[0]), "-")
	return version
}

func name(number int) string { return fmt.Sprintf("n%d@localhost", number+1) }

// command returns a command that runs a program of RabbitMQ with the environment of a node.
func (k *rabbitMQ) command(n *Node, program string, args ...string) *exec.Cmd {
	cmd := subprocess.Command(filepath.Join(k.bin, program), args...)
	cmd.Dir = n.dir
	cmd.Env = append(os.Environ(),
		"HOME="+k.dir,
		"ERL_EPMD_PORT="+strconv.Itoa(k.epmd),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"ERL_AFLAGS=-kernel inet_dist_use_interface {127,0,0,1}", // for all Erlang nodes, also those of the command-line tools
		"ERL_CRASH_DUMP_SECONDS=0",
		"RABBITMQ_ALLOW_INPUT=1", // the script replaces itself by the server instead of waiting for it
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_CONFIG_FILE="+filepath.Join(n.dir, "rabbitmq.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+k.plugins,
		"RABBITMQ_NODENAME="+name(n.number),
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT="+strconv.Itoa(k.amqp[n.number]),
		"RABBITMQ_DIST_PORT="+strconv.Itoa(k.erlang[n.number]),
		"RABBITMQ_MNESIA_BASE="+n.dir,
		"RABBITMQ_LOGS=-",
		"RABBITMQ_LOG_BASE="+n.dir, // for log files
		"RABBITMQ_PID_FILE="+filepath.Join(n.dir, "pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-noinput -start_epmd false +S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
	)
	return cmd
}

// form starts all nodes. Since version 4 a new node waits for a second node, so all nodes start at
// the same time. Nodes of earlier versions start one after the other. If they started at the same
// time, some would never accept an MQTT client: the Raft group with the client ids would not form.
func (k *rabbitMQ) form(c *Cluster) {
	k.tb.Helper()
	if !strings.HasPrefix(k.version, "3.") {
		c.each((*Node).run)
	}
	for _, n := range c.Nodes {
		if !n.Running() {
			n.run()
		}
		n.awaitListening()
	}
}

func (k *rabbitMQ) start(n *Node) (*process, error) {
	conf := []string{
		fmt.Sprintf("listeners.tcp.1 = 127.0.0.1:%d", k.amqp[n.number]),
		fmt.Sprintf("mqtt.listeners.tcp.1 = 127.0.0.1:%d", n.Port),
		"cluster_formation.peer_discovery_backend = classic_config",
	}
	for i := range size {
		conf = append(conf, fmt.Sprintf("cluster_formation.classic_config.nodes.%d = %s", i+1, name(i)))
	}
	n.write("rabbitmq.conf", strings.Join(append(conf, k.conf...), "\n")+"\n")
	return launch(k.command(n, "rabbitmq-server"), n.output())
}

// check asks the first node whether all nodes are up, and whether every replicated queue would
// have a majority without this node. It has a replica of each queue.
func (k *rabbitMQ) check(c *Cluster) error {
	for _, command := range [][]string{
		{"rabbitmqctl", "await_online_nodes", strconv.Itoa(size), "--timeout", "10"},
		{"rabbitmq-queues", "check_if_node_is_quorum_critical"},
	} {
		if text, err := k.command(c.Nodes[0], command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%q: %w: %s", command, err, text)
		}
	}
	return nil
}

// Drain puts a node of RabbitMQ into maintenance mode: it disconnects its clients,
// accepts no new clients, and transfers the leadership of replicated queues.
func (n *Node) Drain() { n.upgrade("drain") }

// Revive ends the maintenance mode: the node accepts clients again.
func (n *Node) Revive() {
	n.cluster.tb.Helper()
	n.upgrade("revive")
	n.awaitListening()
}

func (n *Node) upgrade(command string) {
	n.cluster.tb.Helper()
	k := n.cluster.kind.(*rabbitMQ)
	if text, err := k.command(n, "rabbitmq-upgrade", command).CombinedOutput(); err != nil {
		n.cluster.tb.Fatalf("RabbitMQ: %s %s: %v: %s", command, n.Name, err, text)
	}
}

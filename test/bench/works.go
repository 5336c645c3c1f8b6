package main

import "slices"

// section is a table of the page.
type section struct {
	name    string // for -only
	title   string
	says    string // what the table shows
	columns []column
	chart   bool // the section is also drawn in the chart
	works   []work
}

// work is a measurement of all contenders that support it.
type work struct {
	name       string // the section's name if it is empty
	kind       string // key of kinds, also for the worker in C
	size       int    // bytes of a payload
	qos        byte
	window     int // limit of messages that have not arrived or are not acknowledged
	inFlight   int // limit of messages in flight, for the library; 0 is its default
	broker     bool
	tls        bool
	resume     bool // resume TLS sessions
	clients    int
	contenders []string
	count      int // messages of a run
	least      int // instead of count: messages of the first run, which is not counted
	most       int // messages of a run at most
	leastRuns  int // runs at least
}

var everyone = []string{oursRun, oursStart, oursMqtt, oursRelay, oursPaho, cForever, cStart, pahoV3, pahoV5, atWat}

// roundTrippers are all contenders, and Run with a callback that publishes, like C, loop_forever.
var roundTrippers = slices.Insert(slices.Clone(everyone), 1, oursInside)

// publishers have no row for mosquitto_loop_forever: to publish, it would need a second
// thread, which is mosquitto_loop_start.
var publishers = []string{oursRun, oursStart, oursMqtt, oursRelay, oursPaho, cStart, pahoV3, pahoV5, atWat}

// manyContenders can have thousands of clients in a process. The library's own loops cannot
// use file descriptors above 1023.
var manyContenders = []string{oursRun, oursMqtt, oursPaho, pahoV3, pahoV5, atWat}

// awaiters have no row for C, which has no goroutines that could wait.
var awaiters = manyContenders

// resumers can resume TLS sessions: they use crypto/tls. libmosquitto cannot.
var resumers = []string{oursRelay, oursPaho, pahoV3, pahoV5, atWat}

// restarters reconnect by themselves. The other clients in Go need an additional package.
var restarters = []string{oursRun, oursMqtt, oursPaho, pahoV3}

// belowSelect is the number of clients whose file descriptors, three for each, stay
// below 1024.
const belowSelect = 250

// inFlight is the limit of QoS 1 messages in flight in the table with goroutines, and where
// both ends use a broker. It is the default of package mqtt. With a higher limit libmosquitto
// is slower: it searches the list of these messages for each acknowledgement.
const inFlight = 100

// sections are all tables. libmosquitto keeps unsent QoS 0 messages in memory, so their
// number has a low limit.
var sections = named([]section{
	{
		name: "receive64", title: "Receive a flood, 64 B, QoS 0", columns: perMessage, chart: true,
		says:  "The peer sends as fast as it can. This is the highest rate that a client can receive, not a usual load.",
		works: []work{{kind: "receive", size: 64, contenders: everyone, least: 20_000, most: 4_000_000}},
	}, {
		name: "receive4k", title: "Receive a flood, 4 KiB, QoS 0", columns: perMessage, chart: true,
		says:  "The same with larger messages.",
		works: []work{{kind: "receive", size: 4096, contenders: everyone, least: 10_000, most: 500_000}},
	}, {
		name: "publish0", title: "Publish a flood, 64 B, QoS 0", columns: perMessage, chart: true,
		says:  "The client publishes as fast as it can to a peer that only counts. This is the highest rate that a client can send, not a usual load.",
		works: []work{{kind: "publish", size: 64, contenders: publishers, least: 10_000, most: 500_000}},
	}, {
		name: "publish1", title: "Publish 64 B, QoS 1, 1,000 in flight", columns: perMessage, chart: true,
		says:  "The program keeps 1,000 messages unacknowledged. The limit of the library is raised to 1,000 messages in flight.",
		works: []work{{kind: "publish", size: 64, qos: 1, window: window, inFlight: window, contenders: publishers, least: 10_000, most: 500_000}},
	}, {
		name: "default1", title: "Publish 64 B, QoS 1, default settings", columns: perMessage,
		says:  "The same, but the library has its default limit: libmosquitto has 20 messages in flight and queues the others, package mqtt has 100. The other Go clients have no limit of their own.",
		works: []work{{kind: "publish", size: 64, qos: 1, window: window, contenders: publishers, least: 10_000, most: 500_000}},
	}, {
		name: "default1-broker", title: "Publish 64 B to mosquitto, QoS 1, default settings", columns: perMessage,
		says:  "The same with mosquitto instead of the peer. Nobody has subscribed to the topic.",
		works: []work{{kind: "publish", size: 64, qos: 1, window: window, broker: true, contenders: publishers, least: 10_000, most: 200_000}},
	}, {
		name: "awaited1", title: "Publish 64 B, QoS 1, awaited by 1,000 goroutines", columns: perMessage, chart: true,
		says:  "Each goroutine waits until its message is acknowledged before it publishes the next message.",
		works: []work{{kind: "awaited", size: 64, qos: 1, window: window, inFlight: inFlight, contenders: awaiters, least: 10_000, most: 500_000}},
	}, {
		name: "broker0", title: "Both ends through mosquitto, 64 B, QoS 0", columns: perMessage, chart: true,
		says:  "A publisher and a subscriber in one process. The publisher waits while 1,000 messages have not arrived.",
		works: []work{{kind: "both-ends", size: 64, window: window, inFlight: window, broker: true, contenders: publishers, least: 5_000, most: 200_000}},
	}, {
		name: "broker1", title: "Both ends through mosquitto, 64 B, QoS 1", columns: perMessage, chart: true,
		says:  "The same with acknowledgements. Up to 100 messages are in flight, the default of package mqtt. With more, libmosquitto is slower: it searches its list of them at each acknowledgement.",
		works: []work{{kind: "both-ends", size: 64, qos: 1, window: window, inFlight: inFlight, broker: true, contenders: publishers, least: 5_000, most: 200_000}},
	}, {
		name: "three0", title: "Three processes: publisher, mosquitto, subscriber, 64 B, QoS 0", columns: perMessage, chart: true,
		says:  "The same as both ends, but the publisher and the subscriber are separate processes. CPU is the sum of both.",
		works: []work{{kind: "publisher", size: 64, window: window, inFlight: window, broker: true, contenders: publishers, least: 5_000, most: 200_000}},
	}, {
		name: "three1", title: "Three processes: publisher, mosquitto, subscriber, 64 B, QoS 1", columns: perMessage, chart: true,
		says:  "The same with acknowledgements.",
		works: []work{{kind: "publisher", size: 64, qos: 1, window: window, inFlight: inFlight, broker: true, contenders: publishers, least: 5_000, most: 200_000}},
	}, {
		name: "latency", title: "Round trip through the peer, 64 B, QoS 0", columns: roundTrip,
		says:  "One message at a time, there and back. Run in callback and C, loop_forever publish inside the callback; all others publish on another thread or goroutine. The median is of at least nine runs, because a round trip depends on which CPU the system chooses for each thread.",
		works: []work{{kind: "latency", size: 64, contenders: roundTrippers, count: roundTrips, leastRuns: 9}},
	}, {
		name: "latency-broker", title: "Round trip through mosquitto, 64 B, QoS 0", columns: roundTrip,
		says:  "The same with mosquitto instead of the peer.",
		works: []work{{kind: "latency", size: 64, broker: true, contenders: roundTrippers, count: roundTrips, leastRuns: 9}},
	}, {
		name: "tls-receive64", title: "TLS: receive a flood, 64 B, QoS 0", columns: perMessage,
		says:  "The peer sends as fast as it can, with crypto/tls. In the TLS tables, the row WithDialer uses WithTLSConfig: crypto/tls instead of OpenSSL.",
		works: []work{{kind: "receive", size: 64, tls: true, contenders: everyone, least: 20_000, most: 4_000_000}},
	}, {
		name: "tls-publish0", title: "TLS: publish a flood, 64 B, QoS 0", columns: perMessage,
		says:  "The client publishes as fast as it can to a peer that only counts.",
		works: []work{{kind: "publish", size: 64, tls: true, contenders: publishers, least: 10_000, most: 500_000}},
	}, {
		name: "tls-broker0", title: "TLS: both ends through mosquitto, 64 B, QoS 0", columns: perMessage,
		says:  "A publisher and a subscriber in one process, connected to the TLS port of mosquitto.",
		works: []work{{kind: "both-ends", size: 64, window: window, inFlight: window, broker: true, tls: true, contenders: publishers, least: 5_000, most: 200_000}},
	}, {
		name: "tls-broker1", title: "TLS: both ends through mosquitto, 64 B, QoS 1", columns: perMessage,
		says:  "The same with acknowledgements.",
		works: []work{{kind: "both-ends", size: 64, qos: 1, window: window, inFlight: inFlight, broker: true, tls: true, contenders: publishers, least: 5_000, most: 200_000}},
	}, {
		name: "tls-latency", title: "TLS: round trip through mosquitto, 64 B, QoS 0", columns: roundTrip,
		says:  "One message at a time, there and back.",
		works: []work{{kind: "latency", size: 64, broker: true, tls: true, contenders: roundTrippers, count: roundTrips, leastRuns: 9}},
	}, {
		name: "tls-connects", title: "TLS: connects to mosquitto with a full handshake", columns: perConnect,
		says:  "100 threads or goroutines connect new clients and disconnect them. The broker needs CPU time of the same machine.",
		works: []work{{kind: "connects", broker: true, tls: true, contenders: publishers, least: 200, most: 5_000}},
	}, {
		name: "tls-resumed", title: "TLS: connects to mosquitto with a resumed session", columns: perConnect,
		says:  "The same with a session of an earlier connection. libmosquitto cannot resume sessions, so C and all clients with OpenSSL have no row.",
		works: []work{{kind: "connects", broker: true, tls: true, resume: true, contenders: resumers, least: 200, most: 5_000}},
	}, {
		name: manyName, title: "Connect, subscribe, one message each, clients of one process through mosquitto", columns: manyColumns,
		says: "Memory is the resident memory at that moment, including garbage that was not collected yet, without the memory of the process before the first client. The CPU time includes the start of the process.",
		works: []work{
			{name: "many500", kind: "many", size: 64, broker: true, clients: 500, contenders: manyContenders},
			{name: "many1500", kind: "many", size: 64, broker: true, clients: 1500, contenders: manyContenders},
			{name: "many4500", kind: "many", size: 64, broker: true, clients: 4500, contenders: manyContenders},
		},
	}, {
		name: "wake", title: "Threads of 4,000 clients in one process", columns: wakeColumns,
		says:  "200 clients at a time connect and subscribe. Then one message of mosquitto wakes all clients. Threads is the peak number of threads of the process.",
		works: []work{{kind: "wake", size: 64, broker: true, clients: 4000, contenders: manyContenders}},
	}, {
		name: "restart", title: "Restart of mosquitto", columns: restartColumns,
		says: "The broker is killed and starts again after 2 s. The time is from its start until all clients of one process are subscribed again. CPU is the CPU time of that process from the end of the broker until then. The longest delay between attempts is 2 s for all clients; the other settings are their defaults.",
		works: []work{
			{name: "restart2000", kind: "restart", broker: true, clients: 2000, contenders: restarters},
			{name: "restart4500", kind: "restart", broker: true, clients: 4500, contenders: restarters},
			{name: "restart-tls1000", kind: "restart", broker: true, tls: true, clients: 1000, contenders: restarters},
		},
	}, {
		name: idleName, title: "Idle clients, keepalive 60 s", columns: idleColumns,
		says: "Resident memory after a garbage collection; CPU over 60 s, in which each client sends one PINGREQ. The library's own loops cannot use file descriptors above 1023, which limits them to 250 clients.",
		works: []work{
			{name: "idle250", kind: "idle", clients: belowSelect, contenders: []string{oursStart, cStart}},
			{name: "idle1000", kind: "idle", clients: 1000, contenders: []string{oursRun, oursMqtt, oursRelay, oursPaho, pahoV3, pahoV5, atWat}},
			{name: "idle2000", kind: "idle", clients: 2000, contenders: []string{oursMqtt, oursRelay}},
			{name: "idle4500", kind: "idle", clients: 4500, contenders: []string{oursRun}},
		},
	},
})

// The names of sections with a special treatment.
const (
	idleName = "idle"
	manyName = "many"
)

// roundTrips is the number of messages of a latency run.
const roundTrips = 4000

// named gives works without a name the name of their section.
func named(list []section) []section {
	for _, s := range list {
		for i := range s.works {
			if s.works[i].name == "" {
				s.works[i].name = s.name
			}
		}
	}
	return list
}

// scale is the size of a benchmark run.
type scale struct {
	runs    int
	seconds float64 // duration of a throughput run
	divisor int     // divides all numbers of messages
	fewer   int     // divides all numbers of clients
	down    float64 // seconds for which the broker is stopped
	settle  float64 // seconds before idle clients are measured
	watch   float64 // seconds of this measurement: a keepalive, so each client sends one PINGREQ
}

var full = scale{runs: 3, seconds: 0.7, divisor: 1, fewer: 1, down: 2, settle: 5, watch: keepalive}

// runsOf returns the number of runs of a work.
func (s scale) runsOf(w work) int {
	if s.divisor > 1 {
		return s.runs
	}
	return max(s.runs, w.leastRuns)
}

// quick only shows whether everything works. Its figures mean nothing.
var quick = scale{runs: 1, divisor: 10, fewer: 50, down: 0.1, settle: 0.1, watch: 0.5}

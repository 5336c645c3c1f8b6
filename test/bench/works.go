package main

// work is one kind of measurement, for all contenders that support it.
type work struct {
	name       string // for -only
	title      string
	kind       string // kind of Job, and of the worker in C
	size       int
	qos        byte
	window     int
	broker     bool // the real broker instead of the peer
	contenders []string
	least      int // messages of a run at least; the first run, which is not counted, sends this number
	most       int // messages of a run at most
}

var everyone = []string{oursRun, oursStart, oursMqtt, oursRelay, oursPaho, cForever, cStart, pahoV3, pahoV5, atWat}

// publishers have no row for mosquitto_loop_forever: to publish, it would need a second
// thread, which is mosquitto_loop_start.
var publishers = []string{oursRun, oursStart, oursMqtt, oursRelay, oursPaho, cStart, pahoV3, pahoV5, atWat}

// awaiters have no row for C, which has no goroutines that could wait.
var awaiters = []string{oursRun, oursMqtt, oursPaho, pahoV3, pahoV5, atWat}

// throughputs are the works with messages per second. libmosquitto keeps unsent QoS 0
// messages in memory, so their number has a low limit.
var throughputs = []work{
	{name: "receive64", title: "Receive 64 B, QoS 0", kind: "receive", size: 64, contenders: everyone, least: 20_000, most: 4_000_000},
	{name: "receive4k", title: "Receive 4 KiB, QoS 0", kind: "receive", size: 4096, contenders: everyone, least: 10_000, most: 500_000},
	{name: "publish0", title: "Publish 64 B, QoS 0", kind: "publish", size: 64, contenders: publishers, least: 10_000, most: 500_000},
	{name: "publish1", title: "Publish 64 B, QoS 1, 1,000 in flight", kind: "publish", size: 64, qos: 1, window: window, contenders: publishers, least: 10_000, most: 500_000},
	{name: "awaited1", title: "Publish 64 B, QoS 1, awaited by 1,000 goroutines", kind: "awaited", size: 64, qos: 1, window: window, contenders: awaiters, least: 10_000, most: 500_000},
	{name: "broker0", title: "Both ends through mosquitto, 64 B, QoS 0", kind: "both-ends", size: 64, window: window, broker: true, contenders: publishers, least: 5_000, most: 200_000},
	{name: "broker1", title: "Both ends through mosquitto, 64 B, QoS 1", kind: "both-ends", size: 64, qos: 1, window: window, broker: true, contenders: publishers, least: 5_000, most: 200_000},
}

var latencies = []work{
	{name: "latency", title: "Round trip through the peer, 64 B, QoS 0", kind: "latency", size: 64, contenders: everyone},
	{name: "latency-broker", title: "Round trip through mosquitto, 64 B, QoS 0", kind: "latency", size: 64, broker: true, contenders: everyone},
}

// crowds are the contenders that can have thousands of clients in a process. The
// library's own loops cannot use file descriptors above 1023.
var crowds = []string{oursRun, pahoV3, pahoV5, atWat}

var manyWork = work{name: "many", title: "Connect, subscribe, one message each", kind: "many", size: 64, broker: true, contenders: crowds}

// idler is a process with idle clients. All idlers run at the same time.
type idler struct {
	contender string
	clients   int
}

const idleName = "idle"

// scale is the size of a benchmark run.
type scale struct {
	runs       int
	seconds    float64 // duration of a throughput run
	divisor    int     // divides all numbers of messages
	roundTrips int
	crowd      []int
	idlers     []idler
	settle     float64 // seconds before idle clients are measured
	watch      float64 // seconds of this measurement: a keepalive, so each client sends one PINGREQ
}

// belowSelect is the number of clients whose file descriptors, three for each, stay
// below 1024.
const belowSelect = 250

var full = scale{
	runs: 5, seconds: 0.7, divisor: 1, roundTrips: 4000,
	crowd: []int{500, 1500, 4500},
	idlers: []idler{
		{oursRun, 1000}, {oursRun, 4500}, {oursMqtt, 1000}, {oursRelay, 1000}, {oursRelay, 2000}, {oursStart, belowSelect}, {cStart, belowSelect},
		{oursPaho, 1000}, {pahoV3, 1000}, {pahoV5, 1000}, {atWat, 1000},
	},
	settle: 5, watch: keepalive,
}

// quick only shows whether everything works. Its figures mean nothing.
var quick = scale{
	runs: 1, divisor: 10, roundTrips: 100,
	crowd: []int{10, 30, 90},
	idlers: []idler{
		{oursRun, 20}, {oursRun, 90}, {oursMqtt, 20}, {oursRelay, 20}, {oursRelay, 40}, {oursStart, 20}, {cStart, 20},
		{oursPaho, 20}, {pahoV3, 20}, {pahoV5, 20}, {atWat, 20},
	},
	settle: 0.1, watch: 0.5,
}

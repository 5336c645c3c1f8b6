package main

// work is one thing that is measured, by all contenders that can do it.
type work struct {
	name       string // for -only
	title      string
	kind       string // of Job, and of the worker in C
	size       int
	qos        byte
	window     int
	broker     bool // the real one instead of the peer
	contenders []string
	least      int // messages of a run, and of the first, which is not counted
	most       int
}

var everyone = []string{oursRun, oursStart, oursMqtt, oursRelay, oursPaho, cForever, cStart, pahoV3, pahoV5, atWat}

// publishers: publishing beside mosquitto_loop_forever needs a second thread,
// and is mosquitto_loop_start then.
var publishers = []string{oursRun, oursStart, oursMqtt, oursRelay, oursPaho, cStart, pahoV3, pahoV5, atWat}

// awaiters: a C program has no goroutines to wait in.
var awaiters = []string{oursRun, oursMqtt, oursPaho, pahoV3, pahoV5, atWat}

// throughputs are the works with messages per second. Whatever libmosquitto has
// not sent yet of QoS 0 it keeps in memory, so their number has a low bound.
var throughputs = []work{
	{name: "receive64", title: "Receive 64 B, QoS 0", kind: "receive", size: 64, contenders: everyone, least: 20_000, most: 4_000_000},
	{name: "receive4k", title: "Receive 4 KiB, QoS 0", kind: "receive", size: 4096, contenders: everyone, least: 10_000, most: 500_000},
	{name: "publish0", title: "Publish 64 B, QoS 0", kind: "publish", size: 64, contenders: publishers, least: 10_000, most: 500_000},
	{name: "publish1", title: "Publish 64 B, QoS 1, 1,000 under way", kind: "publish", size: 64, qos: 1, window: window, contenders: publishers, least: 10_000, most: 500_000},
	{name: "awaited1", title: "Publish 64 B, QoS 1, awaited by 1,000 goroutines", kind: "awaited", size: 64, qos: 1, window: window, contenders: awaiters, least: 10_000, most: 500_000},
	{name: "broker0", title: "Both ends through mosquitto, 64 B, QoS 0", kind: "both-ends", size: 64, window: window, broker: true, contenders: publishers, least: 5_000, most: 200_000},
	{name: "broker1", title: "Both ends through mosquitto, 64 B, QoS 1", kind: "both-ends", size: 64, qos: 1, window: window, broker: true, contenders: publishers, least: 5_000, most: 200_000},
}

var latencies = []work{
	{name: "latency", title: "Round trip through the peer, 64 B, QoS 0", kind: "latency", size: 64, contenders: everyone},
	{name: "latency-broker", title: "Round trip through mosquitto, 64 B, QoS 0", kind: "latency", size: 64, broker: true, contenders: everyone},
}

// crowds are the contenders whose clients may be thousands in a process: the
// library's own loops end at descriptor 1023.
var crowds = []string{oursRun, pahoV3, pahoV5, atWat}

var manyWork = work{name: "many", title: "Connect, subscribe, one message each", kind: "many", size: 64, broker: true, contenders: crowds}

// idlers are processes with idle clients, all at the same time.
type idler struct {
	contender string
	clients   int
}

const idleName = "idle"

// scale is how much is done.
type scale struct {
	runs       int
	seconds    float64 // that a run of a throughput should take
	divisor    int     // of all numbers of messages
	roundTrips int
	crowd      []int
	idlers     []idler
	settle     float64 // seconds before idle clients are looked at
	watch      float64 // seconds of that, a keepalive: each sends one PINGREQ
}

// belowSelect is the number of clients that fit below descriptor 1024, with
// three each.
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

// quick is for a look whether everything works. Its figures mean nothing.
var quick = scale{
	runs: 1, divisor: 10, roundTrips: 100,
	crowd: []int{10, 30, 90},
	idlers: []idler{
		{oursRun, 20}, {oursRun, 90}, {oursMqtt, 20}, {oursRelay, 20}, {oursRelay, 40}, {oursStart, 20}, {cStart, 20},
		{oursPaho, 20}, {pahoV3, 20}, {pahoV5, 20}, {atWat, 20},
	},
	settle: 0.1, watch: 0.5,
}

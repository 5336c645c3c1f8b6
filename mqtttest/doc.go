// Package mqtttest helps to test programs that use package mqtt of this module. It has a
// private broker, a proxy that breaks connections, and tokens for tests without a broker.
//
// # A private broker
//
// [StartBroker] starts the Mosquitto broker on a free loopback port. The broker ends with
// the test.
//
//	func TestReport(t *testing.T) {
//		broker := mqtttest.StartBroker(t)
//		client, err := mqtt.Dial(t.Context(), []string{broker.URL()})
//		...
//	}
//
// StartBroker runs the installed program mosquitto. If mosquitto is not installed, it runs
// the container image eclipse-mosquitto with the docker command. If both are missing, the
// test fails with a message that names the package to install.
//
// Options set TLS, passwords, access lists, persistence, MQTT versions, and lines of
// mosquitto.conf. [Broker.Stop], [Broker.Kill] and [Broker.Start] restart the broker.
//
// # A proxy that breaks connections
//
// [StartProxy] starts a proxy between a client and a broker. Its methods cut, reset, stall,
// refuse and delay connections, so that a test can check what the program does then.
//
//	proxy := mqtttest.StartProxy(t, broker.URL())
//	client, err := mqtt.Dial(t.Context(), []string{proxy.URL()})
//	...
//	proxy.Cut() // the client reconnects
//
// # Tests without a broker
//
// Code that depends on [mqtt.Publisher] can be tested with a fake. [Token] returns the
// result of its method PublishAsync.
//
// # Goroutines
//
// [StartBroker], [StartProxy], [Broker.Start], [Broker.CAFile], [Broker.Certificate] and
// [Proxy.Accept] end the test with Fatal if they fail. Call them from the goroutine of the
// test. All other methods are safe for concurrent use.
//
// [mqtt.Publisher]: https://pkg.go.dev/github.com/mosquitto-go/mosquitto/mqtt#Publisher
package mqtttest

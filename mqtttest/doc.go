// Package mqtttest helps to test programs that use MQTT: with a private broker, with a
// proxy that breaks connections, and with completed tokens for unit tests without a broker.
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
// It runs the installed program mosquitto. If mosquitto is not installed, it runs the
// container image eclipse-mosquitto with the docker command. If both are missing, the
// test fails with a message that names the package to install.
//
// [StartProxy] starts a proxy between a client and a broker. Its methods cut, reset, stall,
// refuse and delay connections, so that a test can check what the program does then.
//
// [StartBroker], [StartProxy], [Broker.Start], [Broker.CAFile], [Broker.Certificate] and
// [Proxy.Accept] end the test with Fatal if they fail. Call them from the goroutine of the
// test. All other methods are safe for concurrent use.
package mqtttest

// Package mqtt has the exported API of github.com/eclipse/paho.mqtt.golang v1.5.1, on the
// package mqtt of this module's parent, which is called "package mosquitto/mqtt" below. A
// program moves to it by changing its import paths:
//
//	github.com/eclipse/paho.mqtt.golang          github.com/mosquitto-go/mosquitto/paho
//	github.com/eclipse/paho.mqtt.golang/packets  github.com/mosquitto-go/mosquitto/paho/packets
//
// The name of the package is the same too, so nothing else in the program changes. A new
// program should use package mosquitto/mqtt.
//
// # What is the same, what differs
//
// "Same" means that a program cannot see a difference. "Near" means that programs work,
// with the difference that the table names. "Refused" means that Connect returns an error
// that names the option. The identifiers that the table does not list are the same.
//
// The client:
//
//	NewClient, Client              same
//	IsConnected, IsConnectionOpen  same
//	Connect                        near: a failed Connect can be repeated at once; after an accepted
//	                               connection the client tries its last broker first, not the first
//	Connect during Disconnect      near: it waits for the end of the old connection
//	Disconnect                     near: it sends queued messages and waits for acknowledgements, at most
//	                               for the quiesce time; then all pending tokens end with an error;
//	                               callbacks of messages that were received before may still run
//	Publish                        near: it copies the payload and does not wait for the network; up to
//	                               65,535 messages and 64 MiB wait in a queue; an invalid topic or QoS
//	                               is an error
//	Publish during a reconnect     near: messages of QoS 0 are sent after it (paho.mqtt.golang drops
//	                               them); as there, their tokens end at once
//	Subscribe, SubscribeMultiple   near: the token has an error if the broker refuses a filter; Result is
//	                               the same; a SUBSCRIBE packet for each QoS, of at most 8 filters;
//	                               it may be sent before messages that Publish has queued
//	Unsubscribe                    near: the route of a shared subscription is removed too
//	reconnects                     near: the client subscribes again by itself, unless the broker has kept
//	                               the session; a Subscribe call in OnConnect then subscribes once more
//	AddRoute                       same
//	OptionsReader                  same
//	ConnectMQTT, NewWebsocket      same
//
// Tokens:
//
//	Wait, WaitTimeout, Done, Error  same
//	WaitTokenTimeout, TimedOut      same
//	ConnectToken                    same
//	PublishToken.MessageID          near: 0 before the message is sent
//	pending tokens of Publish       near: they always end: with the acknowledgement, also after a reconnect,
//	                                or with an error when the client is disconnected; a message for which
//	                                the broker closes the connection three times is given up with an error
//	pending tokens of Subscribe     same: without SetResumeSubs a connection loss ends them with an error
//	DisconnectToken, DummyToken, PlaceHolderToken, PacketAndToken, TokenErrorSetter, MId
//	                                near: they exist, and the client does not use them
//
// Received messages:
//
//	SetOrderMatters(true)     near: a callback may wait for tokens; up to 1,000 messages of QoS 0 and 4 MiB
//	                          wait for their callbacks
//	acknowledgements          near: the client acknowledges a message of QoS 1 or 2 when its callback has
//	                          returned; it does so earlier for messages that arrive while a callback waits
//	                          for a token, while a callback blocks other goroutines' tokens for longer than
//	                          1 s, and while a callback runs longer than half the keepalive
//	SetOrderMatters(false)    near: the client acknowledges a message when its callbacks have started
//	messages without a route  near: the client acknowledges them
//	Message.Ack               near: it does nothing
//	Message.Duplicate         near: it returns false, because libmosquitto does not report the flag
//	the rest of Message       same
//	SetAutoAckDisabled(true)  refused
//
// Options:
//
//	AddBroker                         near: a URL without a port has the default port of its scheme
//	credentials in URLs               refused if several brokers have different ones
//	SetUsername, SetPassword, SetCredentialsProvider  same
//	SetClientID                       near: if it is empty, libmosquitto or the broker chooses an id
//	SetCleanSession(false)            refused without SetClientID
//	SetProtocolVersion                near: MQTT 3.1 is tried only if the broker refuses MQTT 3.1.1 as a
//	                                  version or closes the connection; 0x83 and 0x84 (bridges) are refused
//	SetKeepAlive                      near: 1 s to 4 s are refused, libmosquitto needs 5 s
//	SetPingTimeout                    near: no effect, PINGRESP may take as long as the keepalive
//	SetConnectTimeout                 near: it includes CONNACK; it is for each address of a broker's name
//	SetMaxReconnectInterval           near: delays are shortened at random, by up to a half
//	SetAutoReconnect, SetConnectRetry, SetConnectRetryInterval  same
//	SetWriteTimeout                   near: it limits how long Publish waits for the queue; 0 means 30 s
//	SetResumeSubs                     near: pending subscriptions are kept in memory, not in the Store
//	SetMaxResumePubInFlight           near: it limits the messages in flight at all times
//	SetMessageChannelDepth            same: no effect
//	SetWill, SetBinaryWill, UnsetWill same
//	SetTLSConfig, SetDialer, SetCustomOpenConnectionFn, SetHTTPHeaders  same
//	SetWebsocketOptions               near: the buffer sizes have no effect
//	ALL_PROXY and NO_PROXY            near: they count for all brokers with TCP and TLS
//
// Handlers:
//
//	SetOnConnectHandler, SetConnectionLostHandler  same: each call has a goroutine of its own; the error
//	                                  is a *mqtt.ConnectError
//	SetReconnectingHandler            near: it is called before each attempt on each broker; changes of
//	                                  credentials, brokers, TLS and headers count; if it sets another number
//	                                  of brokers, they take turns
//	SetConnectionAttemptHandler       near: it gets a copy of the TLS configuration
//	SetConnectionNotificationHandler  near: Attempt counts the attempts on single brokers during a reconnect
//	DefaultConnectionLostHandler      same
//
// The functions that run before and during an attempt must return within the connect
// timeout.
//
// Stores:
//
//	Store                             near: the client uses it only with SetCleanSession(false), and only
//	                                  for messages to send
//	received messages and PUBREL packets in a Store  refused
//	MemoryStore, OrderedMemoryStore   near: both keep the order
//	FileStore                         near: it reads the files of paho.mqtt.golang; failures are logged, and
//	                                  are errors of Publish, but never panics
//
// Errors and loggers:
//
//	ErrNotConnected, ErrInvalidQos, ErrInvalidTopicEmptyString, ErrInvalidTopicMultilevel  same
//	errors of Connect                 same: those of package packets; a network error wraps its cause;
//	                                  its text names each broker with mqtt://, also with TLS
//	ERROR, CRITICAL, WARN, DEBUG      near: other lines; CRITICAL gets none; set the loggers before Connect
//
// # Delivery and connections
//
// Every token ends, at the latest with Disconnect. No message of QoS 1 or 2 is lost
// silently: see the documentation of package mosquitto/mqtt.
//
// With plain TCP and unix sockets libmosquitto opens the connections. With TLS, websockets, proxies and the options SetDialer,
// SetCustomOpenConnectionFn, SetConnectionAttemptHandler, SetReconnectingHandler and
// SetConnectionNotificationHandler this package opens them in Go, which is slower.
package mqtt

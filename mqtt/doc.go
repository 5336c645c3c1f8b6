//go:build cgo

// Package mqtt is an MQTT client for Go programs, built on libmosquitto.
//
// Calls take a context and wait for the broker's acknowledgement. Each topic filter has
// its own handler. The client reconnects, and it can have several servers. It speaks
// MQTT 3.1, 3.1.1 and 5.
//
//	client, err := mqtt.Dial(ctx, []string{"mqtt://127.0.0.1:1883"})
//	if err != nil { ... }
//	defer client.Close(ctx)
//	err = client.Subscribe(ctx, "sensors/+/temperature", 1, func(ctx context.Context, m mqtt.Message) {
//		fmt.Println(m.Topic, string(m.Payload))
//	})
//	err = client.Publish(ctx, "sensors/1/temperature", []byte("20.5"))
//
// # What a nil error means
//
// Publish returns nil when the broker has acknowledged the message: with PUBACK for
// QoS 1 (the default), with PUBCOMP for QoS 2. For QoS 0 it returns nil when the last
// byte of the message was written to the socket. Subscribe returns nil when the broker
// has granted the subscription. In all other cases they return an error:
//
//	the broker refuses the message           *PublishError with the reason code
//	the broker refuses the subscription      *SubscribeError with the reason code
//	ctx ends before the message was sent     wraps ctx.Err(): the message will not be sent
//	ctx ends after the message was sent      wraps ctx.Err() and ErrAbandoned: the message may still be delivered
//	the connection is lost, QoS 0            ErrConnectionLost if the message may not have been written
//	the queue is full                        ErrQueueFull; ErrDropped for a QoS 0 message that was dropped
//	the client ends                          ErrClosed and the cause
//
// If ctx ends, the text of the error says what the call waited for. Compare errors with
// errors.Is.
//
// A lost connection does not end the wait for a message of QoS 1 or 2, for Subscribe or
// for Unsubscribe. They complete after the reconnect.
//
// # Connections
//
// A client connects to the first of its servers that accepts it. It reconnects after
// every connection loss, and tries the last server first. If the broker has not kept the
// subscriptions, the client restores them before the state becomes [StateConnected].
// Messages published while offline are queued, within the limits of [WithQueue]. Functions
// of [WithOnConnect] run at every connection, before queued messages are sent.
//
// Before the first accepted connection, a permanent error of all servers ends the client.
// Permanent errors are, for example, wrong credentials, a refused client id, an
// unsupported protocol version, or a certificate that cannot be verified. After the first
// accepted connection the client retries after every error: the broker's user database may
// be temporarily unavailable.
//
// # Handlers
//
// Handlers run one at a time, in the order of arrival. By default they run inline, on
// the loop goroutine. The client acknowledges a QoS 1 message after its handlers have
// returned. If the process dies in a handler, the broker delivers the message again,
// provided that the session is kept ([WithSession]).
//
// A slow inline handler slows the connection down. If a handler runs longer than the
// keepalive, the broker may close the connection. An inline handler must not wait for the
// broker, because the loop cannot read while the handler runs. Publish, Subscribe,
// Unsubscribe, Request, Wait, AwaitConnected and Close return [ErrInCallback] at once
// inside an inline handler. Use PublishAsync there.
//
// With [WithHandlerMode] and [Worker], handlers run on the worker's goroutine, behind a
// bounded queue. They may call and wait for anything. The client then acknowledges a
// message when it is queued.
//
// # Goroutines
//
// All methods are safe for concurrent use. A client uses one goroutine, and no thread
// while idle. It uses four file descriptors: its socket, and three of package mosquitto.
//
// # Settings
//
// Options of [Dial] begin with "With". The defaults are MQTT 3.1.1, a clean session, a
// keepalive of 60 s, 1 s to 30 s between rounds of attempts, and a queue of 10,000
// messages or 64 MiB. Options exist for:
//
//	protocol, session     WithProtocol, WithSession, WithClientID, WithKeepAlive, WithWill
//	credentials           WithCredentials, WithCredentialsFunc, WithAuth
//	TLS and transports    WithTLS, WithTLSConfig, WithDialer, WithProxy
//	connecting            WithConnectRetry, WithBackgroundConnect, WithBackoff, WithOnConnect
//	messages              WithQueue, WithInflight, WithOutbox, WithHandlerMode
//	reports               WithLogger, WithHooks, WithStateHandler
//
// Options of a message are in [PublishOption], options of a subscription in
// [SubscribeOption].
//
// # Building and testing
//
// The package needs cgo, and libmosquitto with its headers: on Debian and Ubuntu
// libmosquitto-dev. Package mqtttest starts a private broker for tests. Code that depends
// on [Publisher] or [Subscriber] can be tested without a broker.
package mqtt

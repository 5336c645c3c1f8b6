//go:build cgo

// Package mqtt is an MQTT client for Go programs: contexts, awaited
// acknowledgements, handlers by topic filter, reconnection, several servers,
// MQTT 3.1, 3.1.1 and 5, on libmosquitto.
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
// Publish returns nil when the broker has acknowledged the message: PUBACK for
// QoS 1, the default, PUBCOMP for QoS 2; for QoS 0, when its last byte was given
// to the kernel. Subscribe returns nil when the broker has granted the
// subscription. Any other end of a wait is an error:
//
//	the broker refuses                       a *PublishError, a *SubscribeError with its reason code
//	ctx ends before the message was sent     ctx.Err(): it will not be sent
//	ctx ends afterwards                      ctx.Err() and ErrAbandoned: it may be delivered
//	the connection is lost                   QoS 1 and 2, Subscribe and Unsubscribe go on when it is back;
//	                                         QoS 0 that the kernel may not have got: ErrConnectionLost
//	the queue is full                        ErrQueueFull, or ErrDropped for a QoS 0 message that made room
//	Close, or a refusal that ends the client ErrClosed, and the cause
//
// # Connections
//
// A client connects to the first of its servers that accepts it, and does so
// again after every loss, the last one first. Subscriptions are restored when
// the broker has not kept them, before the state becomes [StateConnected]. What
// is published meanwhile waits, within the bounds of [WithQueue]. A refusal that
// no retry can mend ends the client if it was never accepted: wrong
// credentials, a client id or a protocol version that the broker does not take.
// Later refusals are tried again: the broker may be without its user database
// for a while.
//
// # Handlers
//
// Handlers run one at a time, in the order of arrival. By default they run
// inline, on the goroutine that reads: the broker gets the acknowledgement of a
// QoS 1 message when its handlers have returned, so a message is not lost when
// the process dies in a handler, but delivered again if the session is kept
// ([WithSession]). A slow handler slows the connection down; one that takes
// longer than the keepalive costs it. Waiting inside an inline handler would wait
// for itself: Publish, Subscribe, Unsubscribe, Request, Wait and Close return
// [ErrInCallback] at once there. PublishAsync is the one to use.
//
// With [WithHandlerMode] and [Worker] they run on a goroutine of their own, behind a
// bounded queue, and may wait for anything. Messages are then acknowledged when
// they are queued.
//
// # Goroutines
//
// All methods may be called from any goroutine. A client costs one goroutine, no
// thread while idle, and a descriptor more than its socket and the two of the
// library.
package mqtt

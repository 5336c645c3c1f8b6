// Package boltoutbox keeps the messages of package mqtt that are not acknowledged
// yet in a file, so that they survive the process and the machine.
//
//	outbox, err := boltoutbox.Open("/var/lib/meter/outbox")
//	if err != nil { ... }
//	defer outbox.Close()
//	client, err := mqtt.Dial(ctx, servers, mqtt.WithOutbox(outbox))
//	if err != nil { ... }
//	defer client.Close(ctx)
//
// # What it promises
//
// A message of QoS 1 or 2 that Publish or PublishAsync has accepted is on the disk.
// It is delivered at least once: by this process or, after a crash, kill -9 or a
// power cut, by the next one that opens the file, before what that one publishes,
// and in order. Messages that were acknowledged shortly before a crash, within some
// 50 ms, are delivered once more; after [Outbox.Close] none is.
//
// Accepted means that PublishAsync returned a token that has not failed, or that
// Publish returned nil or an error with [mqtt.ErrAbandoned]: the wait has ended and
// not the delivery. [mqtt.CloseError] lists what Close left in the file.
//
// A message that cannot be stored is not accepted: Publish returns the error, on a
// full disk one in which [syscall.ENOSPC] is found, and the next may succeed. After
// any other failure of the disk nothing is accepted until the file was opened
// again, since nobody knows what is on it.
//
// QoS 2 gains nothing here but that a receiver gets fewer copies: what was half done
// when the connection and the session were lost is published anew, and out of its
// order. Do not keep the session (mqtt.WithSession) of a client that publishes QoS 2
// from an outbox: the half done messages of a process that was killed stay in it,
// and mosquitto closes the connection when there are too many.
//
// # What it costs
//
// A Put waits for the disk, once (fdatasync). What goroutines put at the same time
// goes there together, and deletions with it, so publish from several of them if
// there is much to publish. BenchmarkPublish on a virtual machine with two cores
// and a disk that syncs in half a millisecond, messages of QoS 1 that were awaited:
//
//	goroutines       1         8        64
//	plain        6,800    14,000    38,000  a second
//	durable        800     2,800    11,000
//	             1 : 9     1 : 5   1 : 3.4
//
// The file grows with what is stored, by 16 MiB when it is large, keeps that size,
// and uses the room again. Memory is bounded by [mqtt.WithQueue], also when a large
// outbox is opened: it is read as the queue has room for it.
//
// # The file
//
// It is a bbolt database (go.etcd.io/bbolt) with two buckets, for one process at a
// time: it is locked. In "meta" the key "format" has the value "mosquitto-go outbox
// 1". In "messages" keys are numbers of eight bytes, most significant first, and
// values are
//
//	byte      1, the version of the record
//	byte      QoS; 4 is added for a message that is to be retained
//	text      topic
//	number    of properties, and for each:
//	  number    identifier
//	  number    value of a byte, two or four byte integer
//	  text      name of a user property
//	  text      string, or value of a user property
//	  text      binary data
//	...       payload
//	4 bytes   CRC-32C of all before and of the key, most significant byte first
//
// where a number is an unsigned varint (package encoding/binary) and a text is its
// length, a number, and its bytes. A file that is not like this is an error of
// [Open], a record that is not is one of [Outbox.Load], with which [mqtt.Dial] or
// the client ends. Nothing is deleted then: move the file away to start anew.
package boltoutbox

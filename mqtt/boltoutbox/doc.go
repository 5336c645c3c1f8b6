// Package boltoutbox stores the unacknowledged messages of package mqtt in a file, so
// that they survive the process and the machine.
//
//	outbox, err := boltoutbox.Open("/var/lib/meter/outbox")
//	if err != nil { ... }
//	defer outbox.Close()
//	client, err := mqtt.Dial(ctx, servers, mqtt.WithOutbox(outbox))
//	if err != nil { ... }
//	defer client.Close(ctx)
//
// # Guarantees
//
// A message of QoS 1 or 2 that Publish or PublishAsync has accepted is on the disk. It
// is delivered at least once, by this process or by the next process that opens the
// file. The next process sends these messages first, and in order. This holds after a
// crash, kill -9 or a power cut. Messages that were acknowledged within about 50 ms
// before the crash may be delivered once more. After [Outbox.Close] no message is
// delivered once more.
//
// A message is accepted if PublishAsync returned a token that has not failed. It is also
// accepted if Publish returned nil or an error that wraps [mqtt.ErrAbandoned]: only the
// wait has ended then. [mqtt.CloseError] lists the messages that Close left in the file.
//
// If a message cannot be stored, it is not accepted, and Publish returns the error. On a
// full disk the error wraps [syscall.ENOSPC], and a later Publish may succeed. After any
// other disk error the outbox accepts nothing until the file is opened again, because the
// content of the disk is unknown.
//
// With QoS 2 a receiver gets fewer duplicates than with QoS 1, but it may get some. If
// the broker loses the session, the client publishes the messages in flight again, out
// of order. Do not keep the session (mqtt.WithSession) of a client that publishes QoS 2
// from an outbox. The messages in flight of a killed process stay in the session, and
// mosquitto closes the connection when there are too many.
//
// # Cost
//
// Each Put waits for one write to the disk (fdatasync). Puts of several goroutines share a
// write, and deletions are written with them. To publish many messages, publish from
// several goroutines. BenchmarkPublish publishes messages of QoS 1 and waits for the
// acknowledgements. It ran on a virtual machine with two cores and a disk that syncs in
// 0.5 ms. The results are in messages per second:
//
//	goroutines             1         8        64
//	without outbox     6,800    14,000    38,000
//	with outbox          800     2,800    11,000
//
// The file grows with the stored messages, in steps of 16 MiB when it is large. It does not
// shrink, but its free space is reused. [mqtt.WithQueue] limits the memory, even for a large
// outbox: the client reads messages as its queue has capacity.
//
// # The file
//
// The file is a bbolt database (go.etcd.io/bbolt) with two buckets. It is locked, so at
// most one process can use it at a time. In the bucket "meta" the key "format" has the
// value "mosquitto-go outbox 1". In the bucket "messages" keys are numbers of eight bytes,
// most significant byte first. Values are:
//
//	byte      1, the version of the record
//	byte      QoS, plus 4 for a retained message
//	text      topic
//	number    number of properties, and for each property:
//	  number    identifier
//	  number    value of a byte, two byte or four byte integer
//	  text      name of a user property
//	  text      string, or value of a user property
//	  text      binary data
//	...       payload
//	4 bytes   CRC-32C of all preceding bytes and of the key, most significant byte first
//
// A number is an unsigned varint (package encoding/binary). A text is a number, which is
// its length, and its bytes. [Open] returns an error for a file without this format.
// [Outbox.Load] returns an error for a record without this format; [mqtt.Dial] then fails,
// or the client ends. Nothing is deleted: move the file away to start with an empty outbox.
package boltoutbox

//go:build cgo

package mosquitto

// The functions that callbacks.c calls. Each looks up its client and callback, copies
// its arguments from C, and calls the callback under a guard, because a panic must not
// unwind through C. Nothing else here blocks.

/*
#include "callbacks.h"
*/
import "C"

import (
	"errors"
	"unsafe"
)

// guarded runs f, and returns 0 or the ticket of its panic.
func guarded(f func()) (ticket C.int) {
	defer func() {
		if r := recover(); r != nil {
			ticket = C.int(keepPanic(r))
		}
	}()
	f()
	return 0
}

// inOrder runs an event's callback, behind the messages that are pending.
func (c *Client) inOrder(e event) C.int {
	if c.deliveries.holds() {
		return c.behindPending(e)
	}
	return guarded(func() { e.call(c) })
}

// behindPending appends an event to the pending messages. Run delivers it later.
func (c *Client) behindPending(e event) C.int {
	c.addEvent(e)
	if c.run.Load() != nil {
		return 0
	}
	return guarded(c.deliverAll)
}

// listeningClient finds the client of an event. It returns nil after Close: then no
// callback starts.
func listeningClient(id C.uintptr_t) *Client {
	if c := lookupHandle(uintptr(id)); c != nil && !c.gate.closed() {
		return c
	}
	return nil
}

// listening finds the client and the callback of an event. ok is false if there is no
// callback.
func listening[F any](id C.uintptr_t, of func(*listeners) *listener[F]) (c *Client, f F, ok bool) {
	if c = listeningClient(id); c == nil {
		return nil, f, false
	}
	f, ok = of(&c.listeners).get()
	return c, f, ok
}

//export gomosqGoConnect
func gomosqGoConnect(id C.uintptr_t, rc, flags C.int, props *C.struct_gomosq_property, count C.int) C.int {
	c, f, ok := listening(id, func(l *listeners) *listener[func(*Client, Connack)] { return &l.connect })
	if !ok {
		return 0
	}
	ack := Connack{ConnackCode(rc), flags&1 != 0, goProperties(props, count)}
	return guarded(func() { f(c, ack) })
}

//export gomosqGoDisconnect
func gomosqGoDisconnect(id C.uintptr_t, rc, errno, refused C.int, props *C.struct_gomosq_property, count C.int) C.int {
	c, f, ok := listening(id, func(l *listeners) *listener[func(*Client, Disconnection)] { return &l.disconnect })
	if !ok {
		return 0
	}
	d := Disconnection{Code: int(rc), Err: disconnectError(result{rc: int(rc), errno: int(errno), refused: int(refused)}), Properties: goProperties(props, count)}
	return guarded(func() {
		defer c.wanted.Store(false)
		c.wanted.Store(true) // no connect in callbacks of earlier events
		c.deliverEvents()
		c.wanted.Store(rc == 0)
		f(c, d)
	})
}

func disconnectError(r result) error {
	if code := ReasonCode(r.rc); code.Failed() {
		return code.Err()
	}
	return libError("disconnect", r)
}

//export gomosqGoPublish
func gomosqGoPublish(id C.uintptr_t, mid, reason C.int, props *C.struct_gomosq_property, count C.int) C.int {
	c := listeningClient(id)
	if c == nil {
		return 0
	}
	return c.inOrder(event{kind: evPublish, mid: int(mid), code: ReasonCode(reason), props: goProperties(props, count)})
}

//export gomosqGoSent
func gomosqGoSent(id C.uintptr_t, mids *C.int, count C.int) C.int {
	c := listeningClient(id)
	if c == nil {
		return 0
	}
	return guarded(func() { c.reportSent(unsafe.Slice(mids, int(count))) })
}

// reportSent runs OnPublish for QoS 0 messages that one write has sent. When the time of
// this pass is used, the remaining events become pending.
func (c *Client) reportSent(mids []C.int) {
	pacer := &c.run.Load().pacer // only Run gathers packet ids
	for _, mid := range mids {
		if c.deliveries.holds() || cSpent(c.c) {
			c.addSent(int(mid))
			continue
		}
		if c.gate.closed() {
			return
		}
		c.callSent(int(mid))
		if pacer.spent() {
			cSpentSet(c.c)
		}
	}
}

//export gomosqGoMessage
func gomosqGoMessage(id C.uintptr_t, message *C.struct_mosquitto_message, topicLen C.size_t, props *C.struct_gomosq_property, count C.int) C.int {
	c, f, ok := listening(id, func(l *listeners) *listener[func(*Client, Message)] { return &l.message })
	if !ok {
		if c = lookupHandle(uintptr(id)); c != nil && c.gate.closed() {
			c.leaveUnacknowledged(QoS(message.qos))
		}
		return 0
	}
	if c.mustHold() {
		m := goMessage(message, topicLen)
		m.Properties = goProperties(props, count)
		return guarded(func() { c.hold(f, m) })
	}
	return deliver(c, f, message, topicLen, props, count)
}

// deliver calls f under a guard, as guarded does. It needs no closure, which would be a
// second allocation.
func deliver(c *Client, f func(*Client, Message), message *C.struct_mosquitto_message, topicLen C.size_t, props *C.struct_gomosq_property, count C.int) (ticket C.int) {
	defer func() {
		if r := recover(); r != nil {
			ticket = C.int(keepPanic(r))
		}
	}()
	m := goMessage(message, topicLen)
	m.Properties = goProperties(props, count)
	c.deliver(f, m)
	return 0
}

//export gomosqGoMessages
func gomosqGoMessages(id C.uintptr_t, batch *C.struct_gomosq_batch) (ticket C.int) {
	c := lookupHandle(uintptr(id))
	if c == nil {
		return 0
	}
	defer func() {
		if r := recover(); r != nil {
			ticket = C.int(keepPanic(r))
		}
	}()
	pacer := &c.run.Load().pacer // only Run makes batches
	gathered, messages := goBatch(batch)
	// Each message is read before the callback of the message before it: a processor stalls
	// when it copies what it has just written.
	var ahead [2]Message
	gathered.read(0, &ahead[0])
	for i := range messages {
		m := &ahead[i%2]
		if i+1 < messages {
			gathered.read(i+1, &ahead[(i+1)%2])
		}
		if c.mustHold() || cSpent(c.c) {
			c.deliveries.add(c, delivery{message: *m})
			continue
		}
		f, ok := c.listeners.message.get() // a callback may have changed it
		if !ok || c.gate.closed() {
			break
		}
		f(c, *m)
		if pacer.spent() {
			cSpentSet(c.c)
		}
	}
	return 0
}

//export gomosqGoPending
func gomosqGoPending(id C.uintptr_t) C.int {
	c := lookupHandle(uintptr(id))
	if c == nil {
		return 0
	}
	return guarded(c.deliverPending)
}

//export gomosqGoEvents
func gomosqGoEvents(id C.uintptr_t) C.int {
	c := lookupHandle(uintptr(id))
	if c == nil {
		return 0
	}
	return guarded(c.deliverEvents)
}

//export gomosqGoSubscribe
func gomosqGoSubscribe(id C.uintptr_t, mid, n C.int, granted *C.int, props *C.struct_gomosq_property, count C.int) C.int {
	c := listeningClient(id)
	if c == nil {
		return 0
	}
	return c.inOrder(event{kind: evSubscribe, mid: int(mid), codes: goReasonCodes(granted, n), props: goProperties(props, count)})
}

//export gomosqGoUnsubscribe
func gomosqGoUnsubscribe(id C.uintptr_t, mid, n C.int, codes *C.int, props *C.struct_gomosq_property, count C.int) C.int {
	c := listeningClient(id)
	if c == nil {
		return 0
	}
	return c.inOrder(event{kind: evUnsubscribe, mid: int(mid), codes: goReasonCodes(codes, n), props: goProperties(props, count)})
}

//export gomosqGoLog
func gomosqGoLog(id C.uintptr_t, level C.int, text *C.char) C.int {
	c, f, ok := listening(id, func(l *listeners) *listener[func(*Client, LogLevel, string)] { return &l.log })
	if !ok {
		return 0
	}
	line := C.GoString(text)
	c.inLog.Add(1)
	defer c.inLog.Add(-1)
	return guarded(func() { f(c, LogLevel(uint32(level)), line) })
}

//export gomosqGoAcknowledge
func gomosqGoAcknowledge(id C.uintptr_t) C.int {
	c, f, ok := listening(id, func(l *listeners) *listener[func(*Client)] { return &l.acknowledge })
	if !ok {
		if c = lookupHandle(uintptr(id)); c != nil && c.gate.closed() {
			c.acknowledgeNothing()
		}
		return 0
	}
	return guarded(func() { f(c) })
}

//export gomosqGoPreConnect
func gomosqGoPreConnect(id C.uintptr_t) C.int {
	c, f, ok := listening(id, func(l *listeners) *listener[func(*Client)] { return &l.preConnect })
	if !ok {
		return 0
	}
	return guarded(func() { f(c) })
}

//export gomosqGoExtAuth
func gomosqGoExtAuth(id C.uintptr_t, method *C.char, n C.int, data unsafe.Pointer, props *C.struct_gomosq_property, count C.int, rc *C.int) C.int {
	c, f, ok := listening(id, func(l *listeners) *listener[func(*Client, string, []byte, Properties) error] { return &l.extAuth })
	if !ok {
		return 0
	}
	name, bytes, p := C.GoString(method), C.GoBytes(data, n), goProperties(props, count)
	return guarded(func() { *rc = C.int(extAuthCode(f(c, name, bytes, p))) })
}

func extAuthCode(err error) Error {
	var code Error
	switch {
	case err == nil:
		return cSuccess
	case errors.As(err, &code) && code > cSuccess:
		return code
	}
	return ErrAuth
}

//export gomosqGoPassword
func gomosqGoPassword(id C.uintptr_t, buf *C.char, size, _ C.int, written *C.int) C.int {
	c, f, ok := listening(id, func(l *listeners) *listener[func(*Client) (string, error)] { return &l.password })
	if !ok {
		return 0
	}
	return guarded(func() {
		password, err := f(c)
		if err == nil && len(password) <= int(size) {
			*written = C.int(copy(unsafe.Slice((*byte)(unsafe.Pointer(buf)), int(size)), password))
		}
	})
}

// gomosqGoCrash ends the program: the thread of the library has no Go frame that could
// raise the panic.
//
//export gomosqGoCrash
func gomosqGoCrash(ticket C.int) {
	e := takePanic(int32(ticket))
	go panic(e) // on a stack of its own: nothing can recover it
	select {}
}

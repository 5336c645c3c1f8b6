package mqtt

import (
	"sync"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

// Token is an operation that may not have ended yet. Its methods are safe for concurrent
// use.
type Token interface {
	// Wait blocks until the operation has ended, and returns true.
	Wait() bool

	// WaitTimeout blocks until the operation has ended or the time is over. It reports
	// whether the operation has ended.
	WaitTimeout(time.Duration) bool

	// Done returns a channel that is closed when the operation has ended.
	Done() <-chan struct{}

	// Error returns why the operation has failed. It returns nil before the end, and
	// after a success.
	Error() error
}

// TokenErrorSetter is implemented by the tokens of this package.
type TokenErrorSetter interface {
	setError(error)
}

// PacketAndToken is not used by this package. It exists because paho.mqtt.golang exports
// it.
type PacketAndToken struct{}

// MId is a packet id. This package does not use it.
type MId uint16

// baseToken is the common part of tokens.
type baseToken struct {
	complete chan struct{}
	waits    *dispatcher // notified of waits; nil without a connection

	m   sync.RWMutex
	err error
}

func newBase(d *dispatcher) baseToken { return baseToken{complete: make(chan struct{}), waits: d} }

// Wait blocks until the operation has ended, and returns true.
func (b *baseToken) Wait() bool { return await(b.complete, b.waits, nil) }

// WaitTimeout blocks until the operation has ended or the time is over. It reports
// whether the operation has ended.
func (b *baseToken) WaitTimeout(d time.Duration) bool { return awaitFor(b.complete, b.waits, d) }

// Done returns a channel that is closed when the operation has ended.
func (b *baseToken) Done() <-chan struct{} {
	b.waits.willWait(b.complete)
	return b.complete
}

// Error returns why the operation has failed. It returns nil before the end, and after a
// success.
func (b *baseToken) Error() error {
	b.m.RLock()
	defer b.m.RUnlock()
	return b.err
}

// setError ends the operation. Only the first end counts.
func (b *baseToken) setError(err error) { b.end(err, nil) }

// end ends the operation. set stores its results.
func (b *baseToken) end(err error, set func()) {
	b.m.Lock()
	defer b.m.Unlock()
	select {
	case <-b.complete:
		return
	default:
	}
	b.err = err
	if set != nil {
		set()
	}
	close(b.complete)
}

// await blocks until done is closed or stop sends. It reports whether done is closed.
func await(done <-chan struct{}, d *dispatcher, stop <-chan time.Time) bool {
	select {
	case <-done:
		return true
	default:
	}
	inCallback := d.beginWait()
	defer d.endWait(inCallback)
	select {
	case <-done:
		return true
	case <-stop:
		return false
	}
}

func awaitFor(done <-chan struct{}, d *dispatcher, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	return await(done, d, timer.C)
}

// ConnectToken is the token of [Client.Connect].
type ConnectToken struct {
	baseToken
	returnCode     byte
	sessionPresent bool
}

// ReturnCode returns the return code of the CONNACK packet. It is 0xFE if there was none.
func (c *ConnectToken) ReturnCode() byte {
	c.m.RLock()
	defer c.m.RUnlock()
	return c.returnCode
}

// SessionPresent reports whether the broker has kept the session.
func (c *ConnectToken) SessionPresent() bool {
	c.m.RLock()
	defer c.m.RUnlock()
	return c.sessionPresent
}

// SubscribeToken is the token of [Client.Subscribe].
type SubscribeToken struct {
	baseToken
	result map[string]byte
}

func newSubscribeToken(d *dispatcher) *SubscribeToken {
	return &SubscribeToken{baseToken: newBase(d), result: map[string]byte{}}
}

// Result returns the granted QoS of each filter, or the broker's return code above 2 if
// the broker has refused the filter. It is empty before the end.
func (s *SubscribeToken) Result() map[string]byte {
	s.m.RLock()
	defer s.m.RUnlock()
	return s.result
}

// UnsubscribeToken is the token of [Client.Unsubscribe].
type UnsubscribeToken struct {
	baseToken
}

// DisconnectToken is not used by this package.
type DisconnectToken struct {
	baseToken
}

// PublishToken is the token of [Client.Publish].
type PublishToken struct {
	baseToken
	sent *mqtt.Token // the message; nil if the client queued or refused it
}

// MessageID returns the packet id, or 0 before the message is sent.
func (p *PublishToken) MessageID() uint16 {
	p.m.RLock()
	defer p.m.RUnlock()
	if p.sent == nil {
		return 0
	}
	return uint16(p.sent.MID())
}

// isFollower reports whether the token has an end of its own. sent may then change.
func (p *PublishToken) isFollower() bool { return p.complete != nil || p.sent == nil }

// ended returns the channel that is closed at the end of the message.
func (p *PublishToken) ended() <-chan struct{} {
	if p.isFollower() {
		return p.complete
	}
	return p.sent.Done()
}

// Wait blocks until the message is acknowledged or has failed, and returns true.
func (p *PublishToken) Wait() bool { return await(p.ended(), p.waits, nil) }

// WaitTimeout blocks until the message is acknowledged or has failed, or the time is
// over. It reports whether the message has ended.
func (p *PublishToken) WaitTimeout(d time.Duration) bool { return awaitFor(p.ended(), p.waits, d) }

// Done returns a channel that is closed when the message is acknowledged or has failed.
func (p *PublishToken) Done() <-chan struct{} {
	p.waits.willWait(p.ended())
	return p.ended()
}

// Error returns why the message has failed. It returns nil before the end, and for an
// acknowledged message.
func (p *PublishToken) Error() error {
	if p.isFollower() {
		return p.baseToken.Error()
	}
	return publishError(p.sent.Err())
}

// follow makes the token of a queued message end with sent.
func (p *PublishToken) follow(sent *mqtt.Token) {
	p.m.Lock()
	p.sent = sent
	p.m.Unlock()
	go func() {
		<-sent.Done()
		p.setError(publishError(sent.Err()))
	}()
}

// DummyToken is not used by this package. It is a token that has ended without an error.
type DummyToken struct{}

// Wait returns true.
func (d *DummyToken) Wait() bool { return true }

// WaitTimeout returns true.
func (d *DummyToken) WaitTimeout(t time.Duration) bool { return true }

// Done returns a closed channel.
func (d *DummyToken) Done() <-chan struct{} { return closed }

// Error returns nil.
func (d *DummyToken) Error() error { return nil }

func (d *DummyToken) setError(error) {}

// PlaceHolderToken is not used by this package. It is a token that has ended without an
// error.
type PlaceHolderToken struct{}

// Wait returns true.
func (p *PlaceHolderToken) Wait() bool { return true }

// WaitTimeout returns true.
func (p *PlaceHolderToken) WaitTimeout(t time.Duration) bool { return true }

// Done returns a closed channel.
func (p *PlaceHolderToken) Done() <-chan struct{} { return closed }

// Error returns nil.
func (p *PlaceHolderToken) Error() error { return nil }

func (p *PlaceHolderToken) setError(error) {}

// closed is a closed channel.
var closed = func() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

// WaitTokenTimeout waits until the operation of t has ended, at most for d. It returns
// [TimedOut] if the time is over, and otherwise the error of t. After TimedOut the
// operation may still succeed.
func WaitTokenTimeout(t Token, d time.Duration) error {
	if !t.WaitTimeout(d) {
		return TimedOut
	}
	return t.Error()
}

//go:build cgo

package mqtt

import "time"

// Messages with an expiry, and messages that need a connection: how they end while they
// are queued.

// expiry is the end of a message that expires.
type expiry struct {
	at    time.Time
	timer *time.Timer // ends the message if it is queued then; nil before it is queued
}

// startExpiry begins to count the expiry of a message.
func (t *Token) startExpiry() {
	if seconds, found := t.pub.Properties.Int32(PropMessageExpiryInterval); found {
		t.expiry = &expiry{at: time.Now().Add(time.Duration(seconds) * time.Second)}
	}
}

// watchExpiry ends a message that expires in the queue.
func (c *Client) watchExpiry(t *Token) {
	if t.expiry == nil {
		return
	}
	c.queue.setTimer(t, time.AfterFunc(time.Until(t.expiry.at), func() {
		if c.queue.expire(t) {
			c.reportEnd(t)
		}
	}))
}

// setTimer notes the timer of a message, unless the message is over already.
func (q *queue) setTimer(t *Token, timer *time.Timer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.phase == completed {
		timer.Stop()
		return
	}
	t.expiry.timer = timer
}

// expire ends a message that is queued. It reports false for other messages.
func (q *queue) expire(t *Token) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.phase != pending {
		return false
	}
	q.unlink(t)
	q.end(t, acknowledgement{}, ErrMessageExpired)
	q.grant()
	return true
}

// leftToLive sets the expiry that a message is sent with. It reports false if the message
// has expired.
func (t *Token) leftToLive() bool {
	if t.expiry == nil {
		return true
	}
	left := time.Until(t.expiry.at)
	if left <= 0 {
		return false
	}
	for i := range t.pub.Properties {
		if p := &t.pub.Properties[i]; p.ID == PropMessageExpiryInterval {
			p.Number = seconds(left)
		}
	}
	return true
}

// reportRemoved counts and reports a message that the loop has removed from the queue.
func (c *Client) reportRemoved(t *Token) {
	c.countOutcome(t, t.err)
	c.deleteStored(t)
	if t.outcome != nil {
		c.reportOutcome(t.outcome, t.err)
	}
}

// removeOnlineOnly removes the queued messages that need a connection.
func (q *queue) removeOnlineOnly() (all []*Token) {
	if q.length.Load() == 0 {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for t := q.pending.first; t != nil; {
		next := q.pending.next(t)
		if t.pub.onlineOnly {
			q.unlink(t)
			q.end(t, acknowledgement{}, ErrNotConnected)
			all = append(all, t)
		}
		t = next
	}
	q.grant()
	return all
}

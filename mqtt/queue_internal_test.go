//go:build cgo

package mqtt

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Messages that the loop could not submit return to the front of their lists.
func TestQueue_RequeuedBirthMessagesStayFirst(t *testing.T) {
	var q queue
	q.init(queueLimits{messages: 10, bytes: 10})
	call := &onConnectCall{}
	token := func(topic string, call *onConnectCall) *Token {
		return &Token{pub: Publication{Topic: topic}, call: call}
	}
	order := func() (topics []string) {
		for _, t := range q.take(func(*Token) bool { return true }, nil) {
			topics = append(topics, t.pub.Topic)
		}
		return topics
	}
	q.add(token("queued", nil))
	q.hold(call)
	for _, topic := range []string{"birth 1", "birth 2"} {
		q.add(token(topic, call))
	}
	taken := q.take(func(*Token) bool { return true }, nil)
	require.Len(t, taken, 2)
	q.requeue(taken)
	require.Equal(t, []string{"birth 1", "birth 2"}, order())
	q.requeue(taken)
	q.resume(&onConnectCall{}) // resume with another call has no effect
	require.Equal(t, []string{"birth 1", "birth 2"}, order())
	q.requeue(taken)
	q.resume(call)
	require.Equal(t, []string{"birth 1", "birth 2", "queued"}, order())
}

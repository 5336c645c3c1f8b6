//go:build cgo

package mqtt

import (
	"slices"
	"strings"

	"github.com/mosquitto-go/mosquitto"
)

// This file manages the topic aliases of MQTT 5: the aliases that the client assigns to
// topics of its own messages, and the aliases that it lets the broker assign.

// WithAutomaticTopicAliases makes the client replace topics of QoS 0 messages with topic
// aliases, which are shorter. The first message of a topic on a connection has the topic
// and an alias; later messages have the alias only. It needs MQTT 5. It has no effect if the
// broker allows no aliases: see [Connack].
//
// The client assigns aliases to the first topics of a connection, as many as the broker
// allows, and then no more. So if there are more topics than aliases, the other topics are
// sent as without the option. (To assign an alias again costs more bytes than it saves when
// topics take turns.) Topics of three bytes or less are not replaced. The client keeps a
// copy of each topic with an alias until the connection ends.
//
// Messages of QoS 1 and 2 keep their topics, because they may be sent again on another
// connection, which does not know the alias. Hooks and errors always have the topic. In
// a log of level Debug, the lines of libmosquitto lack it.
//
// The program may use [WithTopicAlias] too. A number that it uses belongs to the program
// until the client ends: the client assigns other numbers, and the topic that had this
// alias is sent in full again. A message without a topic fails with a [*PublishError] if its
// alias is a topic alias that the client has assigned.
func WithAutomaticTopicAliases() Option {
	return Option{func(s *settings) error {
		s.assignAliases = true
		return nil
	}}
}

// WithTopicAliasMaximum allows the broker to replace topics with topic aliases in what it
// sends: n of them, up to 65,535. The default is 0. Messages arrive with their topics, and
// without the property. It needs WithProtocol(V5), and has no effect on connections of an
// earlier version.
//
// It needs libmosquitto 2.1: with an older library Dial returns an error that wraps
// [ErrNotSupported]. libmosquitto does not send the maximum through [WithProxy] or to
// servers with ws:// and wss://: use [WithDialer] for these.
//
// libmosquitto accepts no alias above the maximum that the broker has announced for the
// other direction. If that is below n, the client disconnects, and connects again with the
// broker's number: once for each server. libmosquitto does not free the topics of aliases
// when the client ends: at most n topics.
func WithTopicAliasMaximum(n int) Option {
	return Option{func(s *settings) error {
		if n < 0 || n > maxTopicAlias {
			return badArgument("WithTopicAliasMaximum", "%d is not between 0 and %d", n, maxTopicAlias)
		}
		s.aliasMaximum = n
		return nil
	}}
}

const (
	maxTopicAlias  = 65_535
	topicAliasSize = 3 // bytes of the property in a packet
)

// checkAliases checks that the options and servers allow the topic aliases.
func (c *Client) checkAliases() error {
	s := &c.opts
	v5 := slices.Contains(s.protocols, V5)
	switch {
	case slices.ContainsFunc(s.connect, func(q Property) bool { return q.ID == PropTopicAliasMaximum }):
		return badArgument("WithConnectProperties", "topic alias maximum: use WithTopicAliasMaximum")
	case s.assignAliases && !v5:
		return badArgument("WithAutomaticTopicAliases", "needs WithProtocol(V5)")
	case s.aliasMaximum == 0:
		return nil
	case !v5:
		return badArgument("WithTopicAliasMaximum", "needs WithProtocol(V5)")
	}
	return c.checkConnectProperty("WithTopicAliasMaximum")
}

// topicAliases holds the aliases that the client has assigned on a connection. It is nil if
// the client assigns none. Owned by the loop.
//
// QoS 0 packets leave in the order of submission, and the library drops them only with the
// connection. So the packet that sets an alias precedes all packets that use it.
type topicAliases struct {
	limits     *Connack          // of the connection
	next       uint16            // the next number, counting down; 0: none is left
	numbers    map[string]uint16 // by topic
	topics     map[uint16]string // by number
	ofProgram  map[uint16]bool   // numbers that WithTopicAlias has used since Dial
	properties Properties        // buffer of replace
}

// reset drops the aliases of the last connection.
func (a *topicAliases) reset(k *Connack) {
	if a == nil {
		return
	}
	a.limits, a.next = k, uint16(k.TopicAliasMaximum)
	a.numbers, a.topics = map[string]uint16{}, map[uint16]string{}
	if a.ofProgram == nil {
		a.ofProgram = map[uint16]bool{}
	}
}

// reserve gives the alias of a message to the program, if WithTopicAlias has set one.
func (a *topicAliases) reserve(p *Publication) error {
	number, found := p.Properties.Int16(PropTopicAlias)
	if a == nil || !found {
		return nil
	}
	if topic, assigned := a.topics[number]; assigned {
		if p.Topic == "" {
			return &PublishError{p.Topic, RCTopicAliasInvalid, "the program has not set this alias on this connection"}
		}
		a.forget(topic)
	}
	a.ofProgram[number] = true
	return nil
}

// replace returns the topic and the properties with which a message is sent. sets reports
// that the message sets an alias: if it cannot be sent, the caller must call forget.
func (a *topicAliases) replace(p *Publication) (topic string, props Properties, sets bool) {
	if a == nil || p.QoS > 0 || len(p.Topic) <= topicAliasSize {
		return p.Topic, p.Properties, false
	}
	if _, found := p.Properties.Int16(PropTopicAlias); found {
		return p.Topic, p.Properties, false
	}
	number, assigned := a.numbers[p.Topic]
	if !assigned {
		number = a.free()
	}
	if number == 0 {
		return p.Topic, p.Properties, false
	}
	a.properties = append(append(a.properties[:0], p.Properties...), Property{ID: PropTopicAlias, Number: uint32(number)})
	if assigned {
		return "", a.properties, false
	}
	full := Publication{Topic: p.Topic, Payload: p.Payload, Properties: a.properties}
	if a.limits.MaximumPacketSize > 0 && packetSize(&full) > a.limits.MaximumPacketSize {
		return p.Topic, p.Properties, false
	}
	a.next--
	kept := strings.Clone(p.Topic)
	a.numbers[kept], a.topics[number] = number, kept
	return p.Topic, a.properties, true
}

// free returns the next number that the program does not use, or 0.
func (a *topicAliases) free() uint16 {
	for a.next > 0 && a.ofProgram[a.next] {
		a.next--
	}
	return a.next
}

// forget makes later messages carry this topic in full.
func (a *topicAliases) forget(topic string) {
	delete(a.topics, a.numbers[topic])
	delete(a.numbers, topic)
}

// aliasProperty returns the property of CONNECT that allows the broker to use aliases.
func (c *Client) aliasProperty(a *attempt) Properties {
	maximum := c.opts.aliasMaximum
	if limit, known := c.last.aliasLimits[a.server.name]; known {
		maximum = min(maximum, limit)
	}
	a.aliasMaximum = uint16(maximum)
	if a.aliasMaximum == 0 {
		return nil
	}
	return Properties{{ID: PropTopicAliasMaximum, Number: uint32(a.aliasMaximum)}}
}

// limitAliases reports whether the client has allowed the broker more aliases than the
// library accepts. Then it notes the number for the next connection.
func (c *Client) limitAliases(a *attempt, k *Connack) bool {
	if int(a.aliasMaximum) <= k.TopicAliasMaximum {
		return false
	}
	if c.last.aliasLimits == nil {
		c.last.aliasLimits = map[string]int{}
	}
	c.last.aliasLimits[a.server.name] = k.TopicAliasMaximum
	return true
}

// withoutAlias removes the topic alias from a received message. The alias belongs to the
// connection: a program that forwards the properties must not send it. The library has
// set the topic. (The library keeps its table of aliases after the connection, which is
// harmless: on each connection a broker sets an alias before it uses the alias, and so
// replaces the old entry. A new library client would not help, because the library never
// frees the table.)
func (c *Client) withoutAlias(props Properties) Properties {
	if c.opts.aliasMaximum == 0 {
		return props
	}
	return slices.DeleteFunc(props, func(q mosquitto.Property) bool { return q.ID == PropTopicAlias })
}

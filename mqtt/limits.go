//go:build cgo

package mqtt

import (
	"math"
	"strings"

	"github.com/mosquitto-go/mosquitto"
)

// limits are the limits that an MQTT 5 broker announced in CONNACK. A limits value is
// immutable. Each connection has its own.
type limits struct {
	maxQoS         QoS
	retain         bool
	wildcards      bool
	shared         bool
	identifiers    bool
	maxPacket      int
	topicAliases   int
	receiveMaximum int
}

// limitsOf reads the limits from the properties of CONNACK. A missing property means no
// limit, except for topic aliases, which the broker must allow. With MQTT 3 there are no
// limits.
func limitsOf(props Properties, version Protocol) *limits {
	available := func(id mosquitto.PropertyID) bool {
		value, found := props.Byte(id)
		return !found || value == 1
	}
	l := &limits{
		maxQoS: 2, retain: available(mosquitto.PropRetainAvailable), wildcards: available(mosquitto.PropWildcardSubAvailable),
		shared: available(mosquitto.PropSharedSubAvailable), identifiers: version == V5 && available(mosquitto.PropSubscriptionIDAvailable),
		maxPacket: math.MaxInt, receiveMaximum: maxPacketID,
	}
	if q, found := props.Byte(mosquitto.PropMaximumQoS); found {
		l.maxQoS = QoS(q)
	}
	if n, found := props.Int32(mosquitto.PropMaximumPacketSize); found {
		l.maxPacket = int(n)
	}
	if n, found := props.Int16(mosquitto.PropTopicAliasMaximum); found {
		l.topicAliases = int(n)
	}
	if n, found := props.Int16(mosquitto.PropReceiveMaximum); found {
		l.receiveMaximum = int(n)
	}
	return l
}

// outlives reports whether the library would still apply l after next has replaced it.
// The library only replaces a limit when the broker sends a new value for it.
func (l *limits) outlives(next *limits) bool {
	if l == nil {
		return false
	}
	return l.maxQoS < 2 && next.maxQoS == 2 || l.maxPacket < math.MaxInt && next.maxPacket == math.MaxInt
}

// checkForBroker returns an error if a message exceeds a limit of the connection's
// broker.
func (c *Client) checkForBroker(p *Publication) error {
	l := c.brokerLimits.Load()
	if l == nil {
		return nil
	}
	if len(p.Properties) > 0 && c.protocolNow() != V5 {
		return errPropertiesNeedV5
	}
	if code := l.refusesMessage(p); code != 0 {
		return &PublishError{p.Topic, code, "the broker announced this when it accepted the connection"}
	}
	return nil
}

// refusesMessage returns the reason code with which the broker would refuse a message.
// It returns 0 if the broker would accept it.
func (l *limits) refusesMessage(p *Publication) mosquitto.ReasonCode {
	alias, hasAlias := p.Properties.Int16(mosquitto.PropTopicAlias)
	switch {
	case p.QoS > l.maxQoS:
		return mosquitto.RCQoSNotSupported
	case p.Retain && !l.retain:
		return mosquitto.RCRetainNotSupported
	case hasAlias && (alias == 0 || int(alias) > l.topicAliases):
		return mosquitto.RCTopicAliasInvalid
	case l.maxPacket < math.MaxInt && packetSize(p) > l.maxPacket:
		return mosquitto.RCPacketTooLarge
	}
	return 0
}

// refusesFilter returns the reason code with which the broker would refuse a
// subscription. It returns 0 if the broker would accept it.
func (l *limits) refusesFilter(filter string) mosquitto.ReasonCode {
	switch {
	case !l.shared && strings.HasPrefix(filter, "$share/"):
		return mosquitto.RCSharedSubsNotSupported
	case !l.wildcards && strings.ContainsAny(filter, "+#"):
		return mosquitto.RCWildcardSubsNotSupported
	}
	return 0
}

// packetSize returns the size in bytes of a PUBLISH packet of MQTT 5.
func packetSize(p *Publication) int {
	props := 0
	for i := range p.Properties {
		props += propertySize(&p.Properties[i])
	}
	rest := 2 + len(p.Topic) + varintSize(props) + props + len(p.Payload)
	if p.QoS > 0 {
		rest += 2
	}
	return 1 + varintSize(rest) + rest
}

// propertySize returns the size in bytes of a property in a packet.
func propertySize(q *mosquitto.Property) int {
	const id, length = 1, 2
	switch q.ID.Type() {
	case mosquitto.TypeByte:
		return id + 1
	case mosquitto.TypeInt16:
		return id + 2
	case mosquitto.TypeInt32:
		return id + 4
	case mosquitto.TypeVarint:
		return id + varintSize(int(q.Number))
	case mosquitto.TypeBinary:
		return id + length + len(q.Data)
	case mosquitto.TypeStringPair:
		return id + length + len(q.Name) + length + len(q.Text)
	}
	return id + length + len(q.Text)
}

// varintSize returns the size in bytes of a variable byte integer.
func varintSize(n int) int {
	size := 1
	for ; n > 127; n >>= 7 {
		size++
	}
	return size
}

//go:build cgo

package mqtt

import (
	"strings"
	"time"

	"github.com/mosquitto-go/mosquitto"
)

// Connack is the CONNACK packet with which a broker accepted or refused a connection.
// With MQTT 3 it has only Code and SessionPresent, and the other fields mean that there
// are no limits. A Connack is immutable. Each connection has its own.
type Connack struct {
	Code           ConnackCode // 0: the connection was accepted
	SessionPresent bool        // the broker has kept the session of the client id

	// With MQTT 5.
	AssignedClientID    string        // the client id that the broker has chosen; "" if the client has chosen it
	ReasonString        string        // the broker's explanation
	ResponseInformation string        // the beginning of response topics
	ServerReference     string        // another server to use: see [WithRedirect]
	KeepAlive           time.Duration // the keepalive that the broker demands; 0: the client's
	Properties          Properties    // all properties of the packet

	// The broker's limits.
	MaximumPacketSize       int  // bytes; 0: no limit
	ReceiveMaximum          int  // messages of QoS 1 and 2 in flight
	TopicAliasMaximum       int  // 0: no topic aliases
	MaximumQoS              QoS  // the highest QoS of a message
	Retain                  bool // the broker stores retained messages
	WildcardSubscriptions   bool // filters may contain wildcards
	SharedSubscriptions     bool // filters may begin with $share
	SubscriptionIdentifiers bool // subscriptions may have identifiers
}

// newConnack reads a CONNACK. A missing property means no limit, except for topic
// aliases, which the broker must allow.
func newConnack(k mosquitto.Connack, version Protocol) *Connack {
	props := k.Properties
	available := func(id PropertyID) bool {
		value, found := props.Byte(id)
		return !found || value == 1
	}
	c := &Connack{
		Code: k.Code, SessionPresent: k.SessionPresent, Properties: props, MaximumQoS: 2, ReceiveMaximum: maxPacketID,
		Retain: available(PropRetainAvailable), WildcardSubscriptions: available(PropWildcardSubAvailable),
		SharedSubscriptions: available(PropSharedSubAvailable), SubscriptionIdentifiers: version == V5 && available(PropSubscriptionIDAvailable),
	}
	c.AssignedClientID, _ = props.Text(PropAssignedClientIdentifier)
	c.ReasonString, _ = props.Text(PropReasonString)
	c.ResponseInformation, _ = props.Text(PropResponseInformation)
	c.ServerReference, _ = props.Text(PropServerReference)
	if q, found := props.Byte(PropMaximumQoS); found {
		c.MaximumQoS = QoS(q)
	}
	if n, found := props.Int32(PropMaximumPacketSize); found {
		c.MaximumPacketSize = int(n)
	}
	if n, found := props.Int16(PropTopicAliasMaximum); found {
		c.TopicAliasMaximum = int(n)
	}
	if n, found := props.Int16(PropReceiveMaximum); found {
		c.ReceiveMaximum = int(n)
	}
	if n, found := props.Int16(PropServerKeepAlive); found {
		c.KeepAlive = time.Duration(n) * time.Second
	}
	return c
}

// Connack returns the CONNACK packet with which the broker accepted the connection. It
// reports false while the client is not connected.
func (c *Client) Connack() (connack Connack, connected bool) {
	if !c.made() {
		return Connack{}, false
	}
	if k := c.connack.Load(); k != nil {
		return *k, true
	}
	return Connack{}, false
}

// outlives reports whether the library would still apply limits of k after next has
// replaced it.
// The library only replaces a limit when the broker sends a new value for it.
func (k *Connack) outlives(next *Connack) bool {
	if k == nil {
		return false
	}
	return k.MaximumQoS < 2 && next.MaximumQoS == 2 || k.MaximumPacketSize > 0 && next.MaximumPacketSize == 0
}

// checkForBroker returns an error if a message exceeds a limit of the connection's
// broker.
func (c *Client) checkForBroker(p *Publication) error {
	k := c.connack.Load()
	if k == nil {
		return nil
	}
	if len(p.Properties) > 0 && c.protocolNow() != V5 {
		return errPropertiesNeedV5
	}
	if code := k.refusesMessage(p); code != 0 {
		return &PublishError{p.Topic, code, "the broker announced this when it accepted the connection"}
	}
	return nil
}

// refusesMessage returns the reason code with which the broker would refuse a message.
// It returns 0 if the broker would accept it.
func (k *Connack) refusesMessage(p *Publication) mosquitto.ReasonCode {
	alias, hasAlias := p.Properties.Int16(mosquitto.PropTopicAlias)
	switch {
	case p.QoS > k.MaximumQoS:
		return mosquitto.RCQoSNotSupported
	case p.Retain && !k.Retain:
		return mosquitto.RCRetainNotSupported
	case hasAlias && (alias == 0 || int(alias) > k.TopicAliasMaximum):
		return mosquitto.RCTopicAliasInvalid
	case k.MaximumPacketSize > 0 && packetSize(p) > k.MaximumPacketSize:
		return mosquitto.RCPacketTooLarge
	}
	return 0
}

// refusesFilter returns the reason code with which the broker would refuse a
// subscription. It returns 0 if the broker would accept it.
func (k *Connack) refusesFilter(filter string) mosquitto.ReasonCode {
	switch {
	case !k.SharedSubscriptions && strings.HasPrefix(filter, "$share/"):
		return mosquitto.RCSharedSubsNotSupported
	case !k.WildcardSubscriptions && strings.ContainsAny(filter, "+#"):
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

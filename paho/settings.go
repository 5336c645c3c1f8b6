package mqtt

import (
	"math"
	"time"

	"github.com/mosquitto-go/mosquitto/mqtt"
)

// This file translates the options to those of package mosquitto/mqtt.

// normalize sets the defaults that NewClient sets. anyVersion reports whether the client
// chooses the version of MQTT.
func (o *ClientOptions) normalize() (anyVersion bool) {
	if o.Store == nil {
		o.Store = NewMemoryStore()
	}
	switch o.ProtocolVersion {
	case 3, 4, 0x83, 0x84:
		return false
	}
	o.ProtocolVersion = 4
	return true
}

// check returns an error for options that cannot be used.
func (o *ClientOptions) check() error {
	switch {
	case len(o.Servers) == 0:
		return errNoServers
	case o.AutoAckDisabled:
		return optionError("SetAutoAckDisabled", "libmosquitto acknowledges a message when its callback has returned, not later")
	case o.KeepAlive != 0 && (o.KeepAlive < 5 || o.KeepAlive > math.MaxUint16):
		return optionError("SetKeepAlive", "%d s is neither 0 nor between 5 s and 65535 s", o.KeepAlive)
	case o.ProtocolVersion > 4:
		return optionError("SetProtocolVersion", "0x%x is not 3 or 4: libmosquitto cannot connect as a bridge", o.ProtocolVersion)
	case !o.CleanSession && o.ClientID == "":
		return optionError("SetCleanSession", "false needs SetClientID: the broker finds the session by the client id")
	case o.WillEnabled && o.WillTopic == "":
		return optionError("SetWill", "%w", ErrInvalidTopicEmptyString)
	case o.WillEnabled && o.WillQos > 2:
		return optionError("SetWill", "%w", ErrInvalidQos)
	case o.MaxResumePubInFlight > math.MaxUint16:
		return optionError("SetMaxResumePubInFlight", "%d is more than 65535", o.MaxResumePubInFlight)
	}
	return o.checkCredentials()
}

// checkCredentials returns an error if several brokers have different credentials in
// their URLs. The function of mqtt.WithCredentialsFunc does not learn the broker.
func (o *ClientOptions) checkCredentials() error {
	if o.CredentialsProvider != nil {
		return nil
	}
	for _, broker := range o.Servers[1:] {
		if broker.User.String() != o.Servers[0].User.String() {
			return optionError("AddBroker", "the URLs of several brokers contain different credentials: use SetUsername, SetPassword or SetCredentialsProvider")
		}
	}
	return nil
}

// credentials returns the username and the password of an attempt.
func (o *ClientOptions) credentials() (username, password string) {
	username, password = o.Username, o.Password
	if o.CredentialsProvider != nil {
		username, password = o.CredentialsProvider()
	} else if len(o.Servers) > 0 && o.Servers[0].User != nil {
		username = o.Servers[0].User.Username()
		if p, ok := o.Servers[0].User.Password(); ok {
			password = p
		}
	}
	if username == "" {
		return "", "" // a password needs a username
	}
	return username, password
}

// protocols returns the versions to try.
func (o *ClientOptions) protocols(anyVersion bool) []mqtt.Protocol {
	switch {
	case anyVersion:
		return []mqtt.Protocol{mqtt.V311, mqtt.V31}
	case o.ProtocolVersion == 3:
		return []mqtt.Protocol{mqtt.V31}
	}
	return []mqtt.Protocol{mqtt.V311}
}

const (
	maxPending      = math.MaxUint16 // messages that are not acknowledged
	maxPendingBytes = 64 << 20
	firstDelay      = time.Second // between two attempts to reconnect
)

// settings returns the options of package mosquitto/mqtt.
func (o *ClientOptions) settings(anyVersion bool) []mqtt.Option {
	all := []mqtt.Option{
		mqtt.WithClientID(o.ClientID),
		mqtt.WithProtocol(o.protocols(anyVersion)...),
		mqtt.WithKeepAlive(time.Duration(o.KeepAlive) * time.Second),
		mqtt.WithQueue(maxPending, maxPendingBytes, mqtt.WaitForRoom),
		o.backoff(),
		mqtt.WithConnectTimeout(math.MaxInt64),
	}
	if o.ConnectTimeout > 0 {
		all = append(all, mqtt.WithConnectTimeout(o.ConnectTimeout))
	}
	if !o.CleanSession {
		all = append(all, mqtt.WithSession(-1))
	}
	if o.WillEnabled {
		all = append(all, mqtt.WithWill(mqtt.Will{Topic: o.WillTopic, Payload: o.WillPayload, QoS: mqtt.QoS(o.WillQos), Retain: o.WillRetained}))
	}
	if o.MaxResumePubInFlight > 0 {
		all = append(all, mqtt.WithInflight(o.MaxResumePubInFlight))
	}
	if logger := newLogger(); logger != nil {
		all = append(all, mqtt.WithLogger(logger))
	}
	return all
}

// backoff returns the delays between attempts to reconnect. Half of a delay is random, so
// that not all clients of a broker reconnect at the same time.
func (o *ClientOptions) backoff() mqtt.Option {
	longest := o.MaxReconnectInterval
	if longest <= 0 {
		longest = firstDelay
	}
	return mqtt.WithBackoff(min(firstDelay, longest), longest, 0.5)
}

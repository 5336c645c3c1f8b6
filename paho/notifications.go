package mqtt

import "net/url"

// ConnectionNotification is an event of the connection. Its dynamic type is a type of this
// package whose name begins with ConnectionNotification.
type ConnectionNotification interface {
	// Type returns the type of the event.
	Type() ConnectionNotificationType
}

// ConnectionNotificationType is the type of a [ConnectionNotification].
type ConnectionNotificationType int64

// The types of notifications.
const (
	ConnectionNotificationTypeConnected ConnectionNotificationType = iota
	ConnectionNotificationTypeConnecting
	ConnectionNotificationTypeFailed
	ConnectionNotificationTypeLost
	ConnectionNotificationTypeBroker
	ConnectionNotificationTypeBrokerFailed
)

// ConnectionNotificationConnected reports that a broker has accepted the connection.
type ConnectionNotificationConnected struct{}

// Type returns [ConnectionNotificationTypeConnected].
func (n ConnectionNotificationConnected) Type() ConnectionNotificationType {
	return ConnectionNotificationTypeConnected
}

// ConnectionNotificationConnecting reports the begin of an attempt to connect. Attempt
// counts the failed attempts before it, from 0.
type ConnectionNotificationConnecting struct {
	IsReconnect bool // false for the first connection
	Attempt     int  // failed attempts before this one
}

// Type returns [ConnectionNotificationTypeConnecting].
func (n ConnectionNotificationConnecting) Type() ConnectionNotificationType {
	return ConnectionNotificationTypeConnecting
}

// ConnectionNotificationFailed reports that an attempt to connect has failed.
type ConnectionNotificationFailed struct {
	Reason error // the cause
}

// Type returns [ConnectionNotificationTypeFailed].
func (n ConnectionNotificationFailed) Type() ConnectionNotificationType {
	return ConnectionNotificationTypeFailed
}

// ConnectionNotificationLost reports that the connection was lost.
type ConnectionNotificationLost struct {
	Reason error // the cause
}

// Type returns [ConnectionNotificationTypeLost].
func (n ConnectionNotificationLost) Type() ConnectionNotificationType {
	return ConnectionNotificationTypeLost
}

// ConnectionNotificationBroker reports that the client connects to a broker.
type ConnectionNotificationBroker struct {
	Broker *url.URL // the broker
}

// Type returns [ConnectionNotificationTypeBroker].
func (n ConnectionNotificationBroker) Type() ConnectionNotificationType {
	return ConnectionNotificationTypeBroker
}

// ConnectionNotificationBrokerFailed reports that the network connection to a broker
// could not be opened.
type ConnectionNotificationBrokerFailed struct {
	Broker *url.URL // the broker
	Reason error    // the cause
}

// Type returns [ConnectionNotificationTypeBrokerFailed].
func (n ConnectionNotificationBrokerFailed) Type() ConnectionNotificationType {
	return ConnectionNotificationTypeBrokerFailed
}

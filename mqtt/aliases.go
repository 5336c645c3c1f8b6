//go:build cgo

package mqtt

import "github.com/mosquitto-go/mosquitto"

// The types and values of package mosquitto that the API of this package uses.

// Message is a message that the client has received. The program may keep it.
type Message = mosquitto.Message

// Properties are the properties of an MQTT 5 packet.
type Properties = mosquitto.Properties

// Property is an MQTT 5 property.
type Property = mosquitto.Property

// PropertyID is the identifier of a property.
type PropertyID = mosquitto.PropertyID

// TLS holds the TLS settings for servers with mqtts:// or wss://. The zero value trusts
// the certificate authorities of the system. It is the default without [WithTLS].
// [mosquitto.TLS] describes the fields, such as CAFile, CertFile and KeyFile.
type TLS = mosquitto.TLS

// QoS is a quality of service: 0 at most once, 1 at least once, 2 exactly once.
type QoS = mosquitto.QoS

// ReasonCode is a reason code of MQTT 5. Codes from 128 on are failures.
type ReasonCode = mosquitto.ReasonCode

// ReasonError is the error of a reason code from 128 on.
type ReasonError = mosquitto.ReasonError

// ConnackCode is the code of a CONNACK packet.
type ConnackCode = mosquitto.ConnackCode

// ConnackError is the broker's refusal of a connection.
type ConnackError = mosquitto.ConnackError

// The identifiers of properties.
const (
	PropPayloadFormatIndicator     = mosquitto.PropPayloadFormatIndicator     // byte; PUBLISH, will
	PropMessageExpiryInterval      = mosquitto.PropMessageExpiryInterval      // four bytes, seconds; PUBLISH, will
	PropContentType                = mosquitto.PropContentType                // string; PUBLISH, will
	PropResponseTopic              = mosquitto.PropResponseTopic              // string; PUBLISH, will
	PropCorrelationData            = mosquitto.PropCorrelationData            // binary; PUBLISH, will
	PropSubscriptionIdentifier     = mosquitto.PropSubscriptionIdentifier     // variable byte integer; SUBSCRIBE, PUBLISH
	PropSessionExpiryInterval      = mosquitto.PropSessionExpiryInterval      // four bytes, seconds; CONNECT, CONNACK, DISCONNECT
	PropAssignedClientIdentifier   = mosquitto.PropAssignedClientIdentifier   // string; CONNACK
	PropServerKeepAlive            = mosquitto.PropServerKeepAlive            // two bytes, seconds; CONNACK
	PropAuthenticationMethod       = mosquitto.PropAuthenticationMethod       // string; CONNECT, CONNACK, AUTH
	PropAuthenticationData         = mosquitto.PropAuthenticationData         // binary; CONNECT, CONNACK, AUTH
	PropRequestProblemInformation  = mosquitto.PropRequestProblemInformation  // byte; CONNECT
	PropWillDelayInterval          = mosquitto.PropWillDelayInterval          // four bytes, seconds; will
	PropRequestResponseInformation = mosquitto.PropRequestResponseInformation // byte; CONNECT
	PropResponseInformation        = mosquitto.PropResponseInformation        // string; CONNACK
	PropServerReference            = mosquitto.PropServerReference            // string; CONNACK, DISCONNECT
	PropReasonString               = mosquitto.PropReasonString               // string; every acknowledgement, CONNACK, DISCONNECT, AUTH
	PropReceiveMaximum             = mosquitto.PropReceiveMaximum             // two bytes; CONNECT, CONNACK
	PropTopicAliasMaximum          = mosquitto.PropTopicAliasMaximum          // two bytes; CONNECT, CONNACK
	PropTopicAlias                 = mosquitto.PropTopicAlias                 // two bytes; PUBLISH
	PropMaximumQoS                 = mosquitto.PropMaximumQoS                 // byte; CONNACK
	PropRetainAvailable            = mosquitto.PropRetainAvailable            // byte; CONNACK
	PropUserProperty               = mosquitto.PropUserProperty               // string pair; every packet
	PropMaximumPacketSize          = mosquitto.PropMaximumPacketSize          // four bytes; CONNECT, CONNACK
	PropWildcardSubAvailable       = mosquitto.PropWildcardSubAvailable       // byte; CONNACK
	PropSubscriptionIDAvailable    = mosquitto.PropSubscriptionIDAvailable    // byte; CONNACK
	PropSharedSubAvailable         = mosquitto.PropSharedSubAvailable         // byte; CONNACK
)

// The reason codes.
const (
	RCSuccess                     = mosquitto.RCSuccess
	RCNormalDisconnection         = mosquitto.RCNormalDisconnection
	RCGrantedQoS0                 = mosquitto.RCGrantedQoS0
	RCGrantedQoS1                 = mosquitto.RCGrantedQoS1
	RCGrantedQoS2                 = mosquitto.RCGrantedQoS2
	RCDisconnectWithWillMsg       = mosquitto.RCDisconnectWithWillMsg
	RCNoMatchingSubscribers       = mosquitto.RCNoMatchingSubscribers
	RCNoSubscriptionExisted       = mosquitto.RCNoSubscriptionExisted
	RCContinueAuthentication      = mosquitto.RCContinueAuthentication
	RCReauthenticate              = mosquitto.RCReauthenticate
	RCUnspecified                 = mosquitto.RCUnspecified
	RCMalformedPacket             = mosquitto.RCMalformedPacket
	RCProtocolError               = mosquitto.RCProtocolError
	RCImplementationSpecific      = mosquitto.RCImplementationSpecific
	RCUnsupportedProtocolVersion  = mosquitto.RCUnsupportedProtocolVersion
	RCClientIDNotValid            = mosquitto.RCClientIDNotValid
	RCBadUsernameOrPassword       = mosquitto.RCBadUsernameOrPassword
	RCNotAuthorized               = mosquitto.RCNotAuthorized
	RCServerUnavailable           = mosquitto.RCServerUnavailable
	RCServerBusy                  = mosquitto.RCServerBusy
	RCBanned                      = mosquitto.RCBanned
	RCServerShuttingDown          = mosquitto.RCServerShuttingDown
	RCBadAuthenticationMethod     = mosquitto.RCBadAuthenticationMethod
	RCKeepAliveTimeout            = mosquitto.RCKeepAliveTimeout
	RCSessionTakenOver            = mosquitto.RCSessionTakenOver
	RCTopicFilterInvalid          = mosquitto.RCTopicFilterInvalid
	RCTopicNameInvalid            = mosquitto.RCTopicNameInvalid
	RCPacketIDInUse               = mosquitto.RCPacketIDInUse
	RCPacketIDNotFound            = mosquitto.RCPacketIDNotFound
	RCReceiveMaximumExceeded      = mosquitto.RCReceiveMaximumExceeded
	RCTopicAliasInvalid           = mosquitto.RCTopicAliasInvalid
	RCPacketTooLarge              = mosquitto.RCPacketTooLarge
	RCMessageRateTooHigh          = mosquitto.RCMessageRateTooHigh
	RCQuotaExceeded               = mosquitto.RCQuotaExceeded
	RCAdministrativeAction        = mosquitto.RCAdministrativeAction
	RCPayloadFormatInvalid        = mosquitto.RCPayloadFormatInvalid
	RCRetainNotSupported          = mosquitto.RCRetainNotSupported
	RCQoSNotSupported             = mosquitto.RCQoSNotSupported
	RCUseAnotherServer            = mosquitto.RCUseAnotherServer
	RCServerMoved                 = mosquitto.RCServerMoved
	RCSharedSubsNotSupported      = mosquitto.RCSharedSubsNotSupported
	RCConnectionRateExceeded      = mosquitto.RCConnectionRateExceeded
	RCMaximumConnectTime          = mosquitto.RCMaximumConnectTime
	RCSubscriptionIDsNotSupported = mosquitto.RCSubscriptionIDsNotSupported
	RCWildcardSubsNotSupported    = mosquitto.RCWildcardSubsNotSupported
)

// The codes of CONNACK with MQTT 3. With MQTT 5 it has a reason code.
const (
	ConnackAccepted                  = mosquitto.ConnackAccepted
	ConnackRefusedProtocolVersion    = mosquitto.ConnackRefusedProtocolVersion
	ConnackRefusedIdentifierRejected = mosquitto.ConnackRefusedIdentifierRejected
	ConnackRefusedServerUnavailable  = mosquitto.ConnackRefusedServerUnavailable
	ConnackRefusedBadUsernamePasswd  = mosquitto.ConnackRefusedBadUsernamePasswd
	ConnackRefusedNotAuthorized      = mosquitto.ConnackRefusedNotAuthorized
)

package mqtttest

import (
	"errors"
	"fmt"
	"strings"
)

// settings holds the values that the options of StartBroker set. They do not change
// afterwards.
type settings struct {
	passwords          map[string]string // by username; nil: no credentials needed
	acl                string            // text of the access list
	tls                bool
	clientCertificates bool
	persistence        bool
	protocols          []string
	image              string   // container image; "": the installed mosquitto
	config             []string // lines of mosquitto.conf
}

// Option is a setting of [StartBroker].
type Option func(*settings) error

func read(options []Option) (s settings, err error) {
	for _, option := range options {
		if err := option(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// WithPasswords sets the usernames and their passwords. The broker refuses clients
// without credentials, and clients with a wrong password. A username must not be empty,
// and must not contain a colon or a line break.
func WithPasswords(passwords map[string]string) Option {
	return func(s *settings) error {
		s.passwords = make(map[string]string)
		for username, password := range passwords {
			if username == "" || strings.ContainsAny(username, ":\r\n\x00") {
				return fmt.Errorf("WithPasswords: username %q is empty or contains a colon, a line break or a NUL", username)
			}
			s.passwords[username] = password
		}
		return nil
	}
}

// WithACL sets the access list in the syntax of mosquitto's acl_file. The broker denies
// all topics that the list does not allow. Lines before the first "user" line are for
// clients without a username:
//
//	topic read news/#
//	user alice
//	topic readwrite alice/#
//	pattern write status/%c
//
// The broker refuses a denied message with reason code 135, "not authorized" (MQTT 5).
// With MQTT 3 it acknowledges the message and drops it. It grants subscriptions to denied
// topics, but does not deliver their messages.
func WithACL(list string) Option {
	return func(s *settings) error {
		if strings.TrimSpace(list) == "" {
			return errors.New("WithACL: the list is empty")
		}
		s.acl = list
		return nil
	}
}

// WithTLS makes the broker accept only TLS connections. [Broker.URL] then starts with
// mqtts://. The broker's certificate is for 127.0.0.1, ::1 and localhost, and a private
// certificate authority signs it. Clients must trust the authority: see [Broker.CAFile].
func WithTLS() Option {
	return func(s *settings) error {
		s.tls = true
		return nil
	}
}

// WithClientCertificates is [WithTLS] for clients with a certificate: the broker refuses
// clients without a certificate from [Broker.Certificate]. Unless WithPasswords is given,
// the broker takes the name in the certificate as the username, for example for [WithACL].
func WithClientCertificates() Option {
	return func(s *settings) error {
		s.tls, s.clientCertificates = true, true
		return nil
	}
}

// WithPersistence keeps retained messages, sessions and their queued messages when
// [Broker.Stop] and [Broker.Start] restart the broker. The broker writes them to disk when
// it stops: [Broker.Kill] loses the changes since the last start. Without WithPersistence
// every restart loses everything.
func WithPersistence() Option {
	return func(s *settings) error {
		s.persistence = true
		return nil
	}
}

// WithConfig adds lines to mosquitto.conf, for example "max_queued_messages 10". They
// follow the lines of the listener, so that they can also be options of the listener. They
// must not change the log: StartBroker reads it to see that the broker accepts connections.
func WithConfig(lines ...string) Option {
	return func(s *settings) error {
		s.config = append(s.config, lines...)
		return nil
	}
}

// WithImage runs the broker from a container image, for example
// "eclipse-mosquitto:2.0.22", even if mosquitto is installed. It needs the docker
// command, and permission to use it. Docker downloads a missing image: the first start
// can take minutes.
func WithImage(image string) Option {
	return func(s *settings) error {
		if image == "" || strings.HasPrefix(image, "-") {
			return fmt.Errorf("WithImage: %q is not the name of an image", image)
		}
		s.image = image
		return nil
	}
}

//go:build cgo

package mqtt

import (
	"fmt"
	"log/slog"
	"strings"
)

// What can hold a secret is formatted without it, whatever the verb, and so is
// logged by log/slog: values land in logs by accident. A program that wants to see
// a payload formats the payload.

// Format shows the settings without keys. Of PEM texts it tells the size.
func (t TLS) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{CAFile:%q CAPath:%q CertFile:%q KeyFile:%q CA:%s Cert:%s Key:%s KeyPassword:%t PSK:%s PSKIdentity:%q "+
		"ServerName:%q ALPN:%q MinVersion:%q Ciphers:%q InsecureSkipHostname:%t InsecureSkipVerify:%t}",
		t.CAFile, t.CAPath, t.CertFile, t.KeyFile, size(t.CA), size(t.Cert), size(t.Key), t.KeyPassword != nil, hidden(t.PSK), t.PSKIdentity,
		t.ServerName, t.ALPN, t.MinVersion, t.Ciphers, t.InsecureSkipHostname, t.InsecureSkipVerify)
}

// LogValue is what [TLS.Format] shows.
func (t TLS) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// Format shows the message without its payload, of which it tells the size.
func (p Publication) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Topic:%q Payload:%s QoS:%d Retain:%t Properties:%v Protocol:%v}",
		p.Topic, size(p.Payload), p.QoS, p.Retain, p.Properties, p.Protocol)
}

// LogValue is what [Publication.Format] shows.
func (p Publication) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// Format names the topic of the message.
func (t *Token) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "mqtt.Token{Topic:%q QoS:%d}", t.pub.Topic, t.pub.QoS)
}

// Format names the servers of the client.
func (c *Client) Format(f fmt.State, _ rune) {
	names := make([]string, len(c.servers))
	for i, s := range c.servers {
		names[i] = s.name
	}
	fmt.Fprintf(f, "mqtt.Client{%s}", strings.Join(names, " "))
}

// size stands for bytes that are not shown.
func size(b []byte) string { return fmt.Sprintf("(%d bytes)", len(b)) }

// hidden stands for a text that is not shown.
func hidden(text string) string {
	if text == "" {
		return `""`
	}
	return "(hidden)"
}

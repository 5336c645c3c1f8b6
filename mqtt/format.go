//go:build cgo

package mqtt

import (
	"fmt"
	"log/slog"
	"strings"
)

// Types that can hold a secret or a payload hide it, with every verb of package fmt and
// in log/slog. Values are often logged by accident. To print a payload, format the
// payload itself.

// Format prints the settings without keys. It prints the size of PEM texts.
func (t TLS) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{CAFile:%q CAPath:%q CertFile:%q KeyFile:%q CA:%s Cert:%s Key:%s KeyPassword:%t PSK:%s PSKIdentity:%q "+
		"ServerName:%q ALPN:%q MinVersion:%q Ciphers:%q InsecureSkipHostname:%t InsecureSkipVerify:%t}",
		t.CAFile, t.CAPath, t.CertFile, t.KeyFile, size(t.CA), size(t.Cert), size(t.Key), t.KeyPassword != nil, hidden(t.PSK), t.PSKIdentity,
		t.ServerName, t.ALPN, t.MinVersion, t.Ciphers, t.InsecureSkipHostname, t.InsecureSkipVerify)
}

// LogValue returns the text that [TLS.Format] prints.
func (t TLS) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// Format prints the message without its payload. It prints the size of the payload.
func (p Publication) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Topic:%q Payload:%s QoS:%d Retain:%t Properties:%v Protocol:%v}",
		p.Topic, size(p.Payload), p.QoS, p.Retain, p.Properties, p.Protocol)
}

// LogValue returns the text that [Publication.Format] prints.
func (p Publication) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// Format prints the topic and the QoS of the message.
func (t *Token) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "mqtt.Token{Topic:%q QoS:%d}", t.pub.Topic, t.pub.QoS)
}

// Format prints the servers of the client, without credentials.
func (c *Client) Format(f fmt.State, _ rune) {
	names := make([]string, len(c.servers))
	for i, s := range c.servers {
		names[i] = s.name
	}
	fmt.Fprintf(f, "mqtt.Client{%s}", strings.Join(names, " "))
}

// size replaces bytes that must not be printed.
func size(b []byte) string { return fmt.Sprintf("(%d bytes)", len(b)) }

// hidden replaces a text that must not be printed.
func hidden(text string) string {
	if text == "" {
		return `""`
	}
	return "(hidden)"
}

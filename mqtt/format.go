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
	if !c.made() {
		fmt.Fprint(f, "mqtt.Client{}")
		return
	}
	names := make([]string, len(c.servers))
	for i, s := range c.servers {
		names[i] = s.name
	}
	fmt.Fprintf(f, "mqtt.Client{%s}", strings.Join(names, " "))
}

// size replaces bytes that must not be printed.
func size(b []byte) string { return fmt.Sprintf("(%d bytes)", len(b)) }

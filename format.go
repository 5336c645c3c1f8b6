//go:build cgo

package mosquitto

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
)

// Types that can hold a secret hide it, with every verb of package fmt and in log/slog.
// Values are often logged by accident.

// Format prints the message with the first 64 bytes of its payload, quoted. A longer
// payload is followed by its size.
func (m Message) Format(f fmt.State, _ rune) { fmt.Fprint(f, m.text(beginning(m.Payload))) }

// LogValue returns the text that [Message.Format] prints, but with the payload's size
// instead of the payload.
func (m Message) LogValue() slog.Value { return slog.StringValue(m.text(size(m.Payload))) }

func (m Message) text(payload string) string {
	return fmt.Sprintf("{MID:%d Topic:%q Payload:%s QoS:%d Retain:%t Properties:%v}", m.MID, m.Topic, payload, m.QoS, m.Retain, m.Properties)
}

// beginning returns the first 64 bytes, quoted, and the size of a longer payload.
func beginning(payload []byte) string {
	const most = 64
	if len(payload) <= most {
		return strconv.Quote(string(payload))
	}
	return fmt.Sprintf("%q... %s", payload[:most], size(payload))
}

// Format prints the will with the size of its payload instead of the payload.
func (w Will) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Topic:%q Payload:%s QoS:%d Retain:%t Properties:%v}", w.Topic, size(w.Payload), w.QoS, w.Retain, w.Properties)
}

// LogValue returns the text that [Will.Format] prints.
func (w Will) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(w)) }

// Format prints the property. It prints the size of binary data, such as correlation
// and authentication data, instead of the data.
func (p Property) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%s:", p.ID.String())
	switch p.ID.Type() {
	case TypeBinary:
		fmt.Fprint(f, size(p.Data))
	case TypeString:
		fmt.Fprintf(f, "%q", p.Text)
	case TypeStringPair:
		fmt.Fprintf(f, "%q=%q", p.Name, p.Text)
	default:
		fmt.Fprint(f, p.Number)
	}
}

// LogValue returns the text that [Property.Format] prints.
func (p Property) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// Format prints the properties, each as [Property.Format] does.
func (p Properties) Format(f fmt.State, _ rune) {
	texts := make([]string, len(p))
	for i, q := range p {
		texts[i] = fmt.Sprint(q)
	}
	fmt.Fprintf(f, "[%s]", strings.Join(texts, " "))
}

// LogValue returns the text that [Properties.Format] prints.
func (p Properties) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// Format prints the CONNACK, and its properties as [Property.Format] does.
func (a Connack) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Code:%v SessionPresent:%t Properties:%v}", a.Code, a.SessionPresent, a.Properties)
}

// LogValue returns the text that [Connack.Format] prints.
func (a Connack) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(a)) }

// Format prints the end of a connection, and its properties as [Property.Format] does.
func (d Disconnection) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Code:%d Err:%v Properties:%v}", d.Code, d.Err, d.Properties)
}

// LogValue returns the text that [Disconnection.Format] prints.
func (d Disconnection) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(d)) }

// Format prints the options without the password.
func (o SimpleOptions) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Host:%q Port:%d ClientID:%q Keepalive:%v CleanSession:%t Username:%q Password:%s Will:%v TLS:%t}",
		o.Host, o.Port, o.ClientID, o.Keepalive, o.CleanSession, o.Username, hidden(o.Password), o.Will, o.TLS != nil)
}

// LogValue returns the text that [SimpleOptions.Format] prints.
func (o SimpleOptions) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(o)) }

// Format prints the settings without keys. It prints the size of PEM texts.
func (t TLS) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{CAFile:%q CAPath:%q CertFile:%q KeyFile:%q CA:%s Cert:%s Key:%s Certificate:%t KeyPassword:%t PSK:%s PSKIdentity:%q "+
		"ServerName:%q ALPN:%q MinVersion:%q Ciphers:%q InsecureSkipHostname:%t InsecureSkipVerify:%t}",
		t.CAFile, t.CAPath, t.CertFile, t.KeyFile, size(t.CA), size(t.Cert), size(t.Key), t.Certificate != nil, t.KeyPassword != nil,
		hidden(t.PSK), t.PSKIdentity, t.ServerName, t.ALPN, t.MinVersion, t.Ciphers, t.InsecureSkipHostname, t.InsecureSkipVerify)
}

// LogValue returns the text that [TLS.Format] prints.
func (t TLS) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// Format prints a name of the client. It does not read the fields, which other
// goroutines may change.
func (c *Client) Format(f fmt.State, _ rune) {
	if c == nil {
		fmt.Fprint(f, "mosquitto.Client <nil>")
		return
	}
	fmt.Fprintf(f, "mosquitto.Client %d", c.id)
}

// size returns a text that shows the number of bytes instead of the bytes.
func size(b []byte) string { return fmt.Sprintf("(%d bytes)", len(b)) }

// hidden returns a text that shows only whether text is empty.
func hidden(text string) string {
	if text == "" {
		return `""`
	}
	return "(hidden)"
}

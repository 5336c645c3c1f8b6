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

// Format shows the will without its payload, of which it tells the size.
func (w Will) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Topic:%q Payload:%s QoS:%d Retain:%t Properties:%v}", w.Topic, size(w.Payload), w.QoS, w.Retain, w.Properties)
}

// LogValue is what [Will.Format] shows.
func (w Will) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(w)) }

// Format shows the property. Of binary data, such as correlation and
// authentication data, it tells the size.
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

// LogValue is what [Property.Format] shows.
func (p Property) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// Format shows the properties, each as [Property.Format] does.
func (p Properties) Format(f fmt.State, _ rune) {
	texts := make([]string, len(p))
	for i, q := range p {
		texts[i] = fmt.Sprint(q)
	}
	fmt.Fprintf(f, "[%s]", strings.Join(texts, " "))
}

// LogValue is what [Properties.Format] shows.
func (p Properties) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// Format shows the answer, its properties as [Property.Format] does.
func (a Connack) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Code:%v SessionPresent:%t Properties:%v}", a.Code, a.SessionPresent, a.Properties)
}

// LogValue is what [Connack.Format] shows.
func (a Connack) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(a)) }

// Format shows the end of a connection, its properties as [Property.Format] does.
func (d Disconnection) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Code:%d Err:%v Properties:%v}", d.Code, d.Err, d.Properties)
}

// LogValue is what [Disconnection.Format] shows.
func (d Disconnection) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(d)) }

// Format shows the options without the password.
func (o SimpleOptions) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{Host:%q Port:%d ClientID:%q Keepalive:%v CleanSession:%t Username:%q Password:%s Will:%v TLS:%t}",
		o.Host, o.Port, o.ClientID, o.Keepalive, o.CleanSession, o.Username, hidden(o.Password), o.Will, o.TLS != nil)
}

// LogValue is what [SimpleOptions.Format] shows.
func (o SimpleOptions) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(o)) }

// Format shows the settings without keys. It shows the size of PEM texts.
func (t TLS) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "{CAFile:%q CAPath:%q CertFile:%q KeyFile:%q CA:%s Cert:%s Key:%s Certificate:%t KeyPassword:%t PSK:%s PSKIdentity:%q "+
		"ServerName:%q ALPN:%q MinVersion:%q Ciphers:%q InsecureSkipHostname:%t InsecureSkipVerify:%t}",
		t.CAFile, t.CAPath, t.CertFile, t.KeyFile, size(t.CA), size(t.Cert), size(t.Key), t.Certificate != nil, t.KeyPassword != nil,
		hidden(t.PSK), t.PSKIdentity, t.ServerName, t.ALPN, t.MinVersion, t.Ciphers, t.InsecureSkipHostname, t.InsecureSkipVerify)
}

// LogValue is what [TLS.Format] shows.
func (t TLS) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// Format names the client. Its fields are not for formatting while it is in use.
func (c *Client) Format(f fmt.State, _ rune) {
	if c == nil {
		fmt.Fprint(f, "mosquitto.Client <nil>")
		return
	}
	fmt.Fprintf(f, "mosquitto.Client %d", c.id)
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

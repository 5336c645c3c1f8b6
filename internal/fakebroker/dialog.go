package fakebroker

import (
	"fmt"
	"strings"
)

// Dialog is a connection that compares whole packets byte by byte. A packet is given
// as []byte, for example from the methods of [Version], or as a pattern:
//
//	32 0A        bytes in hex
//	??           any byte
//	**           any number of bytes, at the end of the packet
//	'a/b'        a string after its length in two bytes
//	"hello"      a string without a length
//	< ... >      the enclosed bytes after their length as a variable byte integer
//
// For example, the pattern 32 < 'a/b' 00 01 "hello" > is a PUBLISH of MQTT 3.
type Dialog struct{ *Conn }

// Dialog returns a Dialog on the connection.
func (c *Conn) Dialog() *Dialog { return &Dialog{c} }

// Expect reads the next packets. The test fails if they differ from the arguments.
func (d *Dialog) Expect(packets ...any) {
	d.tb.Helper()
	for _, packet := range packets {
		want := parse(packet)
		got, err := d.NextBytes()
		if err != nil {
			d.tb.Fatalf("fake broker: waiting for %v: %v\n%s", kindOf(want), err, dump("got", exactly(got), nil))
		}
		if diff := want.diff(got); diff != "" {
			d.tb.Fatal("fake broker: ", diff)
		}
	}
}

// Send writes packets, or any other bytes, with one write.
func (d *Dialog) Send(packets ...any) {
	d.tb.Helper()
	var all []byte
	for _, packet := range packets {
		all = append(all, parse(packet).exact()...)
	}
	d.Conn.Send(all)
}

// Hex returns the bytes of a pattern. The pattern must not contain ?? or **.
func Hex(pattern string) []byte { return parse(pattern).exact() }

// symbol is one byte of a pattern.
type symbol struct {
	b    byte
	any  bool // any byte
	rest bool // any bytes
}

type pattern []symbol

func exactly(b []byte) (p pattern) {
	for _, c := range b {
		p = append(p, symbol{b: c})
	}
	return p
}

func (p pattern) exact() (b []byte) {
	for _, s := range p {
		if s.any || s.rest {
			panic("fake broker: ?? or ** in a packet to send")
		}
		b = append(b, s.b)
	}
	return b
}

// parse parses a pattern; a []byte becomes a pattern of exactly these bytes. It
// panics on a wrong pattern, because patterns are constants in tests.
func parse(packet any) pattern {
	switch packet := packet.(type) {
	case []byte:
		return exactly(packet)
	case string:
		p, rest := parseUntil(packet, false)
		if rest != "" {
			panic("fake broker: > without < in the pattern " + packet)
		}
		return p
	}
	panic(fmt.Sprintf("fake broker: packet of type %T, want []byte or string", packet))
}

// parseUntil parses a pattern up to its end or, inside a group, up to the closing >.
func parseUntil(text string, group bool) (p pattern, rest string) {
	for {
		text = strings.TrimLeft(text, " \t\n")
		switch {
		case text == "":
			if group {
				panic("fake broker: < without >")
			}
			return p, ""
		case text[0] == '>':
			if !group {
				return p, text
			}
			return p, text[1:]
		case text[0] == '<':
			var inner pattern
			inner, text = parseUntil(text[1:], true)
			p = append(append(p, exactly(Varint(len(inner)))...), inner...)
		default:
			var token pattern
			token, text = parseToken(text)
			p = append(p, token...)
		}
	}
}

// parseToken parses a string, a byte or a wildcard.
func parseToken(text string) (p pattern, rest string) {
	if quote := text[0]; quote == '\'' || quote == '"' {
		inside, rest, found := strings.Cut(text[1:], string(quote))
		if !found {
			panic("fake broker: unterminated string in the pattern: " + text)
		}
		if quote == '\'' {
			return exactly(Text(inside)), rest
		}
		return exactly([]byte(inside)), rest
	}
	token := text[:min(2, len(text))]
	rest = text[len(token):]
	switch token {
	case "??":
		return pattern{{any: true}}, rest
	case "**":
		return pattern{{rest: true}}, rest
	}
	var b byte
	if n, err := fmt.Sscanf(token, "%02X", &b); n != 1 || err != nil || len(token) < 2 {
		panic("fake broker: want a byte in hex or a string in the pattern: " + text)
	}
	return exactly([]byte{b}), rest
}

// diff describes the difference between a packet and the pattern. It returns "" if
// the packet matches.
func (p pattern) diff(got []byte) string {
	at := p.mismatch(got)
	if at < 0 {
		return ""
	}
	mark := func(n int) bool { return n == at }
	return fmt.Sprintf("wanted %s, got %s; they differ at byte %d\n%s%s", kindOf(p), kindOf(exactly(got)), at,
		dump("want", p, mark), dump("got", exactly(got), mark))
}

// mismatch returns the index of the first byte that differs, or -1.
func (p pattern) mismatch(got []byte) int {
	for i, s := range p {
		switch {
		case s.rest:
			return -1
		case i >= len(got), !s.any && s.b != got[i]:
			return i
		}
	}
	if len(got) > len(p) {
		return len(p)
	}
	return -1
}

// kindOf returns the name of the packet type.
func kindOf(p pattern) string {
	if len(p) == 0 || p[0].any || p[0].rest {
		return "a packet"
	}
	return [...]string{"packet type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
		"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"}[p[0].b>>4]
}

// longestDump is the number of bytes that dump shows. The message of diff names the
// index of a later difference.
const longestDump = 512

// dump shows bytes in hex and as text, sixteen a line. Marked bytes are in brackets.
func dump(name string, p pattern, marked func(int) bool) string {
	var out strings.Builder
	for start := 0; start == 0 || start < min(len(p), longestDump); start += 16 {
		var hex, text strings.Builder
		for i := start; i < start+16; i++ {
			left, right := " ", ""
			if marked != nil && marked(i) {
				left, right = "[", "]"
			}
			if i >= len(p) {
				hex.WriteString(left + "  " + right)
				continue
			}
			hex.WriteString(left + p[i].hex() + right)
			text.WriteByte(p[i].text())
		}
		fmt.Fprintf(&out, "  %-4s %04x %-50s |%s|\n", name, start, hex.String(), text.String())
	}
	return out.String()
}

func (s symbol) hex() string {
	switch {
	case s.any:
		return "??"
	case s.rest:
		return "**"
	}
	return fmt.Sprintf("%02x", s.b)
}

func (s symbol) text() byte {
	if s.any || s.rest || s.b < 0x20 || s.b > 0x7E {
		return '.'
	}
	return s.b
}

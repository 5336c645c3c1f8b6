package mosquitto

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// matches is MQTT's rule for filters and topics, implemented a second time.
func matches(filter, topic string) bool {
	if strings.HasPrefix(filter, "$") != strings.HasPrefix(topic, "$") {
		return false
	}
	levels := strings.Split(topic, "/")
	for i, f := range strings.Split(filter, "/") {
		if f == "#" {
			return true
		}
		if i == len(levels) || f != "+" && f != levels[i] {
			return false
		}
	}
	return strings.Count(filter, "/") == len(levels)-1
}

func FuzzTopicMatchesSub(f *testing.F) {
	for _, seed := range []struct{ filter, topic string }{
		{"a/#", "a"}, {"a/#", "a/b/c"}, {"+/b", "a/b"}, {"+", "/"}, {"#", "$SYS"}, {"$SYS/#", "$SYS/x"}, {"a/+/#", "a/"},
		{"/+/", "//"}, {"", "a"}, {"a", ""}, {"a#", "ab"}, {"a\x00", "a"}, {"\xff", "a"}, {"a/+", "a/#"}, {"+/+/+", "//"},
		{"a/b", "a/bc"}, {"a/bc", "a/b"}, {"+a", "a"}, {strings.Repeat("a/", 100) + "#", strings.Repeat("a/", 101)},
	} {
		f.Add(seed.filter, seed.topic)
	}
	f.Fuzz(func(t *testing.T, filter, topic string) {
		yes, err := TopicMatchesSub(filter, topic)
		yes2, err2 := TopicMatchesSub2([]byte(filter), []byte(topic))
		if yes != yes2 || (err == nil) != (err2 == nil) {
			t.Fatalf("%q, %q: %v %v, but %v %v", filter, topic, yes, err, yes2, err2)
		}
		if err != nil && yes {
			t.Fatalf("%q, %q: matches, but error %v", filter, topic, err)
		}
		if SubTopicCheck(filter) != nil || PubTopicCheck(topic) != nil {
			return // the library does not always check both arguments completely
		}
		if err != nil || yes != matches(filter, topic) {
			t.Fatalf("%q, %q: %v %v", filter, topic, yes, err)
		}
	})
}

// goodFilter reports whether the wildcards of a filter are valid.
func goodFilter(filter string) bool {
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		alone := level == "+" || level == "#" && i == len(levels)-1
		if strings.ContainsAny(level, "+#") && !alone {
			return false
		}
	}
	return filter != "" && len(filter) <= maxText && utf8.ValidString(filter) && !strings.Contains(filter, "\x00")
}

func FuzzTopicCheck(f *testing.F) {
	for _, seed := range []string{"", "a", "/", "a/b", "+", "#", "a\x01", "a/+/b", "a+", "#/a", "##", "+/#", "\x00", "\xff", "$share/g/#", strings.Repeat("/", 201)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		deep := has21 && strings.Count(topic, "/") > 200
		filter := goodFilter(topic) && !deep
		if got := SubTopicCheck(topic) == nil; got != filter {
			t.Fatalf("sub %q: %v", topic, got)
		}
		if got := SubTopicCheck2([]byte(topic)) == nil; got != filter {
			t.Fatalf("sub2 %q: %v", topic, got)
		}
		plain := filter && !strings.ContainsAny(topic, "+#")
		if got := PubTopicCheck(topic) == nil; got != plain {
			t.Fatalf("pub %q: %v", topic, got)
		}
		if got := PubTopicCheck2([]byte(topic)) == nil; got != plain {
			t.Fatalf("pub2 %q: %v", topic, got)
		}
	})
}

func FuzzSubTopicTokenise(f *testing.F) {
	for _, seed := range []string{"", "a", "/", "//", "a/b", "a//b", "/a/", "ü/€", "a\x00b", "\xff", strings.Repeat("x/", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		levels, err := SubTopicTokenise(topic)
		if err != nil {
			if levels != nil || topic != "" && textFits(topic) {
				t.Fatalf("%q: %v, %v", topic, levels, err)
			}
			return
		}
		if joined := strings.Join(levels, "/"); joined != topic {
			t.Fatalf("%q became %q", topic, joined)
		}
	})
}

// textFits reports whether MQTT can carry the text.
func textFits(text string) bool {
	return len(text) <= maxText && utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

func FuzzValidateUTF8(f *testing.F) {
	for _, seed := range []string{"", "a", "ü", "€", "𝄞", "\x00", "\x01", "\x7f", "\u0085", "\ufffe", "\ufdd0", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		ok := ValidateUTF8(text) == nil
		want := utf8.Valid(text) && len(text) <= maxText+1 && !bytes.ContainsFunc(text, discouraged)
		if ok != want {
			t.Fatalf("%q: %v", text, ok)
		}
	})
}

// FuzzProperties checks arbitrary properties with the library. It must not crash, and
// must not accept a property that is not allowed.
func FuzzProperties(f *testing.F) {
	for _, row := range mqtt5 {
		f.Add(int(row.id), int(row.commands[0]), uint32(1), "name", "text", []byte{0, 1})
	}
	f.Add(0, 0x30, uint32(0), "", "", []byte(nil))
	f.Add(38, 0x30, uint32(0), "", "", []byte(nil))
	f.Add(3, 0x30, uint32(0), "", "\x00", []byte(nil))
	f.Add(3, 0x30, uint32(0), "", "\x01", []byte(nil))
	f.Add(11, 0x80, uint32(1<<28), "", "", []byte(nil))
	f.Add(9, 0x100, uint32(0), "", "", make([]byte, 65536))
	f.Add(-1, -1, uint32(1<<32-1), "\xff", "\xff", []byte{255})
	f.Add(300, 0x1000, uint32(0), "a", "b", []byte{})
	f.Fuzz(func(t *testing.T, id, command int, number uint32, name, text string, data []byte) {
		p := Property{ID: PropertyID(id), Number: number, Name: name, Text: text, Data: data}
		single := PropertyCheckAll(Command(command), Properties{p})
		if single == nil && PropertyCheckCommand(Command(command), p.ID) != nil {
			t.Fatalf("%+v is not allowed in command %#x", p, command)
		}
		many := Properties{p, p, {ID: PropUserProperty, Name: name, Text: text}, p}
		if err := PropertyCheckAll(Command(command), many); err == nil && p.ID != PropUserProperty {
			t.Fatalf("%+v three times", p)
		}
		if p.ID.Type() == 0 && single == nil {
			t.Fatalf("there is no property %d", id)
		}
	})
}

func FuzzStringToPropertyInfo(f *testing.F) {
	for _, row := range mqtt5 {
		f.Add(row.name)
	}
	for _, seed := range []string{"", "CONTENT-TYPE", "content-type ", "content-type\x00x", "\xff", strings.Repeat("-", 70000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		id, kind, err := StringToPropertyInfo(name)
		if err != nil {
			if id != 0 || kind != 0 {
				t.Fatalf("%q: %v %v %v", name, id, kind, err)
			}
			return
		}
		if !strings.EqualFold(id.String(), name) || id.Type() != kind || kind == 0 {
			t.Fatalf("%q: %v %v", name, id, kind)
		}
	})
}

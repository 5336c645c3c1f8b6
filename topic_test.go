package mosquitto

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTopicMatchesSub_FollowsMQTT(t *testing.T) {
	for _, row := range []struct {
		sub, topic string
		yes        bool
	}{
		// MQTT 5, 4.7.1.2: the multi-level wildcard
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/#", "sport", true},
		{"#", "a", true},
		{"#", "/a/b", true},
		{"sport/tennis/#", "sport/golf", false},
		{"sport/#", "sports", false},
		// 4.7.1.3: the single-level wildcard
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player2", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+", "a", true},
		{"+/tennis/#", "sport/tennis/x/y", true},
		{"sport/+/player1", "sport/tennis/player1", true},
		{"sport/+/player1", "sport/tennis/player2", false},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"+/+", "/", true},
		{"+/+", "a", false},
		{"a/+/#", "a/b", true},
		{"a/+/#", "a", false},
		// 4.7.2: topics that begin with $
		{"#", "$SYS/uptime", false},
		{"+/uptime", "$SYS/uptime", false},
		{"$SYS/#", "$SYS/uptime", true},
		{"$SYS/#", "$SYS", true},
		{"$SYS/+", "$SYS/uptime", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		{"a/$b", "a/$b", true},
		{"a/#", "a/$b", true},
		// 4.7.3: no normalisation
		{"ACCOUNTS", "Accounts", false},
		{"/finance", "finance", false},
		{"finance/", "finance", false},
		{"Accounts payable", "Accounts payable", true},
		{"a//b", "a//b", true},
		{"a/+/b", "a//b", true},
		{"ü/ö", "ü/ö", true},
		{"ü/+", "ü/€", true},
		// a shared subscription is resolved by the broker; here it is an ordinary filter
		{"$share/group/a", "a", false},
		{"$share/group/a", "$share/group/a", true},
	} {
		yes, err := TopicMatchesSub(row.sub, row.topic)
		require.NoError(t, err, "%q, %q", row.sub, row.topic)
		require.Equal(t, row.yes, yes, "%q, %q", row.sub, row.topic)
		yes, err = TopicMatchesSub2([]byte(row.sub), []byte(row.topic))
		require.NoError(t, err, "%q, %q", row.sub, row.topic)
		require.Equal(t, row.yes, yes, "%q, %q", row.sub, row.topic)
	}
}

func TestTopicMatchesSub_BadArgumentsReturnErrors(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for _, row := range []struct {
		sub, topic string
		code       Error
		text       string
	}{
		{"", "a", ErrInval, ""}, {"a", "", ErrInval, ""},
		{"a#", "ab", ErrInval, ""}, {"#/a", "b", ErrInval, ""}, {"+a", "b", ErrInval, ""}, {"a/+", "a/#", ErrInval, ""},
		{"a\x00", "a", ErrInval, "sub: contains a NUL"}, {"a", "a\x00b", ErrInval, "topic: contains a NUL"},
		{"\xff", "a", ErrMalformedUTF8, "sub: not valid UTF-8"}, {"a", "\xff", ErrMalformedUTF8, "topic: not valid UTF-8"},
		{long, "a", ErrInval, "sub: 65536 bytes"}, {"a", long, ErrInval, "topic: 65536 bytes"},
	} {
		yes, err := TopicMatchesSub(row.sub, row.topic)
		require.ErrorIs(t, err, row.code, "%.20q, %.20q", row.sub, row.topic)
		require.ErrorContains(t, err, "topic_matches_sub: "+row.text)
		require.False(t, yes)
		yes, err = TopicMatchesSub2([]byte(row.sub), []byte(row.topic))
		require.ErrorIs(t, err, row.code, "%.20q, %.20q", row.sub, row.topic)
		require.ErrorContains(t, err, "topic_matches_sub2: "+row.text)
		require.False(t, yes)
	}
}

// The slices are parts of a longer text. libmosquitto 2.0.11 would read on to its NUL.
func TestTopicMatchesSub2_ReadsOnlyTheSlice(t *testing.T) {
	text := []byte("a/b/c/d")
	yes, err := TopicMatchesSub2(text[:3], text[:3])
	require.NoError(t, err)
	require.True(t, yes)
	yes, err = TopicMatchesSub2(text[:3], text[:5])
	require.NoError(t, err)
	require.False(t, yes)
	yes, err = TopicMatchesSub2([]byte("a/#xxx")[:3], text[:4])
	require.NoError(t, err)
	require.True(t, yes)
	_, err = TopicMatchesSub2(nil, nil)
	require.ErrorIs(t, err, ErrInval)
}

func TestTopicPatterns_InsertClientIDAndUsername(t *testing.T) {
	for _, row := range []struct {
		sub, topic, id, user string
		yes                  bool
	}{
		{"a/%c/b", "a/me/b", "me", "", true},
		{"a/%c/b", "a/me/b", "you", "", false},
		{"a/%u/#", "a/joe/b/c", "", "joe", true},
		{"a/%u", "a/joe", "", "", false},
		{"%c/%u", "me/joe", "me", "joe", true},
	} {
		yes, err := TopicMatchesSubWithPattern(row.sub, row.topic, row.id, row.user)
		acl, aclErr := SubMatchesACLWithPattern(row.sub, row.topic, row.id, row.user)
		if !has21 {
			require.ErrorIs(t, err, ErrNotSupported)
			require.ErrorContains(t, err, "topic_matches_sub_with_pattern")
			require.ErrorIs(t, aclErr, ErrNotSupported)
			require.ErrorContains(t, aclErr, "sub_matches_acl_with_pattern")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, row.yes, yes, "%+v", row)
		require.NoError(t, aclErr)
		require.Equal(t, row.yes, acl, "%+v", row)
	}
}

func TestSubMatchesACL_FollowsMQTT(t *testing.T) {
	for _, row := range []struct {
		acl, sub string
		yes      bool
	}{
		{"a/#", "a/+", true}, {"a/#", "a/b/#", true}, {"a/+", "a/#", false}, {"a/+", "a/b", true},
		{"a/b", "a/+", false}, {"#", "a/#", true}, {"#", "$SYS/#", false}, {"a/#", "b", false},
	} {
		yes, err := SubMatchesACL(row.acl, row.sub)
		if !has21 {
			require.ErrorIs(t, err, ErrNotSupported)
			require.ErrorContains(t, err, "sub_matches_acl")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, row.yes, yes, "%+v", row)
	}
	_, err := SubMatchesACL("a\x00", "a")
	require.ErrorIs(t, err, ErrInval)
	require.ErrorContains(t, err, "acl: ")
}

func TestTopicPatterns_BadArgumentsReturnErrors(t *testing.T) {
	for text, code := range map[string]Error{"a\x00": ErrInval, "\xff": ErrMalformedUTF8} {
		arguments := [4]string{"a", "a", "a", "a"}
		for i := range arguments {
			a := arguments
			a[i] = text
			_, err := TopicMatchesSubWithPattern(a[0], a[1], a[2], a[3])
			require.ErrorIs(t, err, code)
			require.ErrorContains(t, err, [...]string{"sub: ", "topic: ", "clientID: ", "username: "}[i])
			_, err = SubMatchesACLWithPattern(a[0], a[1], a[2], a[3])
			require.ErrorIs(t, err, code)
			require.ErrorContains(t, err, [...]string{"acl: ", "sub: ", "clientID: ", "username: "}[i])
		}
		_, err := SubMatchesACL("a", text)
		require.ErrorIs(t, err, code)
		require.ErrorContains(t, err, "sub: ")
	}
}

func TestTopicCheck_RefusesInvalidTopics(t *testing.T) {
	longest := strings.Repeat("x", maxText)
	for _, row := range []struct {
		text     string
		pub, sub error
	}{
		{"a", nil, nil}, {"/", nil, nil}, {"a//b", nil, nil}, {"ü", nil, nil}, {"$SYS/x", nil, nil}, {longest, nil, nil},
		{"#", ErrInval, nil}, {"+", ErrInval, nil}, {"a/+/b", ErrInval, nil}, {"a/#", ErrInval, nil}, {"+/+/#", ErrInval, nil},
		{"a+", ErrInval, ErrInval}, {"+a", ErrInval, ErrInval}, {"a#", ErrInval, ErrInval}, {"#/a", ErrInval, ErrInval},
		{"", ErrInval, ErrInval}, {"a\x00b", ErrInval, ErrInval}, {longest + "x", ErrInval, ErrInval},
		{"\xff", ErrMalformedUTF8, ErrMalformedUTF8},
	} {
		check := func(want, got error, op string) {
			if want == nil {
				require.NoError(t, got, "%.20q", row.text)
				return
			}
			require.ErrorIs(t, got, want, "%.20q", row.text)
			require.ErrorContains(t, got, "mosquitto: "+op+": ")
		}
		check(row.pub, PubTopicCheck(row.text), "pub_topic_check")
		check(row.pub, PubTopicCheck2([]byte(row.text)), "pub_topic_check2")
		check(row.sub, SubTopicCheck(row.text), "sub_topic_check")
		check(row.sub, SubTopicCheck2([]byte(row.text)), "sub_topic_check2")
	}
	require.NoError(t, SubTopicCheck2([]byte("a/#/b")[:3]), "only the slice is checked")
	deep := strings.Repeat("/", 201)
	if has21 {
		require.ErrorIs(t, PubTopicCheck(deep), ErrInval)
		require.ErrorIs(t, SubTopicCheck(deep), ErrInval)
	} else {
		require.NoError(t, PubTopicCheck(deep))
		require.NoError(t, SubTopicCheck(deep))
	}
}

func TestSubTopicTokenise_ReturnsTheLevels(t *testing.T) {
	for topic, levels := range map[string][]string{
		"a":             {"a"},
		"a/b/c":         {"a", "b", "c"},
		"/a":            {"", "a"},
		"a/":            {"a", ""},
		"/":             {"", ""},
		"a//b":          {"a", "", "b"},
		"deep/path/#":   {"deep", "path", "#"},
		"$share/g/+/ü/": {"$share", "g", "+", "ü", ""},
	} {
		got, err := SubTopicTokenise(topic)
		require.NoError(t, err)
		require.Equal(t, levels, got)
	}
	for text, code := range map[string]Error{"": ErrInval, "a\x00": ErrInval, "\xff": ErrMalformedUTF8, strings.Repeat("/", maxText+1): ErrInval} {
		levels, err := SubTopicTokenise(text)
		require.ErrorIs(t, err, code)
		require.ErrorContains(t, err, "sub_topic_tokenise: topic: ")
		require.Nil(t, levels)
	}
}

func TestValidateUTF8_RefusesInvalidText(t *testing.T) {
	for _, text := range []string{"", "a", "ü", "€", "𝄞", "\U0010fffd", strings.Repeat("x", 65536)} {
		require.NoError(t, ValidateUTF8([]byte(text)), "%.20q", text)
	}
	for _, text := range []string{
		"\x00", "a\x00b", "\xff", "\xc0\x80", "\xc3", "\xe2\x82", "\xf0\x9d\x84", "\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\x01", "\x1f", "\x7f", "\u0080", "\u009f", "\ufdd0", "\ufffe", "\uffff", "\U0001fffe",
	} {
		err := ValidateUTF8([]byte(text))
		require.ErrorIs(t, err, ErrMalformedUTF8, "%q", text)
		require.ErrorContains(t, err, "validate_utf8")
	}
	err := ValidateUTF8(make([]byte, 65537))
	require.ErrorIs(t, err, ErrInval)
	require.ErrorContains(t, err, "text: 65537 bytes")
}

func TestStringToCommand_ReturnsTheCommand(t *testing.T) {
	for name, command := range map[string]Command{
		"connect": CmdConnect, "connack": CmdConnack, "publish": CmdPublish, "puback": CmdPuback, "pubrec": CmdPubrec,
		"pubrel": CmdPubrel, "pubcomp": CmdPubcomp, "subscribe": CmdSubscribe, "unsubscribe": CmdUnsubscribe,
		"disconnect": CmdDisconnect, "auth": CmdAuth, "will": CmdWill, "PUBLISH": CmdPublish,
	} {
		got, err := StringToCommand(name)
		require.NoError(t, err, name)
		require.Equal(t, command, got, name)
	}
	for name, code := range map[string]Error{"": ErrInval, "pingreq": ErrInval, "publish ": ErrInval, "will\x00": ErrInval, "\xff": ErrMalformedUTF8} {
		command, err := StringToCommand(name)
		require.ErrorIs(t, err, code)
		require.ErrorContains(t, err, "string_to_command: name: ")
		require.Zero(t, command)
	}
	require.EqualValues(t, 0x10, CmdConnect)
	require.EqualValues(t, 0xF0, CmdAuth)
	require.EqualValues(t, 0x100, CmdWill)
}

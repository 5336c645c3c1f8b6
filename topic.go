//go:build cgo

package mosquitto

// Helpers without a client: safe in any goroutine and in any callback.

// TopicMatchesSub wraps mosquitto_topic_matches_sub: it reports whether a message on
// topic matches the subscription sub. The error wraps [ErrInval] if the filter or the
// topic is invalid.
func TopicMatchesSub(sub, topic string) (bool, error) {
	const op = "topic_matches_sub"
	if err := checkPair(op, "sub", sub, "topic", topic); err != nil {
		return false, err
	}
	rc, yes := cTopicMatchesSub(sub, topic)
	return yes, libError(op, result{rc: rc})
}

// TopicMatchesSub2 wraps mosquitto_topic_matches_sub2: it is [TopicMatchesSub] for byte
// slices. It respects the lengths with every version of the library.
func TopicMatchesSub2(sub, topic []byte) (bool, error) {
	const op = "topic_matches_sub2"
	if err := checkPair(op, "sub", string(sub), "topic", string(topic)); err != nil {
		return false, err
	}
	rc, yes := cTopicMatchesSub2(sub, topic)
	return yes, libError(op, result{rc: rc})
}

// TopicMatchesSubWithPattern wraps mosquitto_topic_matches_sub_with_pattern: it is
// [TopicMatchesSub] with patterns in sub. A level %c stands for clientID, and a level
// %u for username. The pattern of an empty string matches nothing.
// TopicMatchesSubWithPattern returns [ErrNotSupported] before 2.1.
func TopicMatchesSubWithPattern(sub, topic, clientID, username string) (bool, error) {
	const op = "topic_matches_sub_with_pattern"
	if err := checkPair(op, "sub", sub, "topic", topic); err != nil {
		return false, err
	}
	if err := checkPair(op, "clientID", clientID, "username", username); err != nil {
		return false, err
	}
	rc, yes := cTopicMatchesSubWithPattern(sub, topic, clientID, username)
	return yes, libError(op, result{rc: rc})
}

// SubMatchesACL wraps mosquitto_sub_matches_acl: it reports whether the filter acl
// allows every topic that the filter sub can match. It returns [ErrNotSupported] before
// 2.1.
func SubMatchesACL(acl, sub string) (bool, error) {
	const op = "sub_matches_acl"
	if err := checkPair(op, "acl", acl, "sub", sub); err != nil {
		return false, err
	}
	rc, yes := cSubMatchesACL(acl, sub)
	return yes, libError(op, result{rc: rc})
}

// SubMatchesACLWithPattern wraps mosquitto_sub_matches_acl_with_pattern: it is
// [SubMatchesACL] with the patterns of [TopicMatchesSubWithPattern] in acl. It returns
// [ErrNotSupported] before 2.1.
func SubMatchesACLWithPattern(acl, sub, clientID, username string) (bool, error) {
	const op = "sub_matches_acl_with_pattern"
	if err := checkPair(op, "acl", acl, "sub", sub); err != nil {
		return false, err
	}
	if err := checkPair(op, "clientID", clientID, "username", username); err != nil {
		return false, err
	}
	rc, yes := cSubMatchesACLWithPattern(acl, sub, clientID, username)
	return yes, libError(op, result{rc: rc})
}

// PubTopicCheck wraps mosquitto_pub_topic_check: it returns nil if topic is valid in a
// PUBLISH. It refuses the empty topic with every version of the library.
func PubTopicCheck(topic string) error {
	const op = "pub_topic_check"
	if err := checkName(op, "topic", topic); err != nil {
		return err
	}
	return libError(op, result{rc: cPubTopicCheck(topic)})
}

// PubTopicCheck2 wraps mosquitto_pub_topic_check2: it is [PubTopicCheck] for a byte slice.
func PubTopicCheck2(topic []byte) error {
	const op = "pub_topic_check2"
	if err := checkName(op, "topic", string(topic)); err != nil {
		return err
	}
	return libError(op, result{rc: cPubTopicCheck2(topic)})
}

// SubTopicCheck wraps mosquitto_sub_topic_check: it returns nil if filter is valid in a
// SUBSCRIBE. It refuses the empty filter with every version of the library.
func SubTopicCheck(filter string) error {
	const op = "sub_topic_check"
	if err := checkName(op, "filter", filter); err != nil {
		return err
	}
	return libError(op, result{rc: cSubTopicCheck(filter)})
}

// SubTopicCheck2 wraps mosquitto_sub_topic_check2: it is [SubTopicCheck] for a byte slice.
func SubTopicCheck2(filter []byte) error {
	const op = "sub_topic_check2"
	if err := checkName(op, "filter", string(filter)); err != nil {
		return err
	}
	return libError(op, result{rc: cSubTopicCheck2(filter)})
}

// SubTopicTokenise wraps mosquitto_sub_topic_tokenise: it returns the levels of a topic
// or filter. An empty level is "". There is nothing to free: SubTopicTokenise calls
// mosquitto_sub_topic_tokens_free.
func SubTopicTokenise(topic string) ([]string, error) {
	const op = "sub_topic_tokenise"
	if err := checkName(op, "topic", topic); err != nil {
		return nil, err
	}
	rc, levels := cSubTopicTokenise(topic)
	return levels, libError(op, result{rc: rc})
}

// ValidateUTF8 wraps mosquitto_validate_utf8: it returns nil if an MQTT packet may
// contain the text. Otherwise the error wraps [ErrMalformedUTF8], also for the control
// characters and non-characters that MQTT advises against, or [ErrInval] for more than
// 65,536 bytes.
func ValidateUTF8(text []byte) error {
	const op = "validate_utf8"
	if len(text) > maxText+1 {
		return badArgument(op, ErrInval, "text: %d bytes, more than %d", len(text), maxText+1)
	}
	return libError(op, result{rc: cValidateUTF8(text)})
}

// Command is the first byte of an MQTT packet, without flags. [CmdWill] stands for the
// properties of a will.
type Command int

// The MQTT packets.
const (
	CmdConnect     Command = cCmdConnect
	CmdConnack     Command = cCmdConnack
	CmdPublish     Command = cCmdPublish
	CmdPuback      Command = cCmdPuback
	CmdPubrec      Command = cCmdPubrec
	CmdPubrel      Command = cCmdPubrel
	CmdPubcomp     Command = cCmdPubcomp
	CmdSubscribe   Command = cCmdSubscribe
	CmdSuback      Command = cCmdSuback
	CmdUnsubscribe Command = cCmdUnsubscribe
	CmdUnsuback    Command = cCmdUnsuback
	CmdPingreq     Command = cCmdPingreq
	CmdPingresp    Command = cCmdPingresp
	CmdDisconnect  Command = cCmdDisconnect
	CmdAuth        Command = cCmdAuth
	CmdWill        Command = cCmdWill
)

// StringToCommand wraps mosquitto_string_to_command: it returns the packet with this
// name, for example "publish" or "will". The library does not know "suback",
// "unsuback", "pingreq" and "pingresp".
func StringToCommand(name string) (Command, error) {
	const op = "string_to_command"
	if err := checkText(op, "name", name); err != nil {
		return 0, err
	}
	command := cStringToCommand(name)
	if command < 0 {
		return 0, badArgument(op, ErrInval, "name: no packet is called %q", name)
	}
	return Command(command), nil
}

func checkPair(op, nameA, a, nameB, b string) error {
	if err := checkText(op, nameA, a); err != nil {
		return err
	}
	return checkText(op, nameB, b)
}

// checkName is checkText for a text that must not be empty.
func checkName(op, argument, text string) error {
	if text == "" {
		return badArgument(op, ErrInval, "%s: empty", argument)
	}
	return checkText(op, argument, text)
}

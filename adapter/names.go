package adapter

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// maxTopicName is the longest name that Kafka allows a topic.
const maxTopicName = 249

// DeadLetterTopic is the name of a group's dead-letter topic for a topic:
// <topic>.<group>.dlt. It is the group's own, because what one group cannot
// process another can.
//
// In the group's part, dots and what a topic's name cannot have are escaped as
// _xx, the byte in hexadecimal, and so is the underscore itself: no two pairs
// of topic and group share a name. A name longer than Kafka's 249 bytes is cut
// and ends in a hash of the whole.
func DeadLetterTopic(topic, group string) string { return ownTopic(topic, group, "dlt") }

func ownTopic(topic, group, kind string) string {
	name := topic + "." + escapeGroup(group) + "." + kind
	if len(name) <= maxTopicName {
		return name
	}
	hash := fmt.Sprintf("-%x", sha256.Sum256([]byte(name)))[:17]
	return name[:maxTopicName-len(hash)] + hash
}

func escapeGroup(group string) string {
	var b strings.Builder
	for i := range len(group) {
		c := group[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

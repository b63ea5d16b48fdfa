package adapter

import (
	"crypto/sha256"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// maxTopicName is the longest name that Kafka allows a topic.
	maxTopicName = 249
	// maxGroupName is the longest name of a group that is accepted: the protocol's
	// strings have 32767 bytes at most, and there are names that begin with a group's,
	// such as RetryGroup's, and transactional ids.
	maxGroupName = math.MaxInt16 - 127
	// ownHash is how long the hash of a cut name is, with a hyphen.
	ownHash = 17
)

// DeadLetterTopic is the name of a group's dead-letter topic for a topic:
// <topic>.<group>.dlt. It is the group's own, because what one group cannot
// process another can.
//
// In the group's part, dots and what a topic's name cannot have are escaped as
// _xx, the byte in hexadecimal, and so is the underscore itself: no two pairs
// of topic and group share a name. A name longer than Kafka's 249 bytes is cut
// and ends in a hash of the whole.
func DeadLetterTopic(topic, group string) string { return ownTopicName(topic, group, "dlt") }

// RetryTopic is the name of a group's retry topic for a topic and a delay:
// <topic>.<group>.retry.<delay>, where the delay is written without what is
// zero in it, as in 250ms, 10s, 10m, 1h or 1h30m. A delay below zero counts as
// zero. The rest is as for DeadLetterTopic.
func RetryTopic(topic, group string, delay time.Duration) string {
	return ownTopicName(topic, group, "retry."+delayText(delay))
}

// RedriveTopic is the name of the topic by which a group's dead letters of a
// topic come back to it: <topic>.<group>.redrive. The rest is as for
// DeadLetterTopic.
func RedriveTopic(topic, group string) string { return ownTopicName(topic, group, "redrive") }

// RetryGroup is the name of the consumer group by which the members of a share group
// consume its retry and redrive topics: <group>.retry. A share group cannot wait until
// a record is due.
func RetryGroup(group string) string { return group + ".retry" }

// ownTopicName is unambiguous: what follows the last dots tells the kind, an
// escaped group has no dot, and a cut name ends as no kind does.
func ownTopicName(topic, group, kind string) string {
	name := topic + "." + escapeGroup(group) + "." + kind
	if len(name) <= maxTopicName {
		return name
	}
	hash := fmt.Sprintf("-%x", sha256.Sum256([]byte(name)))[:ownHash]
	return name[:maxTopicName-ownHash] + hash
}

func escapeGroup(group string) string {
	var b strings.Builder
	for i := range len(group) {
		if c := group[i]; c == '.' || c == '_' || notInTopicName(rune(c)) {
			fmt.Fprintf(&b, "_%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// isTopicName reports whether Kafka allows a topic to have a name.
func isTopicName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) <= maxTopicName && !strings.ContainsFunc(s, notInTopicName)
}

// notInTopicName reports whether a topic's name cannot have a character.
func notInTopicName(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-", c)
}

// delayText writes a delay in whole units: time.Duration's own text may have a
// dot or a µ, and has units that are zero.
func delayText(d time.Duration) string {
	var text []byte
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{
		{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"},
		{time.Millisecond, "ms"}, {time.Microsecond, "us"}, {time.Nanosecond, "ns"},
	} {
		if n := d / unit.of; n > 0 {
			text = append(strconv.AppendInt(text, int64(n), 10), unit.name...)
			d -= n * unit.of
		}
	}
	if text == nil {
		return "0s"
	}
	return string(text)
}

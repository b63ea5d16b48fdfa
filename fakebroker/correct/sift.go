package correct

import (
	"slices"

	"example.com/kafkatest/fakebroker/wire"
)

// sifted is the key of what was wrong with the parts of a request: a message
// each, empty for those that the broker has been asked about.
type sifted struct{}

// sift takes out of a request the parts that Kafka refuses, and remembers why
// for join. It returns the others.
func sift[V any](x *wire.Exchange, parts []V, wrong func(V) string) []V {
	messages := make([]string, len(parts))
	good := make([]V, 0, len(parts))
	for i, p := range parts {
		if messages[i] = wrong(p); messages[i] == "" {
			good = append(good, p)
		}
	}
	if len(good) < len(parts) {
		x.Keep(sifted{}, messages)
	}
	return good
}

// join puts the answers of the broker and those of parts that were taken out in
// the order of the request. refusal makes one of the latter; at is its place.
func join[V any](x *wire.Exchange, answers []V, refusal func(at int, message string) V) ([]V, bool) {
	messages, ok := x.Kept(sifted{}).([]string)
	if !ok {
		return answers, false
	}
	for i, m := range messages {
		if m != "" {
			answers = slices.Insert(answers, min(i, len(answers)), refusal(i, m))
		}
	}
	return answers, true
}

package fakebroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/correct"
)

// Topic is a topic to create, or one that exists.
type Topic struct {
	Name       string
	Partitions int32             // zero means 1, or as many as Config.DataDir has of a topic
	Configs    map[string]string // by their Kafka names, such as "cleanup.policy"; what is absent has its default
}

// Errors that callers tell apart with errors.Is.
var (
	ErrTopicExists  = errors.New("topic exists")
	ErrInvalidTopic = errors.New("invalid topic")
	ErrUnknownTopic = errors.New("unknown topic")
)

const (
	maxTopicName  = 249 // Kafka's, so that a partition's folder stays below 255 bytes
	maxPartitions = 10_000
)

// ParseTopic reads NAME or NAME:PARTITIONS and checks the name by Kafka's rules.
// NAME alone has zero partitions: see [Topic].
// An error wraps [ErrInvalidTopic].
func ParseTopic(s string) (Topic, error) {
	t := Topic{Name: s}
	if name, parts, ok := strings.Cut(s, ":"); ok {
		n, err := strconv.ParseInt(parts, 10, 32)
		if err != nil || n < 1 {
			return Topic{}, fmt.Errorf("%w: %q: partitions are a number from 1; use NAME or NAME:PARTITIONS", ErrInvalidTopic, s)
		}
		t = Topic{Name: name, Partitions: int32(n)}
	}
	if err := t.check(); err != nil {
		return Topic{}, err
	}
	return t, nil
}

// check holds the topic to Kafka's rules of names and configurations and to a
// number of partitions that a process can have.
func (t Topic) check() error {
	valid := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
	}
	switch {
	case t.Name == "":
		return fmt.Errorf("%w: the name is empty", ErrInvalidTopic)
	case t.Name == "." || t.Name == "..":
		return fmt.Errorf("%w: %q cannot be a name", ErrInvalidTopic, t.Name)
	case len(t.Name) > maxTopicName:
		return fmt.Errorf("%w: %q has %d characters, of %d allowed", ErrInvalidTopic, t.Name, len(t.Name), maxTopicName)
	case strings.ContainsFunc(t.Name, func(r rune) bool { return !valid(r) }):
		return fmt.Errorf("%w: %q: use letters, digits, '.', '_' and '-' only", ErrInvalidTopic, t.Name)
	case t.Partitions < 0 || t.Partitions > maxPartitions:
		return fmt.Errorf("%w: %q with %d partitions; use 1 to %d", ErrInvalidTopic, t.Name, t.Partitions, maxPartitions)
	}
	if _, err := correct.TopicConfigs(t.Configs); err != nil {
		return fmt.Errorf("%w: %q: %w", ErrInvalidTopic, t.Name, err)
	}
	return nil
}

// CreateTopic creates a topic, replicated to up to three brokers, which its
// leaders are spread over. An error wraps [ErrTopicExists], [ErrInvalidTopic]
// (also when the name differs from another topic's in '.' and '_' only, or Kafka
// refuses a configuration), or [ErrClosed]. It is safe for concurrent use.
func (b *Broker) CreateTopic(t Topic) error {
	if err := t.check(); err != nil {
		return err
	}
	configs, _ := correct.TopicConfigs(t.Configs) // checked just now
	err := correct.Make(corrected{b}, t.Name, max(t.Partitions, 1), func(partitions int32) error {
		return b.do(func() error { return b.cluster.CreateTopic(t.Name, partitions, configs) })
	})
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists):
		return fmt.Errorf("%w: %s", ErrTopicExists, t.Name)
	case errors.Is(err, kerr.InvalidTopicException):
		return fmt.Errorf("%w: %q collides with another topic, '.' and '_' count as the same", ErrInvalidTopic, t.Name)
	case err != nil:
		return fmt.Errorf("creating topic %s: %w", t.Name, err)
	}
	correct.Look(corrected{b}, t.Name)
	b.moveLeaders() // away from brokers that are down
	return nil
}

// DeleteTopic deletes a topic with its records and the offsets that groups have
// committed in it. An error wraps [ErrUnknownTopic] or [ErrClosed]. It is safe
// for concurrent use.
func (b *Broker) DeleteTopic(name string) error {
	was, _ := corrected{b}.Topic(name)
	err := b.do(func() error { return b.cluster.DeleteTopic(name) })
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return unknownTopic(name)
	}
	if err == nil {
		correct.Forget(corrected{b}, name, was.ID)
	}
	return err
}

// Topics returns the topics there are, sorted by name, without those that are
// internal (__consumer_offsets and the like); nil when the broker is closed. It is
// safe for concurrent use.
func (b *Broker) Topics() []Topic {
	var out []Topic
	for _, t := range b.topicNames() {
		if !correct.IsInternal(t) {
			out = append(out, b.topic(t))
		}
	}
	return out
}

func (b *Broker) topic(name string) Topic {
	t := Topic{Name: name}
	_ = b.do(func() error { // closed meanwhile: the name is all that is known
		t.Partitions = int32(len(b.cluster.PartitionInfos(name)))
		if info := b.cluster.TopicInfo(name); info != nil {
			for k, v := range info.Configs {
				if v == nil {
					continue
				}
				if t.Configs == nil {
					t.Configs = make(map[string]string)
				}
				t.Configs[k] = *v
			}
		}
		return nil
	})
	return t
}

// topicNames lists the topics; kfake has no call for it but the protocol's own.
func (b *Broker) topicNames() []string {
	const version = 9
	req := kmsg.NewPtrMetadataRequest()
	req.Version = version
	resp, err := b.ask(context.Background(), 0, own(req))
	if err != nil {
		return nil
	}
	var names []string
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		if t.Topic != nil {
			names = append(names, *t.Topic)
		}
	}
	slices.Sort(names)
	return names
}

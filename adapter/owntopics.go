package adapter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// minRetryRetention is the least time for which a retry topic keeps records,
// beyond the delay: Kafka's own default of retention.ms. A group that is down for
// that long loses nothing of it.
const minRetryRetention = 7 * 24 * time.Hour

// ownTopicsSpec says which topics of its own a group needs.
type ownTopicsSpec struct {
	group       string
	sources     []string        // the topics of the subscription
	tiers       []time.Duration // the delays of the retry topics
	deadLetters bool
	redrive     bool
	mayCreate   bool // else what is missing is an error
}

// check refuses topics that cannot work.
func (s ownTopicsSpec) check() error {
	bad := func(field, format string, args ...any) error {
		return &ConfigError{Field: "Subscription." + field, Problem: fmt.Sprintf(format, args...)}
	}
	for _, source := range s.sources {
		if !isTopicName(source) {
			return bad("Topics", "has %q: a topic's name is of letters, digits, dots, underscores and hyphens, at most %d of them", source, maxTopicName)
		}
	}
	for i, d := range s.tiers {
		switch {
		case d < time.Millisecond:
			return bad("Retry.Tiers", "has %v: give a millisecond or more", d)
		case d%time.Millisecond != 0:
			return bad("Retry.Tiers", "has %v: give whole milliseconds", d)
		case slices.Contains(s.tiers[:i], d):
			return bad("Retry.Tiers", "has %v twice: name each delay once", d)
		}
	}
	for _, t := range s.topics() {
		if !slices.Contains(s.sources, t.name) {
			continue
		}
		switch t.kind {
		case retryTopic:
			return bad("Retry.Tiers", "has %v, whose retry topic for %q is %q, a topic of the subscription", t.delay, t.source, t.name)
		case redriveTopic:
			return bad("Topics", "has %q, the redrive topic of %q: it is consumed with that", t.name, t.source)
		}
	}
	return nil
}

// ownKind is what a topic is for.
type ownKind int

const (
	sourceTopic ownKind = iota // a topic of the subscription
	retryTopic
	deadLetterTopic
	redriveTopic
)

// ownTopic is a topic of a group's: one of the adapter's, or a source itself.
type ownTopic struct {
	name   string
	source string
	kind   ownKind
	delay  time.Duration // of a retry topic
}

// topics are the adapter's.
func (s ownTopicsSpec) topics() []ownTopic {
	var ts []ownTopic
	for _, source := range s.sources {
		for _, d := range s.tiers {
			ts = append(ts, ownTopic{RetryTopic(source, s.group, d), source, retryTopic, d})
		}
		if s.deadLetters {
			ts = append(ts, ownTopic{DeadLetterTopic(source, s.group), source, deadLetterTopic, 0})
		}
		if s.redrive {
			ts = append(ts, ownTopic{RedriveTopic(source, s.group), source, redriveTopic, 0})
		}
	}
	return ts
}

func (s ownTopicsSpec) names() []string {
	var names []string
	for _, t := range s.topics() {
		names = append(names, t.name)
	}
	return names
}

// consumed are the topics that the group consumes, by name.
func (s ownTopicsSpec) consumed() map[string]ownTopic {
	ts := map[string]ownTopic{}
	for _, source := range s.sources {
		ts[source] = ownTopic{source, source, sourceTopic, 0}
	}
	for _, t := range s.topics() {
		if t.kind != deadLetterTopic {
			ts[t.name] = t
		}
	}
	return ts
}

// spec is the topic as it is made, for a source with these configurations.
func (t ownTopic) spec(source topicInfo, configs map[string]string) TopicSpec {
	spec := TopicSpec{
		Name: t.name, Partitions: int32(source.partitions), Replication: int16(source.replication),
		Configs: map[string]string{
			"cleanup.policy":    "delete",
			"max.message.bytes": strconv.Itoa(int(t.limit(configs))),
			"retention.bytes":   "-1",
			"retention.ms":      t.retention(configs),
		},
	}
	if t.kind == retryTopic {
		spec.Configs["message.timestamp.type"] = "LogAppendTime"
	}
	return spec
}

// limit is what the topic's max.message.bytes must be at least: every record of
// the source must fit, with what headers are added.
func (t ownTopic) limit(source map[string]string) int32 {
	return int32(min(int64(maxMessageBytes(source))+headerRoom, math.MaxInt32))
}

// retention is the retention.ms that the topic is made with.
//
// Dead letters are kept without a limit: they wait for somebody to look at
// them, and are the last that is left of a record. So is what was redriven, by
// which Redrive knows what it has taken back. What waits for an attempt is kept
// for as long as its source would have kept it, and for seven days at least,
// after it is due: an outage that does no harm to the source does none to its
// retries.
func (t ownTopic) retention(source map[string]string) string {
	if t.kind != retryTopic {
		return "-1"
	}
	keep := minRetryRetention.Milliseconds()
	if ms, ok := milliseconds(source["retention.ms"]); ok {
		if ms < 0 {
			return "-1"
		}
		keep = max(keep, ms)
	}
	// So far below the end of an int64 that it is no matter.
	keep = min(keep, math.MaxInt64/2) + t.delay.Milliseconds()
	return strconv.FormatInt(keep, 10)
}

// milliseconds reads a configuration. Below zero means without an end.
func milliseconds(s string) (int64, bool) {
	ms, err := strconv.ParseInt(s, 10, 64)
	return ms, err == nil
}

// verify holds a topic that was there to what it must be, by its configurations
// and those of its source and of its source's dead-letter topic.
func (t ownTopic) verify(have, source, letters map[string]string) error {
	mismatch := func(field, want string) error {
		return &TopicMismatchError{Topic: t.name, Field: field, Want: want, Have: have[field]}
	}
	if p, ok := have["cleanup.policy"]; ok && p != "delete" {
		return mismatch("cleanup.policy", "delete")
	}
	if n, ok := milliseconds(have["max.message.bytes"]); ok && n < int64(t.limit(source)) {
		return mismatch("max.message.bytes", fmt.Sprintf("%d or more, for the records of topic %q and %d bytes of headers", t.limit(source), t.source, headerRoom))
	}
	keep, finite := milliseconds(have["retention.ms"])
	finite = finite && keep >= 0
	switch t.kind {
	case retryTopic:
		if finite && keep <= t.delay.Milliseconds() {
			return fmt.Errorf("%w: %w",
				&ConfigError{Field: "Subscription.Retry.Tiers", Problem: fmt.Sprintf("has %v, and the topic for it does not keep records for that long", t.delay)},
				mismatch("retention.ms", fmt.Sprintf("longer than the delay, %v", t.delay)))
		}
		if p, ok := have["message.timestamp.type"]; ok && p != "LogAppendTime" {
			return mismatch("message.timestamp.type", "LogAppendTime")
		}
	case redriveTopic:
		if ms, ok := milliseconds(letters["retention.ms"]); ok && finite && (ms < 0 || ms > keep) {
			return mismatch("retention.ms", fmt.Sprintf("%d, as the dead-letter topic has, or longer: what was redriven is known by it", ms))
		}
	}
	return nil
}

// ensureOwnTopics creates those that are missing, and verifies those that exist:
// every record of the source must fit, and keep its partition, and none may go
// before its time. A source that is missing is an UnknownTopicError.
func (a *Adapter) ensureOwnTopics(ctx context.Context, s ownTopicsSpec) error {
	topics := s.topics()
	existing, err := a.describe(ctx, slices.Concat(s.sources, s.names())...)
	if err != nil {
		return err
	}
	infos := map[string]topicInfo{}
	for _, t := range s.sources {
		info, ok := existing[t]
		if !ok {
			return &UnknownTopicError{Topic: t, Err: errNoSuchTopic}
		}
		infos[t] = info
	}
	// A topic made just now may not show its partitions yet, and those made
	// for it must have as many.
	if slices.ContainsFunc(s.sources, func(t string) bool { return infos[t].partitions == 0 }) {
		if infos, err = a.awaitUsable(ctx, s.sources...); err != nil {
			return err
		}
	}
	if len(topics) == 0 {
		return nil
	}
	var found, asked []string
	for _, t := range topics {
		if _, ok := existing[t.name]; ok {
			found = append(found, t.name)
		}
		if letters := DeadLetterTopic(t.source, s.group); t.kind == redriveTopic && !s.deadLetters {
			asked = append(asked, letters)
		}
	}
	asked = slices.Concat(s.sources, found, asked)
	configs, err := a.configsOf(ctx, asked, ownConfigs...)
	if err != nil {
		a.cfg.Logger.Warn("cannot read the configurations of topics: those of this group are held to the broker's defaults", "group", s.group, "error", err)
		configs = map[string]topicConfigs{}
	}
	for _, source := range s.sources {
		if err := configs[source].err; err != nil {
			a.cfg.Logger.Warn("cannot read the configuration of a topic: those made for it are held to the broker's defaults", "topic", source, "error", err)
		}
	}
	var missing []TopicSpec
	for _, t := range topics {
		source := configs[t.source].values
		a.limits.set(t.name, t.limit(source))
		if _, ok := existing[t.name]; !ok {
			missing = append(missing, t.spec(infos[t.source], source))
		}
	}
	have := existing
	if len(missing) > 0 {
		raced, err := a.createOwnTopics(ctx, s, missing)
		if err != nil {
			return err
		}
		if len(raced) > 0 {
			others, err := a.configsOf(ctx, raced, ownConfigs...)
			if err != nil {
				return err
			}
			maps.Copy(configs, others)
			found = append(found, raced...)
		}
	}
	// What was created just now is as it was asked for, and whoever publishes to it
	// or consumes it tries until brokers know it.
	if slices.ContainsFunc(found, func(t string) bool { return !have[t].usable }) {
		if have, err = a.awaitUsable(ctx, found...); err != nil {
			return err
		}
	}
	for _, t := range topics {
		if !slices.Contains(found, t.name) {
			continue
		}
		if want, n := infos[t.source].partitions, have[t.name].partitions; n < want {
			return &TopicMismatchError{Topic: t.name, Field: "partitions", Have: strconv.Itoa(n),
				Want: fmt.Sprintf("%d or more, as topic %q has", want, t.source)}
		}
		if err := configs[t.name].err; err != nil {
			a.cfg.Logger.Warn("cannot verify a topic", "topic", t.name, "error", err)
			continue
		}
		letters := configs[DeadLetterTopic(t.source, s.group)].values
		if err := t.verify(configs[t.name].values, configs[t.source].values, letters); err != nil {
			return err
		}
	}
	return nil
}

// ownConfigs are the configurations that are read of sources and of what is
// made for them.
var ownConfigs = []string{"cleanup.policy", "max.message.bytes", "message.timestamp.type", "retention.ms"}

// createOwnTopics creates topics, and names those that somebody else made in
// the meantime.
func (a *Adapter) createOwnTopics(ctx context.Context, s ownTopicsSpec, missing []TopicSpec) (raced []string, err error) {
	if !s.mayCreate {
		return nil, &MissingTopicsError{Topics: missing}
	}
	refusals, err := a.createTopics(ctx, missing...)
	if err != nil {
		return nil, err
	}
	var forbidden []TopicSpec
	var why, other error
	for _, spec := range missing {
		err := refusals[spec.Name]
		switch {
		case err == nil:
		case errors.Is(err, kerr.TopicAlreadyExists):
			raced = append(raced, spec.Name)
		case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed), errors.Is(err, kerr.PolicyViolation):
			forbidden, why = append(forbidden, spec), err
		case other == nil:
			other = fmt.Errorf("create topic %q: %w", spec.Name, err)
		}
	}
	if forbidden != nil {
		return nil, &MissingTopicsError{Topics: forbidden, Err: why}
	}
	return raced, other
}

// specText is a specification as a person writes it.
func specText(s TopicSpec) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q with %d partitions or more", s.Name, s.Partitions)
	for _, k := range sortedKeys(s.Configs) {
		fmt.Fprintf(&b, ", %s=%s", k, s.Configs[k])
	}
	return b.String()
}

package adapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var errNoSuchTopic = errors.New("it does not exist")

// TopicSpec is a topic as it should be.
type TopicSpec struct {
	Name string
	// Partitions is how many partitions it has. Zero leaves that to the
	// broker's num.partitions, and takes an existing topic as it is.
	Partitions int32
	// Replication is how many brokers keep each partition. Zero leaves that
	// to the broker's default.replication.factor, and takes an existing topic
	// as it is.
	Replication int16
	// Configs are the topic's configurations, by Kafka's names. An existing
	// topic is held to those named here, and to no others.
	Configs map[string]string
}

// EnsureTopics creates the topics that are missing, and waits until all of
// them can be used, by way of any broker that answers. A topic that exists already
// is verified: where it differs from its TopicSpec, a TopicMismatchError names the
// difference, and the topic is left as it is. Losing a race to create a topic is no
// error. Other errors are a ConfigError, NotConnectedError, RefusedError,
// TimeoutError or ErrClosed.
func (a *Adapter) EnsureTopics(ctx context.Context, specs ...TopicSpec) error {
	names := make([]string, 0, len(specs))
	for _, s := range specs {
		if s.Name == "" {
			return &ConfigError{Field: "TopicSpec.Name", Problem: "is empty"}
		}
		if s.Partitions < 0 || s.Replication < 0 {
			return &ConfigError{Field: "TopicSpec." + s.Name, Problem: "negative partitions or replication: leave them zero for the broker's default"}
		}
		names = append(names, s.Name)
	}
	if len(names) == 0 {
		return nil
	}
	if err := a.conn.await(ctx); err != nil {
		return err
	}
	have, err := a.describe(ctx, names...)
	if err != nil {
		return err
	}
	var missing []TopicSpec
	for _, s := range specs {
		if _, ok := have[s.Name]; !ok {
			missing = append(missing, s)
		}
	}
	refusals, err := a.createTopics(ctx, missing...)
	if err != nil {
		return err
	}
	for _, s := range missing {
		if err := refusals[s.Name]; err != nil && !errors.Is(err, kerr.TopicAlreadyExists) { // else somebody was faster
			return fmt.Errorf("create topic %q: %w", s.Name, err)
		}
	}
	have, err = a.awaitUsable(ctx, names...)
	if err == nil && len(missing) > 0 {
		err = a.awaitKnown(ctx, names)
	}
	if err != nil {
		return err
	}
	for _, s := range specs {
		if err := a.verifyTopic(ctx, s, have[s.Name]); err != nil {
			return err
		}
	}
	return nil
}

// createTopics creates topics in one request, and tells for each of them why
// not, by name.
func (a *Adapter) createTopics(ctx context.Context, specs ...TopicSpec) (refusals map[string]error, err error) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(a.cfg.ConnectTimeout.Milliseconds())
	asked := map[string]bool{}
	for _, s := range specs {
		if asked[s.Name] { // the broker would refuse both
			continue
		}
		asked[s.Name] = true
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = s.Name, s.Partitions, s.Replication
		if s.Partitions == 0 {
			t.NumPartitions = -1 // KIP-464: the broker's default
		}
		if s.Replication == 0 {
			t.ReplicationFactor = -1
		}
		for _, k := range sortedKeys(s.Configs) {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = k, kmsg.StringPtr(s.Configs[k])
			t.Configs = append(t.Configs, c)
		}
		req.Topics = append(req.Topics, t)
	}
	if len(req.Topics) == 0 {
		return nil, nil
	}
	res, err := req.RequestWith(ctx, a.cl)
	if err != nil {
		return nil, fmt.Errorf("create topics %s: %w", strings.Join(sortedKeys(asked), ", "), a.adminError(ctx, err))
	}
	refusals = map[string]error{}
	for _, t := range res.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		if err == nil {
			a.cfg.Logger.Info("created a topic", "topic", t.Topic, "partitions", t.NumPartitions)
			continue
		}
		if t.ErrorMessage != nil && *t.ErrorMessage != "" {
			err = fmt.Errorf("%w (%s)", err, *t.ErrorMessage)
		}
		refusals[t.Topic] = a.adminError(ctx, err)
	}
	return refusals, nil
}

// verifyTopic compares what was asked for with what there is.
func (a *Adapter) verifyTopic(ctx context.Context, s TopicSpec, have topicInfo) error {
	mismatch := func(field string, want, have any) error {
		return &TopicMismatchError{Topic: s.Name, Field: field, Want: fmt.Sprint(want), Have: fmt.Sprint(have)}
	}
	if s.Partitions != 0 && have.partitions != int(s.Partitions) {
		return mismatch("partitions", s.Partitions, have.partitions)
	}
	if s.Replication != 0 && have.replication != int(s.Replication) {
		return mismatch("replication factor", s.Replication, have.replication)
	}
	if len(s.Configs) == 0 {
		return nil
	}
	keys := sortedKeys(s.Configs)
	all, err := a.configsOf(ctx, []string{s.Name}, keys...)
	if err == nil {
		err = all[s.Name].err
	}
	if err != nil {
		return err
	}
	configs := all[s.Name].values
	for _, k := range keys {
		have, ok := configs[k]
		if !ok {
			have = "the broker's default"
		}
		if have != s.Configs[k] {
			return mismatch(k, s.Configs[k], have)
		}
	}
	return nil
}

// topicConfigs are configurations of a topic, or why they cannot be told.
type topicConfigs struct {
	values map[string]string
	err    error
}

// configsOf are the values in force for some configurations of topics.
func (a *Adapter) configsOf(ctx context.Context, topics []string, keys ...string) (map[string]topicConfigs, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, t := range topics {
		of := kmsg.NewDescribeConfigsRequestResource()
		of.ResourceType, of.ResourceName, of.ConfigNames = kmsg.ConfigResourceTypeTopic, t, keys
		req.Resources = append(req.Resources, of)
	}
	res, err := req.RequestWith(ctx, a.cl)
	if err != nil {
		return nil, fmt.Errorf("describe the configurations of topics %s: %w", strings.Join(topics, ", "), a.adminError(ctx, err))
	}
	all := map[string]topicConfigs{}
	for _, r := range res.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			all[r.ResourceName] = topicConfigs{err: fmt.Errorf("describe the configuration of topic %q: %w", r.ResourceName, a.adminError(ctx, err))}
			continue
		}
		values := map[string]string{}
		for _, c := range r.Configs {
			if c.Value != nil {
				values[c.Name] = *c.Value
			}
		}
		all[r.ResourceName] = topicConfigs{values: values}
	}
	return all, nil
}

// maxMessageBytes is the topic's max.message.bytes, or the broker's default
// where it cannot be told.
func maxMessageBytes(configs map[string]string) int32 {
	if n, err := strconv.ParseInt(configs["max.message.bytes"], 10, 32); err == nil && n > 0 {
		return int32(n)
	}
	return 1_048_588
}

// topicInfo is what the brokers say of a topic.
type topicInfo struct {
	partitions  int
	replication int  // of the partition that has the fewest replicas
	usable      bool // every partition has a leader
}

// describe tells about those of the topics that exist. It asks the brokers
// each time: the client's cached answer may be older than the topic.
func (a *Adapter) describe(ctx context.Context, names ...string) (map[string]topicInfo, error) {
	return a.describeBy(ctx, a.cl, names)
}

// describeBy is describe, by any broker or a certain one.
func (a *Adapter) describeBy(ctx context.Context, asked kmsg.Requestor, names []string) (map[string]topicInfo, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, n := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(n)
		req.Topics = append(req.Topics, t)
	}
	res, err := req.RequestWith(ctx, asked)
	if err != nil {
		return nil, fmt.Errorf("look up topics: %w", a.adminError(ctx, err))
	}
	infos := map[string]topicInfo{}
	for _, t := range res.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		switch {
		case t.Topic == nil, errors.Is(err, kerr.UnknownTopicOrPartition):
			continue
		case err != nil && !kerr.IsRetriable(err):
			return nil, fmt.Errorf("look up topic %q: %w", *t.Topic, a.adminError(ctx, err))
		}
		info := topicInfo{partitions: len(t.Partitions), usable: err == nil && len(t.Partitions) > 0}
		for i, p := range t.Partitions {
			if p.ErrorCode != 0 || p.Leader < 0 {
				info.usable = false
			}
			if i == 0 || len(p.Replicas) < info.replication {
				info.replication = len(p.Replicas)
			}
		}
		infos[*t.Topic] = info
	}
	return infos, nil
}

// awaitUsable waits until every partition of the topics has a leader, asking
// with backoff: brokers learn of a new topic one after another.
func (a *Adapter) awaitUsable(ctx context.Context, names ...string) (map[string]topicInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.ConnectTimeout)
	defer cancel()
	for backoff := 10 * time.Millisecond; ; backoff = min(2*backoff, time.Second) {
		details, err := a.describe(ctx, names...)
		if err != nil {
			return nil, err
		}
		unusable := slices.IndexFunc(names, func(n string) bool { return !details[n].usable })
		if unusable < 0 {
			return details, nil
		}
		if !sleep(ctx, backoff) {
			return nil, fmt.Errorf("topic %q has partitions without a leader: %w", names[unusable],
				&TimeoutError{After: a.cfg.ConnectTimeout, Err: ctx.Err()})
		}
	}
}

// awaitKnown waits until all brokers that answer know topics, asking each with
// backoff: whoever comes next asks any of them, and would hear that a new topic does
// not exist.
func (a *Adapter) awaitKnown(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.ConnectTimeout)
	defer cancel()
	brokers := a.cl.DiscoveredBrokers()
	errs := make([]error, len(brokers))
	var asking sync.WaitGroup
	for i, b := range brokers {
		asking.Go(func() {
			for backoff := 10 * time.Millisecond; ; backoff = min(2*backoff, time.Second) {
				limited, cancel := context.WithTimeout(ctx, a.cfg.ConnectTimeout/4)
				infos, err := a.describeBy(limited, b, names)
				cancel()
				unknown := slices.ContainsFunc(names, func(n string) bool { _, ok := infos[n]; return !ok })
				if !unknown || err != nil && ctx.Err() == nil {
					return
				}
				if !sleep(ctx, backoff) {
					errs[i] = fmt.Errorf("not all brokers know topics %s: %w", strings.Join(names, ", "),
						&TimeoutError{After: a.cfg.ConnectTimeout, Err: ctx.Err()})
					return
				}
			}
		})
	}
	asking.Wait()
	return cmp.Or(errs...)
}

// adminError says what an administrative request met in this package's terms.
func (a *Adapter) adminError(ctx context.Context, err error) error {
	var protocol *kerr.Error
	switch {
	case errors.As(err, &protocol):
		return &RefusedError{Code: protocol.Code, Name: protocol.Message, Err: err, retry: protocol.Retriable}
	case ctx.Err() != nil:
		return &TimeoutError{Err: err}
	case a.ctx.Err() != nil:
		return ErrClosed
	}
	return a.conn.notConnected(err)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

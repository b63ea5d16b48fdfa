package harness

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness/internal/own"
)

// brokersVariable names the Kafka that RunOnKafka runs on.
const brokersVariable = "KAFKA_BROKERS"

// Kafka is a cluster that is there already. The zero value is the one that the
// environment names, in plain text and without authentication.
type Kafka struct {
	// Brokers are addresses to start from, HOST:PORT. None means those in
	// KAFKA_BROKERS, separated by commas.
	Brokers []string
	// TLS is what connections to brokers are made with, for clients that speak plain
	// text themselves. Nil means plain text.
	TLS *tls.Config
	// Options are for every franz-go client of the test, adapters' included:
	// kgo.SASL, for one. How to dial is not for them to say. Clients of other makes
	// authenticate by themselves.
	Options []kgo.Opt
}

// RunOnKafka is RunRealTime on a Kafka that is there already, which
// KAFKA_BROKERS=HOST:PORT in the environment names; without that the test is
// skipped. The body is the same as in Run, as long as it does not call Broker: what
// takes brokers down and moves leaders, or looks into them, needs some of the test's own.
//
// Clients connect to a proxy in the test (see [fakebroker.Proxy]), by ClientOptions,
// Env.Brokers or an adapter of the harness: they speak plain text to it, and it speaks
// TLS to brokers. From there come Faults, and the fates of records in groups of clients
// that are not adapters.
//
// The test has names of its own on the cluster: on the way there each topic,
// group and transactional id gets a prefix, and on the way back it loses it. So
// tests run in parallel on a cluster that others use, and see nothing but what is
// theirs. Clients that connect past the proxy find no topic. Names of topics have at
// most 226 bytes.
//
// What belongs to a cluster as a whole, as ACLs, quotas, users and the
// configuration of brokers do, is shared with all others.
//
// When the test ends, the topics and groups that have its prefix are deleted, and
// it fails if they cannot be; Kafka forgets transactional ids by itself. The prefix
// is in the test's log. After a process that was killed, delete what begins with
// "kafkatest-" by hand.
func RunOnKafka(t *testing.T, fn func(t *testing.T, h *Harness)) {
	t.Helper()
	Config{}.RunOnKafka(t, fn)
}

// RunOnKafka is RunOnKafka with these settings. Of Broker nothing is used but
// Topics.
func (c Config) RunOnKafka(t *testing.T, fn func(t *testing.T, h *Harness)) {
	t.Helper()
	if brokers := os.Getenv(brokersVariable); brokers != "" && len(c.Kafka.Brokers) == 0 {
		c.Kafka.Brokers = strings.Split(brokers, ",")
	}
	if len(c.Kafka.Brokers) == 0 {
		t.Skip("harness: opt in with " + brokersVariable + "=HOST:PORT, of a Kafka that runs")
	}
	open := func(h *Harness) (cluster, error) {
		t.Helper()
		observer := h.watch.observer()
		if c.WithoutFates {
			observer = fakebroker.Observer{Joined: h.watch.joined, Produced: h.watch.transacts}
		}
		k, err := newKafka(c.Kafka, c.Broker.Topics, h, observer)
		if err != nil {
			return nil, err
		}
		t.Logf("harness: on the cluster, names begin with %s", k.names.Prefix())
		h.faults = k.proxy
		return k, nil
	}
	c.realTime(t, "RunOnKafka", open, fn)
}

// kafka is a Kafka that is there already, with the eyes of one test.
type kafka struct {
	config Kafka
	names  *own.Names        // of the test's clients
	proxy  *fakebroker.Proxy // which they connect to
	eyes   *own.Names        // the same names, of the client below: it looks past the proxy
	client *kgo.Client
	admin  *kadm.Client

	mu    sync.Mutex
	kinds map[string]string // of groups
	ends  map[topicPartition]dataEnd
	err   error // the last one of those who have nobody to tell

	transactional func() bool
}

// longest is how long anything that is asked of a cluster may take.
const longest = 30 * time.Second

func newKafka(c Kafka, topics []fakebroker.Topic, h *Harness, observer fakebroker.Observer) (*kafka, error) {
	var id [6]byte
	_, _ = rand.Read(id[:]) // which never fails
	k := &kafka{config: c, kinds: map[string]string{}, ends: map[topicPartition]dataEnd{}, transactional: h.watch.transactions}
	prefix := "kafkatest-" + hex.EncodeToString(id[:]) + "-"
	k.names, k.eyes = own.New(prefix), own.New(prefix)
	var err error
	if k.proxy, err = fakebroker.StartProxy(fakebroker.ProxyConfig{Brokers: c.Brokers, Dial: k.dialer(k.names)}); err != nil {
		return nil, err
	}
	if k.client, err = kgo.NewClient(slices.Concat(c.Options, []kgo.Opt{kgo.SeedBrokers(c.Brokers...), kgo.Dialer(k.dialer(k.eyes)),
		kgo.ClientID("harness"), kgo.RecordPartitioner(manualOrByKey()), kgo.MetadataMinAge(10 * time.Millisecond), kgo.ProducerLinger(0)})...); err != nil {
		return nil, errors.Join(err, k.proxy.Close())
	}
	k.admin = kadm.NewClient(k.client)
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	if err := errors.Join(k.client.Ping(ctx), k.introduce(ctx)); err != nil {
		k.disconnect()
		return nil, fmt.Errorf("no Kafka answers at %s, which Config.Kafka or %s names: %w", strings.Join(c.Brokers, ", "), brokersVariable, err)
	}
	k.proxy.Observe(observer)
	for _, topic := range topics {
		if err := k.CreateTopic(topic); err != nil {
			return nil, errors.Join(err, k.Close())
		}
	}
	return k, nil
}

// introduce has the proxy know all brokers.
func (k *kafka) introduce(ctx context.Context) error {
	cl, err := kgo.NewClient(append(k.ClientOptions(), kgo.ClientID("harness"))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	return cl.Ping(ctx)
}

// Addrs are the addresses to start from.
func (k *kafka) Addrs() []string { return k.proxy.Addrs() }

// ClientOptions are what a client needs to reach it.
func (k *kafka) ClientOptions() []kgo.Opt {
	return slices.Concat(k.config.Options, k.proxy.ClientOptions())
}

// Dialer connects to a broker by an address that clients are told.
func (k *kafka) Dialer() func(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext
}

// dialer connects to a broker by an address of its own, and gives what connects the
// test's names.
func (k *kafka) dialer(names *own.Names) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if k.config.TLS == nil {
			return names.Conn(raw), nil
		}
		c := k.config.TLS.Clone()
		if c.ServerName == "" {
			c.ServerName, _, _ = net.SplitHostPort(addr)
		}
		secured := tls.Client(raw, c)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
		return names.Conn(secured), nil
	}
}

// Close cuts off the clients that are left, deletes what the test has made, and
// says what it could not delete.
func (k *kafka) Close() error {
	_ = k.proxy.Close() // it returns nil; clients would come back to their groups
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	err := errors.Join(k.deleteGroups(ctx), k.deleteTopics(ctx))
	k.disconnect()
	if err != nil {
		return fmt.Errorf("what begins with %s is left on the cluster: %w", k.names.Prefix(), err)
	}
	return nil
}

func (k *kafka) disconnect() {
	_ = k.proxy.Close() // it returns nil
	k.names.Close()
	k.client.Close()
	k.eyes.Close()
}

func (k *kafka) deleteTopics(ctx context.Context) error {
	for {
		topics, err := k.admin.ListTopicsWithInternal(fresh(ctx))
		if err != nil || len(topics) == 0 {
			return err
		}
		resp, err := k.admin.DeleteTopics(ctx, topics.Names()...)
		if err = cmp.Or(err, resp.Error()); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return err // that one has gone, and not all brokers know
		}
		if err := again(ctx); err != nil {
			return err
		}
	}
}

// again waits before a cluster is asked once more for what it has not done yet.
func again(ctx context.Context) error {
	select {
	case <-time.After(20 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deleteGroups has those who are still in groups leave: they were killed.
func (k *kafka) deleteGroups(ctx context.Context) error {
	for {
		groups, err := k.admin.ListGroups(ctx)
		if err != nil || len(groups) == 0 {
			return err
		}
		for _, name := range groups.Groups() {
			if g, ok := k.Group(name); ok {
				k.expel(ctx, g)
			}
		}
		resp, err := k.admin.DeleteGroups(ctx, groups.Groups()...)
		if err != nil {
			return err
		}
		err = resp.Error()
		if !errors.Is(err, kerr.NonEmptyGroup) {
			if errors.Is(err, kerr.GroupIDNotFound) {
				err = nil // it has gone by itself
			}
			return err
		}
		if again(ctx) != nil {
			return err
		}
	}
}

// expel has the members of a group leave it.
func (k *kafka) expel(ctx context.Context, g fakebroker.Group) {
	const leave = -1
	for _, m := range g.Members {
		var req kmsg.Request
		switch g.Type {
		case "consumer":
			r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			r.Group, r.MemberID, r.MemberEpoch = g.Name, m.ID, leave
			req = r
		case "share":
			r := kmsg.NewPtrShareGroupHeartbeatRequest()
			r.GroupID, r.MemberID, r.MemberEpoch = g.Name, m.ID, leave
			req = r
		default:
			r := kmsg.NewPtrLeaveGroupRequest()
			one := kmsg.NewLeaveGroupRequestMember()
			one.MemberID = m.ID
			r.Group, r.Members = g.Name, append(r.Members, one)
			req = r
		}
		_, _ = k.client.Request(ctx, req) // whether it has gone is seen by the deletion
	}
}

// CreateTopic returns when the topic can be used.
func (k *kafka) CreateTopic(topic fakebroker.Topic) error {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	configs := map[string]*string{}
	for name, value := range topic.Configs {
		configs[name] = &value
	}
	const asBrokersHave = -1
	if topic.Partitions < 0 {
		return fmt.Errorf("%w: %s with %d partitions", fakebroker.ErrInvalidTopic, topic.Name, topic.Partitions)
	}
	resp, err := k.admin.CreateTopic(ctx, max(topic.Partitions, 1), asBrokersHave, configs, topic.Name)
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists):
		return fmt.Errorf("%w: %s", fakebroker.ErrTopicExists, topic.Name)
	case errors.Is(err, kerr.InvalidTopicException), errors.Is(err, kerr.InvalidPartitions), errors.Is(err, kerr.InvalidConfig):
		return fmt.Errorf("%w: %s: %w: %s", fakebroker.ErrInvalidTopic, topic.Name, err, resp.ErrMessage)
	case err != nil:
		return fmt.Errorf("creating topic %s: %w", topic.Name, err)
	}
	for {
		parts, err := k.Partitions(topic.Name)
		if err == nil && len(parts) == int(max(topic.Partitions, 1)) && k.allKnow(ctx, topic.Name) {
			return nil
		}
		if late := again(ctx); late != nil {
			return fmt.Errorf("topic %s was created, and is not there yet: %w", topic.Name, cmp.Or(err, late))
		}
	}
}

// allKnow reports whether all brokers know a topic: a client may ask any of them.
func (k *kafka) allKnow(ctx context.Context, topic string) bool {
	for _, b := range k.client.DiscoveredBrokers() {
		req := kmsg.NewPtrMetadataRequest()
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &topic
		req.Topics = append(req.Topics, t)
		resp, err := b.Request(ctx, req)
		if err != nil || resp.(*kmsg.MetadataResponse).Topics[0].ErrorCode != 0 {
			return false
		}
	}
	return true
}

// Append writes records.
func (k *kafka) Append(ctx context.Context, topic string, records ...fakebroker.Record) ([]fakebroker.Record, error) {
	sent := make([]*kgo.Record, len(records))
	for i, r := range records {
		sent[i] = &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
		for _, h := range r.Headers {
			sent[i].Headers = append(sent[i].Headers, kgo.RecordHeader(h))
		}
	}
	if err := k.client.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		return nil, fmt.Errorf("appending to topic %s: %w", topic, err)
	}
	out := slices.Clone(records)
	for i, r := range sent {
		out[i].Partition, out[i].Offset, out[i].Timestamp = r.Partition, r.Offset, r.Timestamp
	}
	return out, nil
}

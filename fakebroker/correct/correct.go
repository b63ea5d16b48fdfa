// Package correct restores the answers of kfake that differ from Apache Kafka's.
// Each [Correction] is a rule on the wire between client and broker; kfake itself
// stays as it is, because a module that is used by others cannot replace it.
//
// A correction stays only while it is needed: each names a behaviour of package
// brokertest that fails without it, and a test says when that is no longer so.
package correct

import (
	"context"
	"iter"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Correction is one difference from Apache Kafka, and the rule that mends it.
type Correction struct {
	wire.Rule // its name says what is restored

	// Restores is the rule of Kafka's: a KIP, or the text of the protocol.
	Restores string

	// Upstream is the file of kfake that answers otherwise.
	Upstream string

	// Behaviour is the name of the behaviour in package brokertest that fails
	// without it.
	Behaviour string

	// Fatal says that without it the broker panics, and takes the process along.
	Fatal bool
}

// Cluster is what corrections ask of the cluster that they are for. Its methods
// are called from many connections at once.
type Cluster interface {
	// Ask puts a question to a broker past all rules and, in a version that is
	// flexible, all faults. The request says its version itself.
	Ask(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error)

	// AskAs is Ask as the user whom an exchange is from, who may not be allowed
	// everything.
	AskAs(x *wire.Exchange, node int32, req kmsg.Request) (kmsg.Response, error)

	// Forward hands a client's request to a broker past all rules, but not past the
	// faults that it is marked for, as the user whom an exchange is from. It does
	// not end with that exchange's connection.
	Forward(ctx context.Context, x *wire.Exchange, node int32, req kmsg.Request) (kmsg.Response, error)

	// Allowed reports whether the user whom an exchange is from may do something
	// with a resource; always when nothing is asked of users.
	Allowed(x *wire.Exchange, op kmsg.ACLOperation, kind kmsg.ACLResourceType, name string) bool

	// Log tells about a partition; false when there is none.
	Log(topic string, partition int32) (Log, bool)

	// Batches calls look with each batch of a partition's log, in order; the bytes
	// are its own. An error says that there is no such partition, or that it was
	// deleted meanwhile.
	Batches(topic string, partition int32, look func(batch []byte)) error

	// Topic tells about a topic; false when there is none.
	Topic(name string) (Topic, bool)

	// TopicAlone is Topic without the leaders, which are half of what it costs.
	TopicAlone(name string) (Topic, bool)

	// Nodes lists the node ids of all brokers, in order.
	Nodes() []int32

	// Up reports whether a broker can be reached at present.
	Up(node int32) bool

	// Move makes a broker the leader of a partition, also when it is that
	// already, which begins a leader epoch. An error says that there is no such
	// partition or broker.
	Move(topic string, partition, node int32) error

	// TransactionCoordinator is the broker that coordinates a transactional id, as
	// clients find it.
	TransactionCoordinator(id string) int32

	// GroupCoordinator is the broker that coordinates a group, as clients find it.
	GroupCoordinator(group string) int32

	// Older reports whether the brokers speak as a release before Kafka 4, which
	// has versions that are gone since.
	Older() bool

	// SASL reports whether a listener asks clients to authenticate.
	SASL(listener int) bool

	// Placements is where replicas are, always the same.
	Placements() *Placements

	// Compaction is which topics are compacted, always the same.
	Compaction() *Compaction

	// Timestamps is which topics take other timestamps than most, always the same.
	Timestamps() *Timestamps

	// Unfinished is which topics do not have all their partitions yet, always the
	// same.
	Unfinished() *Unfinished

	// Internal is which topics of coordinators there are, always the same.
	Internal() *Internal

	// CreateTopic creates a topic, as [Broker.CreateTopic] of package fakebroker
	// does.
	CreateTopic(name string, partitions int32, configs map[string]string) error

	// Decompressor is one that works in a testing/synctest bubble too.
	Decompressor() kgo.Decompressor

	// ID is the node id that clients know a broker by.
	ID(node int32) int32

	// TopicName is the name of a topic id; false when there is none.
	TopicName(id [16]byte) (string, bool)

	// Known is the node id by which clients know a broker.
	Known(node int32) int32

	// BrokerConfigs are the configurations that a broker was started with, always
	// the same. The map is not to be changed.
	BrokerConfigs(node int32) map[string]string

	// Kept reports whether the cluster may have been running before, with
	// configurations that clients have changed.
	Kept() bool
}

// Topic is what is known of a topic.
type Topic struct {
	ID            [16]byte
	Replicas      int     // how many each partition was made with
	Leaders       []int32 // node ids, by partition
	Compacted     bool    // cleanup.policy has compact
	CompactedOnly bool    // it is compact

	Configs map[string]string // what it was given; not to be changed
}

// Log is what is known of a partition's log.
type Log struct {
	Leader        int32 // node id of the present leader
	LeaderEpoch   int32 // the present leader's epoch
	LastEpoch     int32 // the epoch of the last batch, -1 when there is none
	Start         int64 // the first offset
	HighWatermark int64
}

// All are the corrections, in the order in which requests and answers are to pass
// them. A correction can keep state, so each cluster has its own.
func All(c Cluster) iter.Seq[Correction] {
	return func(yield func(Correction) bool) {
		for _, area := range areas {
			for _, each := range area(c) {
				if !yield(each) {
					return
				}
			}
		}
	}
}

// Rule stands for the rules of all corrections but the one of a name, in the order
// of [All]. Most clusters are asked little of what there is, so the corrections of
// an area are made when a request of one of their APIs comes.
func Rule(c Cluster, but string) wire.Rule {
	var mu sync.Mutex
	made := make([][]Correction, len(areas))
	return wire.Rule{Name: "corrections", Make: func(key kmsg.Key) (rules []*wire.Rule) {
		mu.Lock()
		defer mu.Unlock()
		for i, area := range areas {
			if !areaKeys()[i].Has(key) {
				continue
			}
			if made[i] == nil {
				made[i] = area(c)
			}
			for n := range made[i] {
				if each := &made[i][n]; each.Name != but && each.Keys.Has(key) {
					rules = append(rules, &each.Rule)
				}
			}
		}
		return rules
	}}
}

// areaKeys are the APIs of the corrections of each area, which are the same for
// every cluster.
var areaKeys = sync.OnceValue(func() []wire.KeySet {
	keys := make([]wire.KeySet, len(areas))
	for i, area := range areas {
		for n, c := range area(nil) {
			if n == 0 {
				keys[i] = c.Keys
			}
			keys[i] = keys[i].Or(c.Keys)
		}
	}
	return keys
})

// areas make corrections, by what they are about. The corrections of an area can
// share state. Making them asks nothing of the cluster.
var areas = slices.Concat(
	[]func(Cluster) []Correction{
		versionsGone,
		limits, // before what would make something of each partition asked for
		fetching,
		fetchingFully,
		fetchingNothing,
	},
	groups,
	[]func(Cluster) []Correction{
		authenticates,
		transacts,
		describingProducers,
		producing,
		clusters,
		findingCoordinators,
		quorum,
		telemetry,
		versions,
		acls,
		quotas,
		credentials,
		features,
	},
	topics,
	[]func(Cluster) []Correction{producingSilently}, // after topics: they refuse batches, too
	[]func(Cluster) []Correction{configs},           // after topics: names and whether they exist come first
)

// answered is an Answer that has request and answer as what they are. It is not
// called for one that cannot be decoded, which the broker has refused. change
// reports whether it changed the answer.
func answered[Req kmsg.Request, Resp kmsg.Response](change func(x *wire.Exchange, req Req, resp Resp) bool) func(*wire.Exchange) {
	return func(x *wire.Exchange) {
		r, err := x.Request()
		if err != nil {
			return
		}
		a, err := x.Response()
		if err != nil {
			return
		}
		req, isReq := r.(Req)
		resp, isResp := a.(Resp)
		if isReq && isResp && change(x, req, resp) {
			x.SetResponse(resp)
		}
	}
}

// amended is answered for who does not need the request.
func amended[Resp kmsg.Response](change func(x *wire.Exchange, resp Resp) bool) func(*wire.Exchange) {
	return func(x *wire.Exchange) {
		if a, err := x.Response(); err == nil {
			if resp, is := a.(Resp); is && change(x, resp) {
				x.SetResponse(resp)
			}
		}
	}
}

// asked is a Request that has the request as what it is. It is not called for
// one that cannot be decoded.
func asked[Req kmsg.Request](look func(x *wire.Exchange, req Req)) func(*wire.Exchange) {
	return func(x *wire.Exchange) {
		if r, err := x.Request(); err == nil {
			if req, is := r.(Req); is {
				look(x, req)
			}
		}
	}
}

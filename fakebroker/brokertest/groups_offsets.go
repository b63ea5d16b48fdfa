package brokertest

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupOffsetBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "groups/an unknown group has no offsets and no error",
			Source: "OffsetFetch; OffsetMetadataManager.fetchOffsets",
			Run:    unknownGroupHasNoOffsets,
		},
		{
			Name:   "groups/offsets without metadata have an empty one",
			Source: "OffsetFetch; OffsetFetchResponse.NO_METADATA",
			Run:    metadataIsEmpty,
		},
		{
			Name:   "groups/offsets of an unknown topic id cannot be asked for",
			Source: "OffsetFetch v10",
			Run:    offsetsOfUnknownTopic,
		},
		{
			Name:   "groups/an offset that a transaction may still commit is unstable in a new group",
			Source: "KIP-447",
			Run:    pendingOffsetIsUnstable,
		},
		{
			Name:   "groups/an offset is unstable for its own partition only",
			Source: "KIP-447; OffsetMetadataManager.hasPendingTransactionalOffsets",
			Run:    otherOffsetsAreStable,
		},
		{
			Name:   "groups/an offset of a transaction that timed out is stable",
			Source: "KIP-447; TransactionCoordinator.abortTimedOutTransactions",
			Run:    timedOutOffsetsAreStable,
		},
	}
}

// offsetsOf is an OffsetFetch of partitions 0 and 1 of a topic, or without one
// of all topics, in the form that a version has. Versions below 8 ask about the
// first group alone.
func offsetsOf(v int16, stable bool, topic *topicOf, groups ...string) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable = stable
	if v < 8 {
		req.Group = groups[0]
		if topic != nil {
			rt := kmsg.NewOffsetFetchRequestTopic()
			rt.Topic, rt.Partitions = topic.name, []int32{0, 1}
			req.Topics = append(req.Topics, rt)
		}
		return req
	}
	for _, group := range groups {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = group
		if topic != nil {
			rt := kmsg.NewOffsetFetchRequestGroupTopic()
			rt.Topic, rt.TopicID, rt.Partitions = topic.name, topic.id, []int32{0, 1}
			g.Topics = append(g.Topics, rt)
		}
		req.Groups = append(req.Groups, g)
	}
	return req
}

// offset is what OffsetFetch answers for a partition, in any version.
type offset struct {
	partition   int32
	at          int64
	leaderEpoch int32
	metadata    string
	code        int16
}

// noOffset is what there is of a partition that nothing was committed for.
func noOffset(partition int32) offset { return offset{partition, -1, -1, "", 0} }

// offsetsIn are the offsets of one group in an answer.
func offsetsIn(t T, v int16, resp *kmsg.OffsetFetchResponse, group string) (all []offset) {
	t.Helper()
	if v < 8 {
		code(t, "group", resp.ErrorCode, nil)
		for _, rt := range resp.Topics {
			for _, p := range rt.Partitions {
				all = append(all, offset{p.Partition, p.Offset, p.LeaderEpoch, text(p.Metadata), p.ErrorCode})
			}
		}
		return all
	}
	for _, g := range resp.Groups {
		if g.Group != group {
			continue
		}
		code(t, "group", g.ErrorCode, nil)
		for _, rt := range g.Topics {
			for _, p := range rt.Partitions {
				all = append(all, offset{p.Partition, p.Offset, p.LeaderEpoch, text(p.Metadata), p.ErrorCode})
			}
		}
	}
	return all
}

func unknownGroupHasNoOffsets(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	known := committed(t, c, topic)
	none := []offset{noOffset(0), noOffset(1)}
	for _, v := range versions(1, 10) {
		what := "v" + number(int32(v))
		cl := newClient(t, c, version(kmsg.OffsetFetch, v))
		fetch := func(stable bool, topic *topicOf, groups ...string) []offset {
			resp := ask[*kmsg.OffsetFetchResponse](t, cl, offsetsOf(v, stable, topic, groups...))
			return offsetsIn(t, v, resp, groups[len(groups)-1])
		}
		equal(t, what, fetch(false, &topic, name("group")), none)
		if v >= 2 {
			equal(t, what+", all topics", fetch(false, nil, name("group")), nil)
		}
		if v >= 7 {
			equal(t, what+", stable", fetch(true, &topic, name("group")), none)
		}
		if v >= 8 {
			equal(t, what+", two groups", fetch(false, &topic, known, name("group")), none)
		}
	}
}

func metadataIsEmpty(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := committed(t, c, topic)
	for _, v := range versions(1, 10) {
		resp := askIn[*kmsg.OffsetFetchResponse](t, c, v, offsetsOf(v, false, &topic, group))
		equal(t, "v"+number(int32(v)), offsetsIn(t, v, resp, group), []offset{{0, 5, -1, "", 0}, noOffset(1)})
	}
}

func offsetsOfUnknownTopic(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 1)
	nowhere := topicOf{id: [16]byte{1, 2, 3}}
	for _, group := range []string{name("group"), committed(t, c, topic)} {
		// A client that is left to find the coordinator looks at topic ids itself.
		cl := newClient(t, c, version(kmsg.OffsetFetch, 10))
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorKey = group
		found := askIn[*kmsg.FindCoordinatorResponse](t, c, 3, find)
		code(t, "coordinator", found.ErrorCode, nil)
		answer, err := cl.Broker(int(found.NodeID)).Request(within(t), offsetsOf(10, false, &nowhere, group))
		noError(t, err)
		resp := answer.(*kmsg.OffsetFetchResponse)
		unknown := kerr.UnknownTopicID.Code
		equal(t, "offsets", offsetsIn(t, 10, resp, group), []offset{{0, -1, -1, "", unknown}, {1, -1, -1, "", unknown}})
	}
}

func pendingOffsetIsUnstable(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	end := commitInTransaction(t, c, group, topic, 0, time.Minute)
	fetch := func(stable bool) []offset {
		return offsetsIn(t, 7, askIn[*kmsg.OffsetFetchResponse](t, c, 7, offsetsOf(7, stable, &topic, group)), group)
	}
	equal(t, "stable offset", fetch(true)[0], offset{0, -1, -1, "", kerr.UnstableOffsetCommit.Code})
	equal(t, "any offset", fetch(false)[0], noOffset(0))
	end()
	eventually(t, "the offset", func() bool { return fetch(true)[0] == offset{0, 7, -1, "", 0} })
}

func otherOffsetsAreStable(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	other := commitOf(group, "", -1, topic)
	other.Topics[0].Partitions[0].Partition = 1
	code(t, "commit", commitCode(t, c, 8, other), nil)
	fetch := func(v int16) []offset {
		return offsetsIn(t, v, askIn[*kmsg.OffsetFetchResponse](t, c, v, offsetsOf(v, true, &topic, group)), group)
	}
	stable := offset{1, 5, -1, "", 0}
	for range 2 { // the second transaction of a group is as the first
		end := commitInTransaction(t, c, group, topic, 0, time.Minute)
		for _, v := range versions(7, 10) {
			equal(t, "v"+number(int32(v)), fetch(v), []offset{{0, -1, -1, "", kerr.UnstableOffsetCommit.Code}, stable})
		}
		end()
		eventually(t, "the offset", func() bool { return fetch(7)[0] == offset{0, 7, -1, "", 0} })
	}
}

// Another transaction of the same group is open all the while.
func timedOutOffsetsAreStable(t T, c Cluster) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	fetch := func() []offset {
		return offsetsIn(t, 7, askIn[*kmsg.OffsetFetchResponse](t, c, 7, offsetsOf(7, true, &topic, group)), group)
	}
	const soon = time.Second
	unstable := kerr.UnstableOffsetCommit.Code
	end := commitInTransaction(t, c, group, topic, 1, time.Minute)
	start := time.Now()
	commitInTransaction(t, c, group, topic, 0, soon)
	if both := fetch(); time.Since(start) < soon { // else it may be over already
		equal(t, "both", both, []offset{{0, -1, -1, "", unstable}, {1, -1, -1, "", unstable}})
	}
	eventually(t, "the end of the transaction that times out", func() bool { return fetch()[0] == noOffset(0) })
	equal(t, "the other", fetch()[1], offset{1, -1, -1, "", unstable})
	end()
}

// commitInTransaction adds offset 7 of a partition to a transaction, which end
// commits.
func commitInTransaction(t T, c Cluster, group string, topic topicOf, partition int32, timeout time.Duration) (end func()) {
	t.Helper()
	transaction := name("transaction")
	begin := kmsg.NewPtrInitProducerIDRequest()
	begin.TransactionalID, begin.TransactionTimeoutMillis, begin.ProducerID, begin.ProducerEpoch = &transaction, int32(timeout.Milliseconds()), -1, -1
	producer := askIn[*kmsg.InitProducerIDResponse](t, c, 4, begin)
	code(t, "producer id", producer.ErrorCode, nil)

	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = transaction, producer.ProducerID, producer.ProducerEpoch, group
	code(t, "adding the group", askIn[*kmsg.AddOffsetsToTxnResponse](t, c, 3, add).ErrorCode, nil)

	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.ProducerID, commit.ProducerEpoch = transaction, producer.ProducerID, producer.ProducerEpoch
	commit.Group, commit.Generation = group, -1
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic = topic.name
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Partition, rp.Offset, rp.LeaderEpoch = partition, 7, -1
	rt.Partitions = append(rt.Partitions, rp)
	commit.Topics = append(commit.Topics, rt)
	code(t, "offset", askIn[*kmsg.TxnOffsetCommitResponse](t, c, 3, commit).Topics[0].Partitions[0].ErrorCode, nil)
	return func() {
		end := kmsg.NewPtrEndTxnRequest()
		end.TransactionalID, end.ProducerID, end.ProducerEpoch, end.Commit = transaction, producer.ProducerID, producer.ProducerEpoch, true
		code(t, "end", askIn[*kmsg.EndTxnResponse](t, c, 3, end).ErrorCode, nil)
	}
}

package brokertest

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func fetchBehaviours() []Behaviour {
	return append(fullFetchBehaviours(), []Behaviour{
		{
			Name:   "fetch/an epoch ends where the log does when nothing was written since",
			Source: "KIP-320: OffsetForLeaderEpoch",
			Needs:  Needs{Brokers: 2},
			Run:    epochEndsWhereTheLogDoes,
		},
		{
			Name:   "fetch/each epoch that is asked for of a partition has its own end",
			Source: "KIP-320: OffsetForLeaderEpoch",
			Run:    epochsEndEachByItself,
		},
		{
			Name:   "fetch/a fetch without partitions is answered at once",
			Source: "ReplicaManager.fetchMessages; KIP-227",
			Run:    emptyFetchDoesNotWait,
		},
	}...)
}

// The partition moves to the other broker, which begins an epoch that nothing is
// written in.
func epochEndsWhereTheLogDoes(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	produce(t, cl, topic, "a", "b", "c")
	before := partition(t, cl, topic)
	reassign(t, cl, topic, otherBroker(t, cl, before.Leader))
	knownAs(t, cl, "a new leader", topic, func(now kmsg.MetadataResponseTopicPartition) bool {
		return now.Leader != before.Leader && now.LeaderEpoch > before.LeaderEpoch
	})
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.LeaderEpoch, rp.CurrentLeaderEpoch = before.LeaderEpoch, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	p := ask[*kmsg.OffsetForLeaderEpochResponse](t, cl, req).Topics[0].Partitions[0]
	code(t, "partition", p.ErrorCode, nil)
	equal(t, "epoch", p.LeaderEpoch, before.LeaderEpoch)
	equal(t, "end", p.EndOffset, 3)
}

// epochsEndEachByItself asks for a partition several times, in one topic of the
// request and in two.
func epochsEndEachByItself(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	produce(t, cl, topic, "a")
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = topic
	for _, epoch := range []int32{0, -1, 7, 0} {
		rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rp.LeaderEpoch, rp.CurrentLeaderEpoch = epoch, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	for _, v := range versions(3, 4) {
		for _, topics := range [][]kmsg.OffsetForLeaderEpochRequestTopic{{rt}, {rt, rt}} {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			req.Topics = topics
			cl := newClient(t, c, version(kmsg.OffsetForLeaderEpoch, v))
			resp := askOf[*kmsg.OffsetForLeaderEpochResponse](t, cl, partition(t, cl, topic).Leader, req)
			equal(t, "topics", len(resp.Topics), len(topics))
			for _, at := range resp.Topics {
				var ends [][2]int64
				for _, p := range at.Partitions {
					code(t, "partition", p.ErrorCode, nil)
					ends = append(ends, [2]int64{int64(p.LeaderEpoch), p.EndOffset})
				}
				equal(t, "epochs and ends", ends, [][2]int64{{0, 1}, {-1, -1}, {-1, -1}, {0, 1}})
			}
		}
	}
}

// emptyFetchDoesNotWait asks for nothing: without a session, for a new one, and to
// end one, which is what a consumer does when it closes.
func emptyFetchDoesNotWait(t T, c Cluster) {
	const wait = time.Hour // nobody is as patient
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	conn := dial(t, c.Options)
	fetch := func(what string, version int16, req *kmsg.FetchRequest) *kmsg.FetchResponse {
		t.Helper()
		resp, ok := conn.ask(version, req).(*kmsg.FetchResponse)
		if !ok {
			t.Errorf("%s v%d: no answer", what, version)
			t.FailNow()
		}
		code(t, what, resp.ErrorCode, nil)
		return resp
	}
	nothing := func(session, epoch int32) *kmsg.FetchRequest {
		req := fetchOf(epoch, 0)
		req.MaxWaitMillis, req.SessionID = int32(wait.Milliseconds()), session
		return req
	}
	const first, last = 4, 17
	for version := int16(first); version <= last; version++ {
		fetch("without a session", version, nothing(0, -1))
		if version < firstFetchSessions {
			continue
		}
		fetch("a new session of nothing", version, nothing(0, 0))
		opened := fetch("a new session", version, fetchOf(0, 1, topic))
		if opened.SessionID != 0 { // else there was no room for one
			fetch("the end of a session", version, nothing(opened.SessionID, -1))
		}
	}
}

// firstFetchSessions is the first version of Fetch that has sessions (KIP-227).
const firstFetchSessions = 7

// partition is a topic's first partition.
func partition(t T, cl *kgo.Client, topic string) kmsg.MetadataResponseTopicPartition {
	t.Helper()
	resp := ask[*kmsg.MetadataResponse](t, cl, metadataOf(false, topic))
	code(t, "topic "+topic, resp.Topics[0].ErrorCode, nil)
	for _, p := range resp.Topics[0].Partitions {
		if p.Partition == 0 {
			return p
		}
	}
	t.Errorf("topic %s has no partition 0", topic)
	t.FailNow()
	return kmsg.MetadataResponseTopicPartition{}
}

func otherBroker(t T, cl *kgo.Client, than int32) int32 {
	t.Helper()
	for _, b := range ask[*kmsg.MetadataResponse](t, cl, kmsg.NewPtrMetadataRequest()).Brokers {
		if b.NodeID != than {
			return b.NodeID
		}
	}
	t.Errorf("there is no broker but %d", than)
	t.FailNow()
	return -1
}

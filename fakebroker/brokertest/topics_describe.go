package brokertest

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func describeBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "topics/the description of partitions is complete",
			Source: "KIP-966: DescribeTopicPartitions",
			Run:    descriptionIsComplete,
		},
		{
			Name:   "topics/descriptions go on at a cursor",
			Source: "KIP-966: DescribeTopicPartitionsRequestHandler",
			Run:    descriptionsGoOn,
		},
		{
			Name:   "topics/log directories are listed",
			Source: "KIP-113, KIP-827: DescribeLogDirs",
			Run:    logDirectoriesAreListed,
		},
		{
			Name:   "topics/each broker lists the replicas it has",
			Source: "KIP-113: DescribeLogDirs",
			Needs:  Needs{Brokers: 2},
			Run:    brokersListTheirReplicas,
		},
		{
			Name:   "topics/a replica does not move to a directory that is not there",
			Source: "KIP-113: AlterReplicaLogDirs",
			Run:    replicaStaysInPlace,
		},
	}
}

func describeTopics(t T, cl *kgo.Client, limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, topics ...string) *kmsg.DescribeTopicPartitionsResponse {
	t.Helper()
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit, req.Cursor = limit, cursor
	for _, topic := range topics {
		rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
		rt.Topic = topic
		req.Topics = append(req.Topics, rt)
	}
	return ask[*kmsg.DescribeTopicPartitionsResponse](t, cl, req)
}

func descriptionIsComplete(t T, c Cluster) {
	cl := newClient(t, c)
	topic, missing := newTopic(t, cl, 2), name("missing")
	resp := describeTopics(t, cl, 2000, nil, topic, missing, "a/b")
	got := make(map[string]kmsg.DescribeTopicPartitionsResponseTopic)
	for _, rt := range resp.Topics {
		got[text(rt.Topic)] = rt
	}
	code(t, missing, got[missing].ErrorCode, kerr.UnknownTopicOrPartition)
	code(t, "a/b", got["a/b"].ErrorCode, kerr.InvalidTopicException)
	code(t, topic, got[topic].ErrorCode, nil)
	equal(t, "partitions", len(got[topic].Partitions), 2)
	for i, p := range got[topic].Partitions {
		code(t, "partition", p.ErrorCode, nil)
		equal(t, "partition", p.Partition, int32(i))
		equal(t, "replicas in sync", slices.Sorted(slices.Values(p.ISR)), slices.Sorted(slices.Values(p.Replicas)))
		if p.EligibleLeaderReplicas == nil || len(p.EligibleLeaderReplicas) > 0 || p.LastKnownELR == nil || len(p.LastKnownELR) > 0 {
			t.Errorf("eligible leaders: %#v, and before that %#v; want two empty lists", p.EligibleLeaderReplicas, p.LastKnownELR)
		}
	}
}

func descriptionsGoOn(t T, c Cluster) {
	cl := newClient(t, c)
	topics := []string{newTopic(t, cl, 3), newTopic(t, cl, 2)}
	slices.Sort(topics)
	first, second := topics[0], topics[1]
	backwards := []string{second, first}
	want := make(map[string]int)
	for _, topic := range topics {
		want[topic] = len(describedPartitions(t, cl, topic))
	}
	for _, limit := range []int32{-1, 0, 1, 2, 3, 4, 5, 6} {
		var cursor *kmsg.DescribeTopicPartitionsRequestCursor
		var seen []string
		for page := 0; page == 0 || cursor != nil && page < 10; page++ {
			resp := describeTopics(t, cl, limit, cursor, backwards...)
			n := 0
			for _, rt := range resp.Topics {
				code(t, text(rt.Topic), rt.ErrorCode, nil)
				for _, p := range rt.Partitions {
					n++
					seen = append(seen, fmt.Sprint(text(rt.Topic), p.Partition))
				}
			}
			if n > max(int(limit), 1) {
				t.Errorf("%d partitions in an answer, of %d at most", n, limit)
			}
			cursor = nil
			if next := resp.NextCursor; next != nil {
				at := kmsg.NewDescribeTopicPartitionsRequestCursor()
				at.Topic, at.Partition = next.Topic, next.Partition
				cursor = &at
			}
		}
		var all []string
		for _, topic := range topics {
			for i := range want[topic] {
				all = append(all, fmt.Sprint(topic, i))
			}
		}
		equal(t, "partitions in order, by "+number(limit), seen, all)
	}
	for _, at := range []kmsg.DescribeTopicPartitionsRequestCursor{{Topic: name("other")}, {Topic: first, Partition: -1}} {
		resp := describeTopics(t, cl, 10, &at, backwards...)
		equal(t, "answers", len(resp.Topics), 2)
		for _, rt := range resp.Topics {
			code(t, fmt.Sprintf("%s from %s, %d", text(rt.Topic), at.Topic, at.Partition), rt.ErrorCode, kerr.InvalidRequest)
		}
	}
	var got []string
	for _, rt := range describeTopics(t, cl, 10, nil, first, "", "a/b").Topics {
		got = append(got, fmt.Sprint(text(rt.Topic), " ", rt.ErrorCode, " ", len(rt.Partitions)))
	}
	equal(t, "with an empty name", got, []string{first + " -1 0", " -1 0", "a/b -1 0"})
}

// logDirs asks a broker for its directories, with the partitions of a topic.
func logDirs(t T, cl *kgo.Client, node int32, topic string, partitions ...int32) []kmsg.DescribeLogDirsResponseDir {
	t.Helper()
	req := kmsg.NewPtrDescribeLogDirsRequest()
	rt := kmsg.NewDescribeLogDirsRequestTopic()
	rt.Topic, rt.Partitions = topic, partitions
	req.Topics = append(req.Topics, rt)
	resp, err := cl.Broker(int(node)).Request(within(t), req)
	noError(t, err)
	r := resp.(*kmsg.DescribeLogDirsResponse)
	code(t, "log directories", r.ErrorCode, nil)
	if len(r.Dirs) == 0 {
		t.Errorf("broker %d has no log directory", node)
		t.FailNow()
	}
	return r.Dirs
}

func logDirectoriesAreListed(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	produce(t, cl, topic, "a")
	node := partition(t, cl, topic).Leader
	dirs := logDirs(t, cl, node, topic, 0, 7)
	for _, d := range dirs {
		code(t, d.Dir, d.ErrorCode, nil)
		if d.UsableBytes <= 0 || d.TotalBytes < d.UsableBytes {
			t.Errorf("%d bytes of %d are usable", d.UsableBytes, d.TotalBytes)
		}
	}
	equal(t, "topics", len(dirs[0].Topics), 1)
	equal(t, "partitions", len(dirs[0].Topics[0].Partitions), 1)
	if p := dirs[0].Topics[0].Partitions[0]; p.Size <= 0 || p.IsFuture {
		t.Errorf("partition: %+v", p)
	}
	equal(t, "topics of an unknown one", len(logDirs(t, cl, node, name("missing"), 0)[0].Topics), 0)
}

func brokersListTheirReplicas(t T, c Cluster) {
	cl := newClient(t, c)
	b := brokers(t, cl)
	topic, _ := created(t, cl, -1, -1, []int32{b[0]}, []int32{b[1]})
	for i, node := range b[:2] {
		var has []int32
		eventually(t, "the replica of partition "+number(int32(i)), func() bool {
			has = nil
			for _, d := range logDirs(t, cl, node, topic, 0, 1) {
				for _, dt := range d.Topics {
					for _, p := range dt.Partitions {
						has = append(has, p.Partition)
					}
				}
			}
			return len(has) > 0
		})
		equal(t, "partitions on broker "+number(node), has, []int32{int32(i)})
	}
}

func replicaStaysInPlace(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	node := partition(t, cl, topic).Leader
	was := logDirs(t, cl, node, topic, 0)[0].Dir
	req := kmsg.NewPtrAlterReplicaLogDirsRequest()
	rd := kmsg.NewAlterReplicaLogDirsRequestDir()
	rd.Dir = "/" + name("nowhere")
	rt := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
	rt.Topic, rt.Partitions = topic, []int32{0}
	rd.Topics = append(rd.Topics, rt)
	req.Dirs = append(req.Dirs, rd)
	resp, err := cl.Broker(int(node)).Request(within(t), req)
	noError(t, err)
	code(t, "a directory that is not there", resp.(*kmsg.AlterReplicaLogDirsResponse).Topics[0].Partitions[0].ErrorCode, kerr.LogDirNotFound)
	equal(t, "directory", logDirs(t, cl, node, topic, 0)[0].Dir, was)
}

package brokertest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func fullFetchBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "fetch/a full fetch answers for every partition",
			Source: "KIP-227; ReplicaManager.readFromLog, FullFetchContext",
			Run:    fullFetchListsAll,
		},
		{
			Name:   "fetch/a session has the partitions that had no room at first",
			Source: "KIP-227: incremental fetch",
			Run:    sessionHasAll,
		},
	}
}

// fetchOf asks for topics from their starts, for a byte, which makes room for
// one batch; without waiting.
func fetchOf(sessionEpoch int32, partitions int32, topics ...topicOf) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 0, 1, 1, sessionEpoch
	for _, topic := range topics {
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.TopicID = topic.name, topic.id
		for p := range partitions {
			rp := kmsg.NewFetchRequestTopicPartition()
			rp.Partition, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = p, 1<<20, -1
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
	}
	return req
}

// fetched lists the partitions of an answer, each as TOPIC-PARTITION with its
// offsets or its error code, and those that have records.
func fetched(resp *kmsg.FetchResponse, topics ...topicOf) (listed, full []string) {
	for _, rt := range resp.Topics {
		at := slices.IndexFunc(topics, func(t topicOf) bool {
			return rt.Topic == t.name || rt.TopicID != [16]byte{} && rt.TopicID == t.id
		})
		for _, p := range rt.Partitions {
			is := fmt.Sprintf("%d-%d", at, p.Partition)
			says := fmt.Sprintf("high watermark %d, stable %d", p.HighWatermark, p.LastStableOffset)
			if p.ErrorCode != 0 {
				says = fmt.Sprintf("error %d", p.ErrorCode)
			}
			listed = append(listed, is+": "+says)
			if p.RecordBatches == nil {
				listed = append(listed, is+": records are null")
			}
			if len(p.RecordBatches) > 0 {
				full = append(full, is)
			}
		}
	}
	slices.Sort(listed)
	return listed, full
}

const fetchedPartitions = 4

// filledTopics are two topics with a record in each partition but the last, all of
// them on one broker.
func filledTopics(t T, cl *kgo.Client) (node int32, topics []topicOf) {
	t.Helper()
	node = someBroker(t, cl)
	for range 2 {
		topic := name("topic")
		deleteLater(t, cl, topic)
		create := newTopicRequest(topicToCreate(topic, -1, -1, slices.Repeat([][]int32{{node}}, fetchedPartitions)...))
		code(t, "creating "+topic, ask[*kmsg.CreateTopicsResponse](t, cl, create).Topics[0].ErrorCode, nil)
		haveLeaders(t, cl, topic, fetchedPartitions)
		for p := range int32(fetchedPartitions - 1) {
			noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: topic, Partition: p, Value: []byte("a")}).FirstErr())
		}
		topics = append(topics, topicOf{topic, describe(t, cl, topic).TopicID})
	}
	return node, topics
}

func fullFetchListsAll(t T, c Cluster) {
	node, topics := filledTopics(t, newClient(t, c))
	for _, v := range []int16{4, 6, 7, 9, 11, 12, 13, 15, 16, 17, 18} {
		cl := newClient(t, c, version(kmsg.Fetch, v))
		missing := topicOf{name("missing"), [16]byte{1, 2, 3}}
		for _, epoch := range []int32{-1, 0} {
			what := fmt.Sprintf("v%d, session epoch %d: ", v, epoch)
			req := fetchOf(epoch, fetchedPartitions, topics...)
			last := &req.Topics[1]
			last.Partitions[1].FetchOffset = 7
			unknown := kmsg.NewFetchRequestTopicPartition()
			unknown.Partition, unknown.CurrentLeaderEpoch = 9, -1
			last.Partitions = append(last.Partitions, unknown)
			req.Topics = append(req.Topics, fetchOf(epoch, 1, missing).Topics...)
			resp := askOf[*kmsg.FetchResponse](t, cl, node, req)
			code(t, what+"answer", resp.ErrorCode, nil)
			listed, full := fetched(resp, append(topics, missing)...)
			noTopic := 3
			if v >= 13 {
				noTopic = 100
			}
			equal(t, what+"partitions", strings.Join(listed, "\n"), strings.Join([]string{
				"0-0: high watermark 1, stable 1",
				"0-1: high watermark 1, stable 1",
				"0-2: high watermark 1, stable 1",
				"0-3: high watermark 0, stable 0",
				"1-0: high watermark 1, stable 1",
				"1-1: error 1",
				"1-2: high watermark 1, stable 1",
				"1-3: high watermark 0, stable 0",
				"1-9: error 3",
				fmt.Sprintf("2-0: error %d", noTopic),
			}, "\n"))
			equal(t, what+"partitions with records", len(full), 1)
		}
	}
}

// What had no room comes without being asked for again.
func sessionHasAll(t T, c Cluster) {
	for _, v := range []int16{7, 12, 18} {
		cl := newClient(t, c, version(kmsg.Fetch, v))
		node, topics := filledTopics(t, cl)
		first := askOf[*kmsg.FetchResponse](t, cl, node, fetchOf(0, fetchedPartitions, topics...))
		code(t, "first answer", first.ErrorCode, nil)
		_, seen := fetched(first, topics...)
		next := fetchOf(1, 0)
		next.SessionID, next.MaxBytes = first.SessionID, 1<<20
		_, rest := fetched(askOf[*kmsg.FetchResponse](t, cl, node, next), topics...)
		seen = append(seen, rest...)
		slices.Sort(seen)
		equal(t, "partitions with records", slices.Compact(seen), []string{"0-0", "0-1", "0-2", "1-0", "1-1", "1-2"})
	}
}

package fakebroker

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// ForgetTopic has brokers no longer know a topic, until the fault is cleared, as
// brokers do whose metadata is behind, or a topic that somebody has deleted. Its
// records stay. Metadata and DescribeTopicPartitions answer
// UNKNOWN_TOPIC_OR_PARTITION, or UNKNOWN_TOPIC_ID to who asked by id, and leave it
// out where all topics are listed; produce, fetch, offsets and commits are
// refused with the same errors. Creating the topic meanwhile fails because it
// exists. Hits counts the requests.
//
// An empty Topic in the scope means every topic. APIs picks some of the above,
// such as Metadata alone for a client that can go on for as long as it does not
// ask. Group is not looked at.
func (tr *traffic) ForgetTopic(s Scope) *Fault {
	f := tr.newFault(fmt.Sprintf("forget topics: %s", s), s.Count)
	s.Group = ""
	hide := s
	hide.APIs, hide.Partitions = s.of(kmsg.Metadata, kmsg.DescribeTopicPartitions), nil
	var removes []func()
	if len(hide.APIs) > 0 {
		removes = append(removes, tr.rules.Add(tr.hideTopics(f, hide)))
	}
	byID := func(req kmsg.Request) bool {
		switch req.(type) {
		case *kmsg.FetchRequest, *kmsg.ProduceRequest:
			return req.GetVersion() >= 13
		case *kmsg.OffsetCommitRequest:
			return req.GetVersion() >= 10
		case *kmsg.TxnOffsetCommitRequest:
			return req.GetVersion() >= 6
		case *kmsg.ShareFetchRequest, *kmsg.ShareAcknowledgeRequest:
			return true
		}
		return false
	}
	refuse := s
	refuse.APIs = s.of(
		kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.OffsetForLeaderEpoch, kmsg.DeleteRecords,
		kmsg.OffsetCommit, kmsg.TxnOffsetCommit, kmsg.AddPartitionsToTxn, kmsg.ShareFetch, kmsg.ShareAcknowledge,
	)
	if len(refuse.APIs) > 0 {
		removes = append(removes,
			tr.behind.refuse(f, kerr.UnknownTopicID, refuse, byID),
			tr.behind.refuse(f, kerr.UnknownTopicOrPartition, refuse, func(req kmsg.Request) bool { return !byID(req) }))
	}
	f.inert = len(removes) == 0
	f.clear = func() {
		for _, remove := range removes {
			remove()
		}
	}
	return f.begin()
}

// of is which of some APIs the scope has.
func (s Scope) of(apis ...kmsg.Key) []kmsg.Key {
	if len(s.APIs) == 0 {
		return apis
	}
	return slices.DeleteFunc(apis, func(k kmsg.Key) bool { return !slices.Contains(s.APIs, k) })
}

// hideTopics takes topics out of what brokers tell about topics.
func (tr *traffic) hideTopics(f *Fault, s Scope) wire.Rule {
	hidden := func(topic *string) bool { return topic != nil && (s.Topic == "" || s.Topic == *topic) }
	return wire.Rule{
		Name:  f.name,
		Wants: tr.wants(s),
		Answer: func(x *wire.Exchange) {
			if !s.hasRemote(x.RemoteAddr()) {
				return
			}
			req, err := x.Request()
			if err != nil {
				return
			}
			resp, err := x.Response()
			if err != nil {
				return
			}
			switch r := resp.(type) {
			case *kmsg.MetadataResponse:
				asked := req.(*kmsg.MetadataRequest).Topics
				if !slices.ContainsFunc(r.Topics, func(t kmsg.MetadataResponseTopic) bool { return hidden(t.Topic) }) || !f.strike(s) {
					return
				}
				if asked == nil || len(asked) == 0 && x.Version == 0 {
					r.Topics = slices.DeleteFunc(r.Topics, func(t kmsg.MetadataResponseTopic) bool { return hidden(t.Topic) })
					break
				}
				byID := make(map[[16]byte]bool)
				for _, t := range asked {
					byID[t.TopicID] = t.Topic == nil
				}
				for i, t := range r.Topics {
					if !hidden(t.Topic) {
						continue
					}
					unknown := kmsg.NewMetadataResponseTopic()
					unknown.Topic, unknown.ErrorCode = t.Topic, kerr.UnknownTopicOrPartition.Code
					if byID[t.TopicID] {
						unknown.Topic, unknown.TopicID, unknown.ErrorCode = nil, t.TopicID, kerr.UnknownTopicID.Code
					}
					r.Topics[i] = unknown
				}
			case *kmsg.DescribeTopicPartitionsResponse:
				if !slices.ContainsFunc(r.Topics, func(t kmsg.DescribeTopicPartitionsResponseTopic) bool { return hidden(t.Topic) }) || !f.strike(s) {
					return
				}
				if len(req.(*kmsg.DescribeTopicPartitionsRequest).Topics) == 0 {
					r.Topics = slices.DeleteFunc(r.Topics, func(t kmsg.DescribeTopicPartitionsResponseTopic) bool { return hidden(t.Topic) })
					break
				}
				for i, t := range r.Topics {
					if hidden(t.Topic) {
						unknown := kmsg.NewDescribeTopicPartitionsResponseTopic()
						unknown.Topic, unknown.ErrorCode = t.Topic, kerr.UnknownTopicOrPartition.Code
						r.Topics[i] = unknown
					}
				}
			}
			x.SetResponse(resp)
			tr.struckRequest(f, x)
		},
	}
}

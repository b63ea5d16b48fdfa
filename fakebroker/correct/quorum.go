package correct

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// metadataTopic is the log of a KRaft cluster's metadata.
const metadataTopic = "__cluster_metadata"

func quorum(c Cluster) []Correction {
	q := &metadataLog{c: c}
	return []Correction{{
		Rule: wire.Rule{
			Name:    "DescribeQuorum describes a quorum of one controller",
			Keys:    wire.Keys(kmsg.DescribeQuorum),
			Request: asked(q.describe),
		},
		Restores:  "KIP-595, KIP-836, KIP-853: the metadata log, who votes on it and who reads it",
		Upstream:  "there is no 55_describe_quorum.go",
		Behaviour: "cluster/the quorum is described",
	}}
}

// metadataLog stands in for the log that kfake does not have: a controller that
// has nothing else to write writes a record every half second (KIP-835).
type metadataLog struct{ c Cluster }

func (q *metadataLog) describe(x *wire.Exchange, req *kmsg.DescribeQuorumRequest) {
	ask := kmsg.NewPtrDescribeClusterRequest()
	answer, err := q.c.Ask(x.Context(), x.Node, ask)
	if err != nil {
		return
	}
	cluster, ok := answer.(*kmsg.DescribeClusterResponse)
	if !ok {
		return
	}
	resp := kmsg.NewPtrDescribeQuorumResponse()
	resp.ErrorMessage = kmsg.StringPtr("")
	for _, t := range req.Topics {
		rt := kmsg.NewDescribeQuorumResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			if t.Topic == metadataTopic && p.Partition == 0 {
				rt.Partitions = append(rt.Partitions, quorumOf(cluster))
				continue
			}
			rp := kmsg.NewDescribeQuorumResponseTopicPartition()
			rp.Partition = p.Partition
			rp.ErrorCode = kerr.UnknownTopicOrPartition.Code
			rp.ErrorMessage = kmsg.StringPtr("This server does not host this topic-partition.")
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	for _, b := range cluster.Brokers {
		if b.NodeID == cluster.ControllerID {
			n := kmsg.NewDescribeQuorumResponseNode()
			n.NodeID = b.NodeID
			n.Listeners = []kmsg.DescribeQuorumResponseNodeListener{{Name: "CONTROLLER", Host: b.Host, Port: uint16(b.Port)}}
			resp.Nodes = append(resp.Nodes, n)
		}
	}
	x.Reply(resp)
}

func quorumOf(cluster *kmsg.DescribeClusterResponse) kmsg.DescribeQuorumResponseTopicPartition {
	const record = 500 * time.Millisecond
	// Clusters start with a log of some length, and all of them alike: what
	// counts is that it grows.
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	now := time.Now()
	end := 1 + int64(now.Sub(began)/record)

	p := kmsg.NewDescribeQuorumResponseTopicPartition()
	p.ErrorMessage = kmsg.StringPtr("")
	p.LeaderID, p.LeaderEpoch, p.HighWatermark = cluster.ControllerID, 1, end
	for _, b := range cluster.Brokers {
		s := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		s.ReplicaID, s.LogEndOffset = b.NodeID, end
		s.LastFetchTimestamp, s.LastCaughtUpTimestamp = now.UnixMilli(), now.UnixMilli()
		if b.NodeID == cluster.ControllerID {
			p.CurrentVoters = append(p.CurrentVoters, s)
		} else {
			p.Observers = append(p.Observers, s)
		}
	}
	return p
}

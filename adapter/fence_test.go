package adapter

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFenceCommit_takesOutWhatWasTakenAway(t *testing.T) {
	ours, fenced := &lane{}, &lane{fenceUp: true}
	lanes := map[topicPartition]laneCommit{
		{"a", 0}: {ours, commitment{metadata: "known"}}, {"a", 1}: {lane: fenced}, {"b", 0}: {lane: fenced},
	}
	request := func(partitions map[string][]int32) *kmsg.OffsetCommitRequest {
		req := kmsg.NewPtrOffsetCommitRequest()
		for _, topic := range sortedKeys(partitions) {
			rt := kmsg.NewOffsetCommitRequestTopic()
			rt.Topic = topic
			for _, p := range partitions[topic] {
				rp := kmsg.NewOffsetCommitRequestTopicPartition()
				rp.Partition = p
				rt.Partitions = append(rt.Partitions, rp)
			}
			req.Topics = append(req.Topics, rt)
		}
		return req
	}
	req := request(map[string][]int32{"a": {0, 1, 2}, "b": {0}})
	require.NoError(t, fenceCommit(req, lanes))
	require.Len(t, req.Topics, 1)
	require.Len(t, req.Topics[0].Partitions, 1)
	assert.Equal(t, "a", req.Topics[0].Topic)
	assert.Zero(t, req.Topics[0].Partitions[0].Partition)
	assert.Equal(t, "known", *req.Topics[0].Partitions[0].Metadata)

	require.ErrorIs(t, fenceCommit(request(map[string][]int32{"a": {1}, "b": {0}}), lanes), errAllFenced)
}

package brokertest

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func recordBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "topics/a compacted topic takes no record without a key",
			Source: "KIP-467; LogValidator",
			Run:    compactedTopicsNeedKeys,
		},
		{
			Name:   "topics/a topic needs keys for as long as it is compacted",
			Source: "cleanup.policy; LogValidator",
			Run:    keysWhileCompacted,
		},
		{
			Name:   "topics/records below the log start are deleted already",
			Source: "KIP-107: DeleteRecords; Partition.deleteRecordsOnLeader",
			Run:    recordsAreDeletedOnce,
		},
		{
			Name:   "topics/records that are only compacted are not deleted",
			Source: "KIP-107: DeleteRecords; Partition.deleteRecordsOnLeader",
			Run:    recordsAreDeletedByPolicy,
		},
		{
			Name:   "topics/special timestamps",
			Source: "ListOffsets; KIP-734, KIP-405, KIP-1005, KIP-1023",
			Run:    specialTimestamps,
		},
	}
}

// keyedBatch is a batch of records with these keys, nil for none.
func keyedBatch(keys ...[]byte) []byte {
	var records []kmsg.Record
	for _, k := range keys {
		records = append(records, kmsg.Record{Key: k, Value: []byte("v")})
	}
	return encodeRecords(kmsg.RecordBatch{ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1}, records...)
}

// produceRaw sends a batch to partition 0 as it is.
func produceRaw(t T, cl *kgo.Client, topic string, batch []byte) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	m := ask[*kmsg.MetadataResponse](t, cl, metadataOf(false, topic)).Topics[0]
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, int32(patience.Milliseconds())
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = topic, m.TopicID
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = batch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := cl.Broker(int(m.Partitions[0].Leader)).Request(within(t), req)
	noError(t, err)
	return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

func compactedTopicsNeedKeys(t T, c Cluster) {
	key := []byte("k")
	for _, v := range []int16{7, 8, 9, 12, 13} {
		for _, policy := range []string{"compact", "compact,delete"} {
			cl := newClient(t, c, version(kmsg.Produce, v))
			topic := newTopic(t, cl, 1, "cleanup.policy", policy)
			p := produceRaw(t, cl, topic, keyedBatch(key, nil, key, nil, nil, nil))
			code(t, "records without key", p.ErrorCode, kerr.InvalidRecord)
			equal(t, "base offset", p.BaseOffset, -1)
			equal(t, "log start", p.LogStartOffset, 0)
			if v >= 8 {
				message := "Compacted topic cannot accept message without key in topic partition " + topic + "-0"
				var records, first []string
				for _, r := range p.ErrorRecords {
					records = append(records, number(r.RelativeOffset)+" "+text(r.ErrorMessage))
				}
				var want []string
				for _, i := range []int32{1, 3, 4, 5} {
					want = append(want, number(i)+" "+message)
					first = append(first, fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", i, message))
				}
				equal(t, "records", records, want)
				equal(t, "message", text(p.ErrorMessage),
					"One or more records have been rejected due to 4 record errors in total, and only showing the first three errors at most: ["+strings.Join(first[:3], ", ")+"]")
			}
			p = produceRaw(t, cl, topic, keyedBatch(key, []byte{}))
			code(t, "records with keys", p.ErrorCode, nil)
			equal(t, "base offset", p.BaseOffset, 0)
		}
	}
	// Through a client: compressed, idempotent, and next to a topic that is
	// not compacted.
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		cl := newClient(t, c, kgo.ProducerBatchCompression(codec))
		compacted, other := newTopic(t, cl, 1, "cleanup.policy", "compact"), newTopic(t, cl, 1)
		value := []byte(strings.Repeat("v", 1000))
		err := cl.ProduceSync(within(t), &kgo.Record{Topic: compacted, Value: value}).FirstErr()
		if err == nil || !strings.Contains(err.Error(), kerr.InvalidRecord.Message) {
			t.Errorf("produced without a key: %v, want %v", err, kerr.InvalidRecord)
		}
		noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: compacted, Key: key, Value: value}, &kgo.Record{Topic: other, Value: value}).FirstErr())
	}
}

func keysWhileCompacted(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	alter := func(policy string) {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		res := kmsg.NewIncrementalAlterConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
		conf := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		conf.Name, conf.Value = "cleanup.policy", &policy
		res.Configs = append(res.Configs, conf)
		req.Resources = append(req.Resources, res)
		code(t, policy, ask[*kmsg.IncrementalAlterConfigsResponse](t, cl, req).Resources[0].ErrorCode, nil)
	}
	write := func() int16 { return produceRaw(t, cl, topic, keyedBatch(nil)).ErrorCode }
	code(t, "before", write(), nil)
	alter("compact")
	eventually(t, "a refusal", func() bool { return write() == kerr.InvalidRecord.Code })
	alter("delete")
	eventually(t, "no refusal", func() bool { return write() == 0 })
}

func recordsAreDeletedOnce(t T, c Cluster) {
	for _, v := range []int16{0, 1, 2} {
		cl := newClient(t, c, version(kmsg.DeleteRecords, v))
		topic := newTopic(t, cl, 1)
		produce(t, cl, topic, "a", "b", "c", "d", "e")
		for _, try := range []struct {
			topic     string
			partition int32
			to        int64
			code      *kerr.Error
			low       int64
		}{
			{topic, 0, 3, nil, 3},
			{topic, 0, 2, nil, 3},
			{topic, 0, 0, nil, 3},
			{topic, 0, 6, kerr.OffsetOutOfRange, -1},
			{topic, 0, -2, kerr.OffsetOutOfRange, -1},
			{topic, 0, 3, nil, 3},
			{topic, 0, -1, nil, 5},
			{topic, 0, 5, nil, 5},
			{topic, 7, 0, kerr.UnknownTopicOrPartition, -1},
			{name("missing"), 0, 0, kerr.UnknownTopicOrPartition, -1},
		} {
			p := deleteRecords(t, cl, topic, try.topic, try.partition, try.to)
			what := fmt.Sprintf("deleted up to %d in partition %d of %s", try.to, try.partition, try.topic)
			code(t, what, p.ErrorCode, try.code)
			equal(t, "low watermark when "+what, p.LowWatermark, try.low)
		}
	}
}

func recordsAreDeletedByPolicy(t T, c Cluster) {
	cl := newClient(t, c)
	for policy, refusal := range map[string]*kerr.Error{"compact": kerr.PolicyViolation, "compact,delete": nil, "delete": nil, "": nil} {
		topic := newTopic(t, cl, 1, "cleanup.policy", policy)
		for range 3 {
			noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("v")}).FirstErr())
		}
		for _, to := range []int64{0, 2, -1, -2, 9} {
			what := fmt.Sprintf("cleanup.policy=%s, deleted up to %d", policy, to)
			p := deleteRecords(t, cl, topic, topic, 0, to)
			switch {
			case refusal != nil:
				code(t, what, p.ErrorCode, refusal)
				equal(t, "low watermark of "+what, p.LowWatermark, int64(-1))
			case to == -2 || to == 9:
				code(t, what, p.ErrorCode, kerr.OffsetOutOfRange)
			default:
				code(t, what, p.ErrorCode, nil)
			}
		}
		code(t, "unknown partition", deleteRecords(t, cl, topic, topic, 7, 0).ErrorCode, kerr.UnknownTopicOrPartition)
		first := int64(0)
		if refusal == nil {
			first = 3
		}
		equal(t, "first offset with cleanup.policy="+policy, offsetAt(t, cl, topic, -2).Offset, first)
	}
}

// deleteRecords asks the leader of a topic's first partition.
func deleteRecords(t T, cl *kgo.Client, leads, topic string, of int32, to int64) kmsg.DeleteRecordsResponseTopicPartition {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = int32(patience.Milliseconds())
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition, rp.Offset = of, to
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := cl.Broker(int(partition(t, cl, leads).Leader)).Request(within(t), req)
	noError(t, err)
	return resp.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
}

func specialTimestamps(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 2)
	for i := range 3 {
		r := &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: time.Now().Add(time.Duration(i) * time.Second)}
		noError(t, cl.ProduceSync(within(t), r).FirstErr())
	}
	leader := partition(t, cl, topic).Leader
	for _, try := range []struct {
		version   int16
		topic     string
		partition int32
		timestamp int64
		epoch     int32
		code      *kerr.Error
		offset    int64
	}{
		{1, topic, 0, -1, -1, nil, 3},
		{1, topic, 0, -2, -1, nil, 0},
		{6, topic, 0, -3, -1, kerr.UnsupportedVersion, -1},
		{7, topic, 0, -3, -1, nil, 2},
		{7, topic, 0, -4, -1, kerr.UnsupportedVersion, -1},
		{8, topic, 0, -4, -1, nil, 0},
		{8, topic, 0, -5, -1, kerr.UnsupportedVersion, -1},
		{9, topic, 0, -5, -1, nil, -1},
		{9, topic, 0, -6, -1, kerr.UnsupportedVersion, -1},
		{10, topic, 0, -6, -1, kerr.UnsupportedVersion, -1},
		{11, topic, 0, -1, -1, nil, 3},
		{11, topic, 0, -6, -1, nil, -1},
		{11, topic, 0, -7, -1, kerr.UnsupportedVersion, -1},
		{9, topic, 0, -7, -1, kerr.UnsupportedVersion, -1},
		{7, topic, 0, 0, -1, nil, 0},
		{7, topic, 0, 1 << 50, -1, nil, -1},
		{7, topic, 0, -1, 9, kerr.UnknownLeaderEpoch, -1},
		{7, topic, 7, -1, -1, kerr.UnknownTopicOrPartition, -1},
		{7, name("missing"), 0, -1, -1, kerr.UnknownTopicOrPartition, -1},
	} {
		at := newClient(t, c, version(kmsg.ListOffsets, try.version))
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = try.topic
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = try.partition, try.timestamp, try.epoch
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		resp, err := at.Broker(int(leader)).Request(within(t), req)
		noError(t, err)
		p := resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
		what := fmt.Sprintf("timestamp %d in version %d, partition %d of %s", try.timestamp, try.version, try.partition, try.topic)
		code(t, what, p.ErrorCode, try.code)
		equal(t, "offset of "+what, p.Offset, try.offset)
	}
}

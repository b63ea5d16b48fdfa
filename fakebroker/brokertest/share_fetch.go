package brokertest

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func shareFetchBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "share/ShareFetch has empty records where there are none",
			Source: "ShareFetch; ShareFetchResponse.partitionResponse",
			Run:    sharesAreEmpty,
		},
		{
			Name:   "share/the first answer of a session lists every partition",
			Source: "KIP-932; ShareSessionContext.updateAndGenerateResponseData",
			Run:    sessionListsAll,
		},
		{
			Name:   "share/a refused fetch locks nothing",
			Source: "ShareFetchRequest.getErrorResponse",
			Run:    refusedShareFetch,
		},
		{
			Name:   "share/ShareFetch answers no more than MaxBytes",
			Source: "KIP-932; PartitionMaxBytesStrategy",
			Run:    sharesAreLimited,
		},
		{
			Name:   "share/ShareFetch of no bytes answers no records",
			Source: "KIP-932; SharePartitionManager.processShareFetch",
			Run:    sharesOfNoBytes,
		},
	}
}

// shareSession is a share session of a member that reads partition 0 of a topic.
type shareSession struct {
	t      T
	cl     *kgo.Client
	broker *kgo.Broker
	m      member
	topic  topicOf
	epoch  int32
}

func newShareSession(t T, c Cluster, topic topicOf) *shareSession {
	t.Helper()
	cl := newClient(t, c)
	m := sharing(t, c, topic)
	return &shareSession{t: t, cl: cl, broker: cl.Broker(int(partition(t, cl, topic.name).Leader)), m: m, topic: topic}
}

// beside is a session of another member of the same group.
func (s *shareSession) beside(c Cluster) *shareSession {
	s.t.Helper()
	cl := newClient(s.t, c)
	m := member{group: s.m.group, id: name("member")}
	code(s.t, "join", ask[*kmsg.ShareGroupHeartbeatResponse](s.t, cl, shareHeartbeat(m.group, m.id, 0, s.topic.name)).ErrorCode, nil)
	s.t.Cleanup(func() { askLast(s.t, c, shareHeartbeat(m.group, m.id, -1)) })
	return &shareSession{t: s.t, cl: cl, broker: cl.Broker(int(partition(s.t, cl, s.topic.name).Leader)), m: m, topic: s.topic}
}

// acknowledge accepts records by a request of its own.
func (s *shareSession) acknowledge(epoch int32, first, last int64) {
	s.t.Helper()
	resp := s.acknowledges(epoch, first, last, accept)
	code(s.t, "acknowledge in epoch "+number(epoch), resp.ErrorCode, nil)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			code(s.t, "acknowledged partition", p.ErrorCode, nil)
		}
	}
}

// acknowledges asks to settle records, each with its fate or all with one.
func (s *shareSession) acknowledges(epoch int32, first, last int64, fates ...int8) *kmsg.ShareAcknowledgeResponse {
	s.t.Helper()
	req := kmsg.NewPtrShareAcknowledgeRequest()
	req.GroupID, req.MemberID, req.ShareSessionEpoch = &s.m.group, &s.m.id, epoch
	rt := kmsg.NewShareAcknowledgeRequestTopic()
	rt.TopicID = s.topic.id
	rp := kmsg.NewShareAcknowledgeRequestTopicPartition()
	batch := kmsg.NewShareAcknowledgeRequestTopicPartitionAcknowledgementBatch()
	batch.FirstOffset, batch.LastOffset, batch.AcknowledgeTypes = first, last, fates
	rp.AcknowledgementBatches = append(rp.AcknowledgementBatches, batch)
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := s.broker.Request(within(s.t), req)
	noError(s.t, err)
	return answer.(*kmsg.ShareAcknowledgeResponse)
}

// fetch asks for what there is, and acknowledges batches of an answer before.
func (s *shareSession) fetch(waitMillis, maxBytes int32, acknowledge ...kmsg.ShareFetchResponseTopicPartitionAcquiredRecord) kmsg.ShareFetchResponseTopicPartition {
	s.t.Helper()
	req := kmsg.NewPtrShareFetchRequest()
	req.GroupID, req.MemberID, req.ShareSessionEpoch = &s.m.group, &s.m.id, s.epoch
	req.MaxWaitMillis, req.MaxBytes, req.MaxRecords, req.BatchSize = waitMillis, maxBytes, 500, 500
	rt := kmsg.NewShareFetchRequestTopic()
	rt.TopicID = s.topic.id
	rp := kmsg.NewShareFetchRequestTopicPartition()
	for _, r := range acknowledge {
		ack := kmsg.NewShareFetchRequestTopicPartitionAcknowledgementBatch()
		ack.FirstOffset, ack.LastOffset, ack.AcknowledgeTypes = r.FirstOffset, r.LastOffset, []int8{1}
		rp.AcknowledgementBatches = append(rp.AcknowledgementBatches, ack)
	}
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := s.broker.Request(within(s.t), req)
	noError(s.t, err)
	resp := answer.(*kmsg.ShareFetchResponse)
	code(s.t, "fetch "+number(s.epoch), resp.ErrorCode, nil)
	s.epoch++
	var got kmsg.ShareFetchResponseTopicPartition
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			code(s.t, "partition", p.ErrorCode, nil)
			code(s.t, "acknowledgement", p.AcknowledgeErrorCode, nil)
			if p.Records == nil {
				s.t.Errorf("fetch %d: records are null", s.epoch-1)
			}
			got = p
		}
	}
	return got
}

func sharesAreEmpty(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	s := newShareSession(t, c, topic)
	s.fetch(0, 1<<20)
	produce(t, cl, topic.name, "a")
	var got kmsg.ShareFetchResponseTopicPartition
	eventually(t, "the record", func() bool {
		got = s.fetch(100, 1<<20)
		return len(got.AcquiredRecords) > 0
	})
	s.fetch(0, 1<<20, got.AcquiredRecords...) // answers the acknowledgement, without records
}

// shareFetchOf is a request for partition 0 of a topic.
func shareFetchOf(m member, topic topicOf, epoch int32) *kmsg.ShareFetchRequest {
	req := kmsg.NewPtrShareFetchRequest()
	req.GroupID, req.MemberID, req.ShareSessionEpoch = &m.group, &m.id, epoch
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.MaxRecords, req.BatchSize = 100, 1, 1<<20, 500, 500
	if epoch == 0 {
		rt := kmsg.NewShareFetchRequestTopic()
		rt.TopicID = topic.id
		rt.Partitions = append(rt.Partitions, kmsg.NewShareFetchRequestTopicPartition())
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func sessionListsAll(t T, c Cluster) {
	for _, v := range versions(1, 2) {
		cl := newClient(t, c, version(kmsg.ShareFetch, v))
		topic := newTopicOf(t, cl, 1)
		m := sharing(t, c, topic)
		leader := partition(t, cl, topic.name).Leader
		// Before the broker has read the state of the group, it has nothing to list.
		eventually(t, "an answer with the partition", func() bool {
			resp := askOf[*kmsg.ShareFetchResponse](t, cl, leader, shareFetchOf(m, topic, 0))
			code(t, "fetch", resp.ErrorCode, nil)
			return len(resp.Topics) > 0
		})
		for epoch, want := range []int{1, 0, 0} {
			resp := askOf[*kmsg.ShareFetchResponse](t, cl, leader, shareFetchOf(m, topic, int32(epoch)))
			code(t, "fetch", resp.ErrorCode, nil)
			equal(t, "topics of answer "+number(int32(epoch)), len(resp.Topics), want)
			for _, rt := range resp.Topics {
				equal(t, "partitions", len(rt.Partitions), 1)
				code(t, "partition", rt.Partitions[0].ErrorCode, nil)
				equal(t, "records are null", rt.Partitions[0].Records == nil, false)
				equal(t, "bytes of records", len(rt.Partitions[0].Records), 0)
			}
		}
	}
}

func refusedShareFetch(t T, c Cluster) {
	for _, v := range versions(1, 2) {
		cl := newClient(t, c, version(kmsg.ShareFetch, v))
		topic := newTopicOf(t, cl, 1)
		m := sharing(t, c, topic)
		leader := partition(t, cl, topic.name).Leader
		for _, tc := range []struct {
			epoch int32
			code  *kerr.Error
			locks bool
		}{
			{4, kerr.ShareSessionNotFound, false},
			{0, nil, true},
			{9, kerr.InvalidShareSessionEpoch, false},
		} {
			resp := askOf[*kmsg.ShareFetchResponse](t, cl, leader, shareFetchOf(m, topic, tc.epoch))
			what := "epoch " + number(tc.epoch) + " v" + number(int32(v))
			code(t, what, resp.ErrorCode, tc.code)
			equal(t, what+" locks", resp.AcquisitionLockTimeoutMillis > 0, tc.locks)
		}
	}
}

// Each record is a batch. They come one after the other, each once, and each with
// its batch.
func sharesAreLimited(t T, c Cluster) {
	const records, length = 40, 1000
	cl := newClient(t, c, kgo.ProducerBatchCompression(kgo.NoCompression()))
	topic := newTopicOf(t, cl, 1)
	value := make([]byte, length)
	for range records {
		produce(t, cl, topic.name, string(value))
	}
	for _, maxBytes := range []int32{1, 3500, 10_000} {
		what := "at most " + strconv.Itoa(int(maxBytes)) + " bytes: "
		s := newShareSession(t, c, topic)
		var last []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord
		next := int64(0)
		eventually(t, what+"all records", func() bool {
			got := s.fetch(100, maxBytes, last...)
			last = got.AcquiredRecords
			if len(got.Records) > int(maxBytes) && len(got.Records) > 2*length {
				t.Errorf("%s%d bytes", what, len(got.Records))
			}
			offsets := batchOffsets(got.Records)
			for _, r := range last {
				equal(t, what+"deliveries", r.DeliveryCount, 1)
				for ; r.FirstOffset <= r.LastOffset; r.FirstOffset++ {
					equal(t, what+"offset", r.FirstOffset, next)
					equal(t, what+"has its batch", slices.Contains(offsets, next), true)
					next++
				}
			}
			return next == records
		})
	}
}

func sharesOfNoBytes(t T, c Cluster) {
	const records = 4
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	for range records {
		produce(t, cl, topic.name, "v")
	}
	s := newShareSession(t, c, topic)
	for range 3 {
		got := s.fetch(100, 0)
		equal(t, "bytes", len(got.Records), 0)
		equal(t, "acquired", len(got.AcquiredRecords), 0)
	}
	next := int64(0)
	eventually(t, "all records", func() bool {
		for _, r := range s.fetch(100, 1<<20).AcquiredRecords {
			equal(t, "deliveries", r.DeliveryCount, 1)
			equal(t, "offset", r.FirstOffset, next)
			next = r.LastOffset + 1
		}
		return next == records
	})
}

// batchOffsets are the base offsets of record batches.
func batchOffsets(b []byte) (offsets []int64) {
	const before = 12 // what the length does not count
	for len(b) > before {
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(b); err != nil {
			return offsets
		}
		offsets = append(offsets, batch.FirstOffset)
		b = b[min(len(b), before+int(batch.Length)):]
	}
	return offsets
}

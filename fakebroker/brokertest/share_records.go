package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func shareRecordBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "share/an accepted record is settled",
			Source: "KIP-932: ACCEPT",
			Run:    acceptedIsSettled,
		},
		{
			Name:   "share/a released record is delivered again and counted",
			Source: "KIP-932: RELEASE; delivery count",
			Run:    releasedIsDeliveredAgain,
		},
		{
			Name:   "share/a rejected record is not delivered again",
			Source: "KIP-932: REJECT; archived",
			Run:    rejectedIsArchived,
		},
		{
			Name:   "share/records of one batch have fates of their own",
			Source: "KIP-932: AcknowledgeTypes, one a record",
			Run:    fatesOfOneBatch,
		},
		{
			Name:   "share/a record is delivered as often as the limit allows",
			Source: "KIP-932: group.share.delivery.count.limit, 5 by default",
			Run:    deliveriesHaveALimit,
		},
		{
			Name:   "share/a record whose lock expires is delivered again",
			Source: "KIP-932: group.share.record.lock.duration.ms",
			Needs:  Needs{ShortSessions: true},
			Run:    lockExpires,
		},
		{
			Name:   "share/only who has acquired a record acknowledges it, and once",
			Source: "KIP-932: INVALID_RECORD_STATE; SharePartition.acknowledge",
			Run:    acknowledgedOnce,
		},
	}
}

// What a member says of a record that it has acquired.
const (
	accept  int8 = 1
	release int8 = 2
	reject  int8 = 3
)

// settles acknowledges records, each with its fate or all with one, and goes on in
// the session. It returns the error code of the partition.
func (s *shareSession) settles(first, last int64, fates ...int8) int16 {
	s.t.Helper()
	resp := s.acknowledges(s.epoch, first, last, fates...)
	code(s.t, "acknowledgement", resp.ErrorCode, nil)
	s.epoch++
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		s.t.Errorf("acknowledgement: answer of %d topics", len(resp.Topics))
		s.t.FailNow()
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

// acquired is a record with how often it was delivered.
type acquired struct {
	offset     int64
	deliveries int16
}

// acquires fetches until it has so many records, in the order that they came in.
func (s *shareSession) acquires(what string, n int) (all []acquired) {
	s.t.Helper()
	eventually(s.t, "records "+what, func() bool {
		for _, r := range s.fetch(100, 1<<20).AcquiredRecords {
			for at := r.FirstOffset; at <= r.LastOffset; at++ {
				all = append(all, acquired{at, r.DeliveryCount})
			}
		}
		return len(all) >= n
	})
	return all
}

// sharesRecords writes records, each a batch, and acquires them all.
func sharesRecords(t T, c Cluster, values ...string) (*kgo.Client, *shareSession) {
	t.Helper()
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	produce(t, cl, topic.name, values...)
	s := newShareSession(t, c, topic)
	var want []acquired
	for i := range values {
		want = append(want, acquired{int64(i), 1})
	}
	equal(t, "acquired at first", s.acquires("at first", len(values)), want)
	return cl, s
}

func acceptedIsSettled(t T, c Cluster) {
	cl, s := sharesRecords(t, c, "0", "1", "2")
	code(t, "accepted", s.settles(0, 2, accept), nil)
	other := s.beside(c)
	produce(t, cl, s.topic.name, "3")
	equal(t, "acquired by another", other.acquires("that are new", 1), []acquired{{3, 1}})
}

func releasedIsDeliveredAgain(t T, c Cluster) {
	_, s := sharesRecords(t, c, "0")
	other := s.beside(c)
	for deliveries := int16(2); deliveries <= 4; deliveries++ {
		code(t, "released", s.settles(0, 0, release), nil)
		equal(t, "acquired", other.acquires("that were released", 1), []acquired{{0, deliveries}})
		s, other = other, s
	}
}

func rejectedIsArchived(t T, c Cluster) {
	cl, s := sharesRecords(t, c, "0", "1")
	code(t, "rejected", s.settles(0, 0, reject), nil)
	code(t, "released", s.settles(1, 1, release), nil)
	equal(t, "acquired", s.acquires("after that", 1), []acquired{{1, 2}})
	code(t, "rejected", s.settles(1, 1, reject), nil)
	produce(t, cl, s.topic.name, "2")
	equal(t, "acquired", s.acquires("that are new", 1), []acquired{{2, 1}})
}

// fatesOfOneBatch acknowledges the records of one batch of a producer.
func fatesOfOneBatch(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	code(t, "batch", produceRaw(t, cl, topic.name, batch("0", "1", "2", "3", "4")).ErrorCode, nil)
	s := newShareSession(t, c, topic)
	equal(t, "acquired at first", s.acquires("at first", 5), []acquired{{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}})
	code(t, "acknowledged", s.settles(0, 4, accept, release, reject, release, accept), nil)
	produce(t, cl, topic.name, "5")
	equal(t, "acquired then", s.acquires("that are left", 3), []acquired{{1, 2}, {3, 2}, {5, 1}})
}

func deliveriesHaveALimit(t T, c Cluster) {
	const limit = 5
	cl, s := sharesRecords(t, c, "0")
	for deliveries := int16(2); deliveries <= limit; deliveries++ {
		code(t, "released", s.settles(0, 0, release), nil)
		equal(t, "acquired", s.acquires("that were released", 1), []acquired{{0, deliveries}})
	}
	code(t, "released for the last time", s.settles(0, 0, release), nil)
	produce(t, cl, s.topic.name, "1")
	equal(t, "acquired", s.acquires("that are new", 1), []acquired{{1, 1}})
}

func lockExpires(t T, c Cluster) {
	_, s := sharesRecords(t, c, "0")
	equal(t, "acquired", s.beside(c).acquires("that the first had", 1), []acquired{{0, 2}})
	code(t, "accepted too late", s.settles(0, 0, accept), kerr.InvalidRecordState)
}

func acknowledgedOnce(t T, c Cluster) {
	cl, s := sharesRecords(t, c, "0", "1")
	other := s.beside(c)
	produce(t, cl, s.topic.name, "2")
	equal(t, "acquired by the other", other.acquires("that are new", 1), []acquired{{2, 1}})
	code(t, "accepted by who has not acquired it", other.settles(0, 0, accept), kerr.InvalidRecordState)
	code(t, "accepted", s.settles(1, 1, accept), nil)
	code(t, "rejected after that", s.settles(1, 1, reject), kerr.InvalidRecordState)
	code(t, "accepted, the first, which is in flight", s.settles(0, 0, accept), nil)
}

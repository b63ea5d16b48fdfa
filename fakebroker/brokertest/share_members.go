package brokertest

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func shareMemberBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "share/epochs begin with 2",
			Source: "KIP-932; GroupMetadataManager.shareGroupHeartbeat",
			Run:    shareEpochs,
		},
		{
			Name:   "share/a session outlives its member",
			Source: "KIP-932; SharePartitionManager.releaseSession, ShareSessionCache",
			Run:    sessionOutlivesMember,
		},
	}
}

func shareEpochs(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	group, first, second := name("group"), name("member"), name("member")
	t.Cleanup(func() {
		askLast(t, c, shareHeartbeat(group, first, -1))
		askLast(t, c, shareHeartbeat(group, second, -1))
		deleteGroup(t, c, group)
	})
	beat := func(what, id string, epoch int32, want *kerr.Error, topics ...string) int32 {
		t.Helper()
		resp := ask[*kmsg.ShareGroupHeartbeatResponse](t, cl, shareHeartbeat(group, id, epoch, topics...))
		code(t, what, resp.ErrorCode, want)
		return resp.MemberEpoch
	}
	equal(t, "first member's epoch", beat("join", first, 0, nil, topic.name), 2)
	one := describeShare(t, cl, group)
	if one.GroupEpoch < 2 || one.AssignmentEpoch < 2 {
		t.Errorf("epochs of group and assignment: %d and %d, want 2 or more", one.GroupEpoch, one.AssignmentEpoch)
	}
	equal(t, "members", len(one.Members), 1)
	equal(t, "epoch of the member", one.Members[0].MemberEpoch, 2)
	equal(t, "epoch beside an error", beat("an epoch that never was", first, 1, kerr.FencedMemberEpoch), 0)
	epoch := beat("its epoch", first, 2, nil)
	equal(t, "epoch of who has left", beat("leave", first, -1, nil), -1)
	if epoch < 2 {
		t.Errorf("epoch %d, want 2 or more", epoch)
	}
	beat("another one", second, 0, nil, topic.name)
}

// sessionOutlivesMember has a member acknowledge some records after it has left,
// and give back the others with its session or its connection.
func sessionOutlivesMember(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	produce(t, cl, topic.name, "0", "1", "2", "3", "4", "5")
	acquires := func(when string, s *shareSession, first, last int64, deliveries int16) {
		t.Helper()
		var got []kmsg.ShareFetchResponseTopicPartitionAcquiredRecord
		eventually(t, "records "+when, func() bool {
			got = s.fetch(100, 1<<20).AcquiredRecords
			return len(got) > 0
		})
		equal(t, "first offset acquired "+when, got[0].FirstOffset, first)
		equal(t, "last offset acquired "+when, got[len(got)-1].LastOffset, last)
		equal(t, "deliveries "+when, got[0].DeliveryCount, deliveries)
	}
	leave := func(s *shareSession) {
		t.Helper()
		code(t, "leave", ask[*kmsg.ShareGroupHeartbeatResponse](t, cl, shareHeartbeat(s.m.group, s.m.id, -1)).ErrorCode, nil)
	}
	one := newShareSession(t, c, topic)
	other := one.beside(c)
	acquires("at first", one, 0, 5, 1)
	leave(one)
	equal(t, "acquired by another while they are locked", len(other.fetch(0, 1<<20).AcquiredRecords), 0)
	one.acknowledge(one.epoch, 0, 1)
	one.epoch++
	batch := kmsg.NewShareFetchResponseTopicPartitionAcquiredRecord()
	batch.FirstOffset, batch.LastOffset = 2, 2
	one.fetch(0, 1<<20, batch)
	one.acknowledge(-1, 3, 3)
	acquires("when the session has ended", other, 4, 5, 2)

	third := other.beside(c)
	leave(other)
	other.cl.Close()
	acquires("when the connection has ended", third, 4, 5, 3)
}

package brokertest

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func faultBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "faults/who does not lead a partition refuses it",
			Source: "NOT_LEADER_OR_FOLLOWER: Produce, Fetch, ListOffsets, DeleteRecords, OffsetForLeaderEpoch",
			Needs:  Needs{Brokers: 2},
			Run:    followersRefuse,
		},
		{
			Name:   "faults/who does not coordinate a group refuses its members",
			Source: "NOT_COORDINATOR: the APIs of groups",
			Needs:  Needs{Brokers: 2},
			Run:    othersDoNotCoordinate,
		},
		{
			Name:   "faults/clients follow a leader that moves",
			Source: "KIP-455, KIP-320; Metadata",
			Needs:  Needs{Brokers: 2},
			Run:    clientsFollowLeader,
		},
		{
			Name:   "faults/a leader epoch that is over is fenced",
			Source: "KIP-320: FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH",
			Needs:  Needs{Brokers: 2},
			Run:    leaderEpochsAreChecked,
		},
		{
			Name:   "faults/a request that is cut off is not done",
			Source: "the protocol guide: requests are size delimited",
			Run:    cutRequestIsNotDone,
		},
		{
			Name:   "faults/a request is done though its connection is gone",
			Source: "the protocol guide; SocketServer.processDisconnected",
			Run:    doneWithoutConnection,
		},
		{
			Name:   "faults/a member outlives its connection",
			Source: "KIP-62, KIP-848: membership ends with the session",
			Run:    memberOutlivesConnection,
		},
	}
}

func followersRefuse(t T, c Cluster) {
	cl := newClient(t, c)
	topic, partitions := created(t, cl, 1, 1)
	of := topicOf{topic, describe(t, cl, topic).TopicID}
	other := otherBroker(t, cl, partitions[0].Leader)
	produce(t, cl, topic, "a")

	write := kmsg.NewPtrProduceRequest()
	write.Acks, write.TimeoutMillis = -1, int32(patience.Milliseconds())
	wt := kmsg.NewProduceRequestTopic()
	wt.Topic, wt.TopicID = of.name, of.id
	wp := kmsg.NewProduceRequestTopicPartition()
	wp.Records = batch("b")
	wt.Partitions = append(wt.Partitions, wp)
	write.Topics = append(write.Topics, wt)
	written := askOf[*kmsg.ProduceResponse](t, cl, other, write).Topics[0].Partitions[0]
	code(t, "Produce", written.ErrorCode, kerr.NotLeaderForPartition)

	read := askOf[*kmsg.FetchResponse](t, cl, other, fetchOf(-1, 1, of)).Topics[0].Partitions[0]
	code(t, "Fetch", read.ErrorCode, kerr.NotLeaderForPartition)
	equal(t, "records fetched", len(read.RecordBatches), 0)

	list := kmsg.NewPtrListOffsetsRequest()
	list.ReplicaID = -1
	lt := kmsg.NewListOffsetsRequestTopic()
	lt.Topic = topic
	lp := kmsg.NewListOffsetsRequestTopicPartition()
	lp.Timestamp, lp.CurrentLeaderEpoch = -1, -1
	lt.Partitions = append(lt.Partitions, lp)
	list.Topics = append(list.Topics, lt)
	code(t, "ListOffsets", askOf[*kmsg.ListOffsetsResponse](t, cl, other, list).Topics[0].Partitions[0].ErrorCode, kerr.NotLeaderForPartition)

	forget := kmsg.NewPtrDeleteRecordsRequest()
	forget.TimeoutMillis = int32(patience.Milliseconds())
	ft := kmsg.NewDeleteRecordsRequestTopic()
	ft.Topic = topic
	fp := kmsg.NewDeleteRecordsRequestTopicPartition()
	fp.Offset = 1
	ft.Partitions = append(ft.Partitions, fp)
	forget.Topics = append(forget.Topics, ft)
	code(t, "DeleteRecords", askOf[*kmsg.DeleteRecordsResponse](t, cl, other, forget).Topics[0].Partitions[0].ErrorCode, kerr.NotLeaderForPartition)

	ends := kmsg.NewPtrOffsetForLeaderEpochRequest()
	et := kmsg.NewOffsetForLeaderEpochRequestTopic()
	et.Topic = topic
	ep := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	ep.CurrentLeaderEpoch = -1
	et.Partitions = append(et.Partitions, ep)
	ends.Topics = append(ends.Topics, et)
	code(t, "OffsetForLeaderEpoch", askOf[*kmsg.OffsetForLeaderEpochResponse](t, cl, other, ends).Topics[0].Partitions[0].ErrorCode, kerr.NotLeaderForPartition)

	equal(t, "first offset", offsetAt(t, cl, topic, -2).Offset, 0)
	equal(t, "end", offsetAt(t, cl, topic, -1).Offset, 1)
}

// coordinates is the node that coordinates a group.
func coordinates(t T, cl *kgo.Client, group string) (node int32) {
	t.Helper()
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorKeys = group, []string{group}
	eventually(t, "the coordinator of "+group, func() bool { // the first one is waited for
		resp := anyBroker[*kmsg.FindCoordinatorResponse](t, cl, find)
		failed := resp.ErrorCode
		node = resp.NodeID
		if len(resp.Coordinators) > 0 {
			failed, node = resp.Coordinators[0].ErrorCode, resp.Coordinators[0].NodeID
		}
		return failed == 0
	})
	return node
}

func othersDoNotCoordinate(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	group := name("group")
	other := otherBroker(t, cl, coordinates(t, cl, group))
	is := func(what string, ask func() int16) {
		t.Helper()
		got := ask()
		eventually(t, what+" of who knows the coordinators", func() bool { // it may hear of the first one late
			got = ask()
			return got != kerr.CoordinatorNotAvailable.Code
		})
		code(t, what, got, kerr.NotCoordinator)
	}
	static := joinOf(group, "", topic.name)
	static.InstanceID = kmsg.StringPtr("instance")
	is("JoinGroup", func() int16 { return askOf[*kmsg.JoinGroupResponse](t, cl, other, static).ErrorCode })
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = group, "member", 1
	sync.ProtocolType, sync.Protocol = &static.ProtocolType, &static.Protocols[0].Name
	is("SyncGroup", func() int16 { return askOf[*kmsg.SyncGroupResponse](t, cl, other, sync).ErrorCode })
	is("Heartbeat", func() int16 {
		return askOf[*kmsg.HeartbeatResponse](t, cl, other, heartbeatOf(group, "member", 1)).ErrorCode
	})
	is("LeaveGroup", func() int16 {
		return askOf[*kmsg.LeaveGroupResponse](t, cl, other, leaveOf(group, leaver("member", nil))).ErrorCode
	})
	is("OffsetCommit", func() int16 {
		return askOf[*kmsg.OffsetCommitResponse](t, cl, other, commitOf(group, "", -1, topic)).Topics[0].Partitions[0].ErrorCode
	})
	is("ConsumerGroupHeartbeat", func() int16 {
		return askOf[*kmsg.ConsumerGroupHeartbeatResponse](t, cl, other, consumerHeartbeat(group, topic.name)).ErrorCode
	})
	is("ShareGroupHeartbeat", func() int16 {
		return askOf[*kmsg.ShareGroupHeartbeatResponse](t, cl, other, shareHeartbeat(group, "member", 0, topic.name)).ErrorCode
	})
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = []string{group}
	is("DescribeGroups", func() int16 {
		return askOf[*kmsg.DescribeGroupsResponse](t, cl, other, describe).Groups[0].ErrorCode
	})
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{group}
	is("DeleteGroups", func() int16 {
		return askOf[*kmsg.DeleteGroupsResponse](t, cl, other, remove).Groups[0].ErrorCode
	})
}

// clientsFollowLeader moves a partition back and forth between what a producer
// writes, and a consumer reads all of it, in order.
func clientsFollowLeader(t T, c Cluster) {
	const moves = 2
	cl := newClient(t, c)
	topic, partitions := created(t, cl, 1, 1)
	reader := newClient(t, c, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	was := partitions[0]
	var written, read []string
	for i := range moves + 1 {
		value := strconv.Itoa(i)
		produce(t, cl, topic, value)
		written = append(written, value)
		ctx := within(t)
		for len(read) < len(written) && ctx.Err() == nil {
			reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { read = append(read, string(r.Value)) })
		}
		equal(t, "records read", read, written)
		if i == moves {
			break
		}
		to := otherBroker(t, cl, was.Leader)
		reassign(t, cl, topic, to)
		settled(t, cl, topic, to)
		now := knownAs(t, cl, "the new leader", topic, func(p kmsg.MetadataResponseTopicPartition) bool { return p.Leader == to })
		equal(t, "leader epoch is later", now.LeaderEpoch > was.LeaderEpoch, true)
		was = now
	}
}

func leaderEpochsAreChecked(t T, c Cluster) {
	cl := newClient(t, c)
	topic, partitions := created(t, cl, 1, 1)
	of := topicOf{topic, describe(t, cl, topic).TopicID}
	produce(t, cl, topic, "a")
	to := otherBroker(t, cl, partitions[0].Leader)
	reassign(t, cl, topic, to)
	settled(t, cl, topic, to)
	eventually(t, "the new leader", func() bool { return leads(t, cl, to, topic, []int32{0}) })
	now := partition(t, cl, topic).LeaderEpoch
	for epoch, want := range map[int32]*kerr.Error{now - 1: kerr.FencedLeaderEpoch, now: nil, -1: nil, now + 1: kerr.UnknownLeaderEpoch} {
		what := " in epoch " + number(epoch) + " when it is " + number(now)
		fetch := fetchOf(-1, 1, of)
		fetch.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
		read := askOf[*kmsg.FetchResponse](t, cl, to, fetch).Topics[0].Partitions[0]
		code(t, "Fetch"+what, read.ErrorCode, want)
		equal(t, "has records"+what, len(read.RecordBatches) > 0, want == nil)
		list := kmsg.NewPtrListOffsetsRequest()
		list.ReplicaID = -1
		lt := kmsg.NewListOffsetsRequestTopic()
		lt.Topic = topic
		lp := kmsg.NewListOffsetsRequestTopicPartition()
		lp.Timestamp, lp.CurrentLeaderEpoch = -1, epoch
		lt.Partitions = append(lt.Partitions, lp)
		list.Topics = append(list.Topics, lt)
		code(t, "ListOffsets"+what, askOf[*kmsg.ListOffsetsResponse](t, cl, to, list).Topics[0].Partitions[0].ErrorCode, want)
	}
}

// leaderOf opens a connection to the leader of a topic's first partition, with a
// request to write a record there.
func leaderOf(t T, c Cluster, cl *kgo.Client, topic topicOf, value string) (*raw, *kmsg.ProduceRequest) {
	t.Helper()
	resp := ask[*kmsg.MetadataResponse](t, cl, metadataOf(false, topic.name))
	leader := resp.Topics[0].Partitions[0].Leader
	at := slices.IndexFunc(resp.Brokers, func(b kmsg.MetadataResponseBroker) bool { return b.NodeID == leader })
	conn := dial(t, append(slices.Clone(c.Options), kgo.SeedBrokers(address(resp.Brokers[at].Host, resp.Brokers[at].Port))))
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 12, -1, int32(patience.Milliseconds())
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic.name
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = batch(value)
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return conn, req
}

func cutRequestIsNotDone(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	conn, req := leaderOf(t, c, cl, topic, "cut off")
	whole := kmsg.NewRequestFormatter(kmsg.FormatterClientID("brokertest")).AppendRequest(nil, req, 0)
	for _, size := range []int{2, len(whole) / 2, len(whole) - 1} {
		_, err := conn.conn.Write(whole[:size])
		noError(t, err)
		noError(t, conn.conn.Close())
		conn, _ = leaderOf(t, c, cl, topic, "")
	}
	produce(t, cl, topic.name, "whole")
	equal(t, "end", offsetAt(t, cl, topic.name, -1).Offset, 1)
}

func doneWithoutConnection(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	conn, req := leaderOf(t, c, cl, topic, "a")
	conn.send(req)
	noError(t, conn.conn.Close())
	eventually(t, "the record", func() bool { return offsetAt(t, cl, topic.name, -1).Offset == 1 })
}

func memberOutlivesConnection(t T, c Cluster) {
	one := newClassic(t, c, name("group"), nil)
	rebalanced(t, one)
	one.cl.Close()
	one.cl = newClient(t, c)
	code(t, "heartbeat of a classic member", one.heartbeat(), nil)

	other := newConsumer(t, c, name("group"), nil, newTopicOf(t, newClient(t, c), 1))
	other.obeys(1)
	epoch := other.epoch
	other.cl.Close()
	other.cl = newClient(t, c)
	other.beats()
	equal(t, "member epoch", other.epoch, epoch)
}

package brokertest

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func createBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "topics/what cannot be created is refused with a message",
			Source: "CreateTopics; Topic.validate, ReplicationControlManager.createTopic",
			Run:    uncreatableTopicsAreRefused,
		},
		{
			Name:   "topics/any broker creates, changes and deletes topics",
			Source: "KIP-500, KIP-590: brokers forward to the controller",
			Needs:  Needs{Brokers: 2},
			Run:    anyBrokerCreates,
		},
		{
			Name:   "topics/names that differ in dots and underscores collide",
			Source: "CreateTopics; Topic.hasCollision",
			Run:    namesCollide,
		},
		{
			Name:   "topics/the same topic twice in a request is refused alone",
			Source: "CreateTopics; ControllerApis.createTopics",
			Run:    duplicatesAreRefusedAlone,
		},
		{
			Name:   "topics/validating creates nothing",
			Source: "CreateTopics v1: validate_only",
			Run:    validatingCreatesNothing,
		},
		{
			Name:   "topics/partitions that cannot be added are refused with a message",
			Source: "CreatePartitions; ReplicationControlManager.createPartitions",
			Run:    unaddablePartitionsAreRefused,
		},
		{
			Name:   "topics/what cannot be deleted is refused with a message",
			Source: "DeleteTopics; ControllerApis.deleteTopics",
			Run:    undeletableTopicsAreRefused,
		},
		{
			Name:   "topics/a topic is deleted by its id",
			Source: "KIP-516: DeleteTopics v6",
			Run:    topicIsDeletedByID,
		},
	}
}

// newTopicRequest is a request to create topics, within patience.
func newTopicRequest(topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.Topics = int32(patience.Milliseconds()), topics
	return req
}

// topicToCreate is a part of such a request; an assignment goes without numbers.
func topicToCreate(name string, partitions int32, factor int16, assignment ...[]int32) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, factor
	for i, replicas := range assignment {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(i), replicas
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
	return t
}

// deleteLater deletes topics with the test, which need not exist.
func deleteLater(t T, cl *kgo.Client, topics ...string) {
	t.Cleanup(func() {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis, req.TopicNames = int32(patience.Milliseconds()), topics
		for i := range topics {
			rt := kmsg.NewDeleteTopicsRequestTopic()
			rt.Topic = &topics[i]
			req.Topics = append(req.Topics, rt)
		}
		ctx, cancel := withoutTest(t)
		defer cancel()
		_, _ = req.RequestWith(ctx, cl) // the cluster may be gone already
	})
}

// topicListed reports whether a topic is among all topics.
func topicListed(t T, cl *kgo.Client, topic string) bool {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = nil
	for _, rt := range ask[*kmsg.MetadataResponse](t, cl, req).Topics {
		if rt.Topic != nil && *rt.Topic == topic {
			return true
		}
	}
	return false
}

func brokers(t T, cl *kgo.Client) (ids []int32) {
	t.Helper()
	for _, b := range ask[*kmsg.MetadataResponse](t, cl, kmsg.NewPtrMetadataRequest()).Brokers {
		ids = append(ids, b.NodeID)
	}
	slices.Sort(ids)
	return ids
}

// illegalNames are invalid names, and what is said of them.
func illegalNames() map[string]string {
	long := strings.Repeat("x", 250)
	names := map[string]string{
		"":   "the empty string is not allowed",
		".":  "'.' is not allowed",
		"..": "'..' is not allowed",
		long: "the length of '" + long + "' is longer than the max allowed length 249",
	}
	for _, bad := range []string{"a/b", "a b", "a\x00b", "é", "a,b", "a:b"} {
		names[bad] = "'" + bad + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
	}
	return names
}

func uncreatableTopicsAreRefused(t T, c Cluster) {
	for _, v := range []int16{2, 4, 5, 7} {
		cl := newClient(t, c, version(kmsg.CreateTopics, v))
		topic := newTopic(t, cl, 1)
		nodes := brokers(t, cl)
		b, n := nodes[0], len(nodes)
		fresh := name("fresh")
		gap := topicToCreate(fresh, -1, -1, []int32{b}, []int32{b})
		gap.ReplicaAssignment[1].Partition = 5
		twice := topicToCreate(fresh, -1, -1, []int32{b}, []int32{b})
		twice.ReplicaAssignment[1].Partition = 0
		type refused struct {
			topic   kmsg.CreateTopicsRequestTopic
			code    *kerr.Error
			message string
		}
		tries := []refused{
			{topicToCreate(topic, 1, 1), kerr.TopicAlreadyExists, "Topic '" + topic + "' already exists."},
			{topicToCreate(topic, 0, 0), kerr.TopicAlreadyExists, "Topic '" + topic + "' already exists."},
			{topicToCreate(fresh, 0, 1), kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."},
			{topicToCreate(fresh, -2, 1), kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."},
			{topicToCreate(fresh, 1, 0), kerr.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."},
			{topicToCreate(fresh, 0, -2), kerr.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."},
			{topicToCreate(fresh, 1, int16(n+1)), kerr.InvalidReplicationFactor, "Unable to replicate the partition " + number(int32(n+1)) +
				" time(s): The target replication factor of " + number(int32(n+1)) + " cannot be reached because only " + number(int32(n)) +
				" broker(s) are registered or some brokers have all their log directories cordoned."},
			{topicToCreate(fresh, 1, -1, []int32{b}), kerr.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1."},
			{topicToCreate(fresh, -1, 1, []int32{b}), kerr.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1."},
			{topicToCreate(fresh, -1, -1, []int32{4711}), kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker 4711, but no such broker is registered."},
			{topicToCreate(fresh, -1, -1, []int32{}), kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list."},
			{topicToCreate(fresh, -1, -1, []int32{b, b}), kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker " + number(b) + " more than once."},
			{gap, kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence"},
			{twice, kerr.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition 0"},
			{topicToCreate("__cluster_metadata", 1, 1), kerr.InvalidRequest, "Creation of internal topic __cluster_metadata is prohibited."},
		}
		if n > 1 {
			tries = append(tries, refused{topicToCreate(fresh, -1, -1, []int32{b}, []int32{b, nodes[1]}), kerr.InvalidReplicaAssignment,
				"The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with previous partitions, which have 1 replica(s)."})
		}
		for bad, message := range illegalNames() {
			tries = append(tries, refused{topicToCreate(bad, 1, 1), kerr.InvalidTopicException, "Topic name is invalid: " + message})
		}
		for _, try := range tries {
			rt := ask[*kmsg.CreateTopicsResponse](t, cl, newTopicRequest(try.topic)).Topics[0]
			code(t, try.message, rt.ErrorCode, try.code)
			equal(t, "message", text(rt.ErrorMessage), try.message)
			equal(t, "name", rt.Topic, try.topic.Topic)
		}
		late := newTopicRequest(topicToCreate(fresh, 1, 1))
		late.TimeoutMillis = 0
		code(t, "no time at all", ask[*kmsg.CreateTopicsResponse](t, cl, late).Topics[0].ErrorCode, kerr.RequestTimedOut)
		if topicListed(t, cl, fresh) {
			t.Errorf("topic %s was created", fresh)
		}
	}
}

func namesCollide(t T, c Cluster) {
	cl := newClient(t, c)
	first := name("a.b_c")
	deleteLater(t, cl, first)
	code(t, first, ask[*kmsg.CreateTopicsResponse](t, cl, newTopicRequest(topicToCreate(first, 1, 1))).Topics[0].ErrorCode, nil)
	other := strings.ReplaceAll(first, ".", "_")
	rt := ask[*kmsg.CreateTopicsResponse](t, cl, newTopicRequest(topicToCreate(other, 1, 1))).Topics[0]
	code(t, other, rt.ErrorCode, kerr.InvalidTopicException)
	equal(t, "message", text(rt.ErrorMessage), "Topic '"+other+"' collides with existing topic: "+first)
}

func duplicatesAreRefusedAlone(t T, c Cluster) {
	cl := newClient(t, c)
	twice, once := name("twice"), name("once")
	deleteLater(t, cl, once)
	resp := ask[*kmsg.CreateTopicsResponse](t, cl, newTopicRequest(topicToCreate(twice, 1, 1), topicToCreate(once, 1, 1), topicToCreate(twice, 1, 1)))
	equal(t, "answers", len(resp.Topics), 2)
	for _, rt := range resp.Topics {
		if rt.Topic == once {
			code(t, once, rt.ErrorCode, nil)
			continue
		}
		code(t, rt.Topic, rt.ErrorCode, kerr.InvalidRequest)
		equal(t, "message", text(rt.ErrorMessage), "Duplicate topic name.")
	}
	if topicListed(t, cl, twice) {
		t.Errorf("topic %s was created", twice)
	}
}

func validatingCreatesNothing(t T, c Cluster) {
	cl := newClient(t, c)
	fresh := name("fresh")
	req := newTopicRequest(topicToCreate(fresh, 3, 1), topicToCreate("a/b", 3, 1))
	req.ValidateOnly = true
	resp := ask[*kmsg.CreateTopicsResponse](t, cl, req)
	code(t, "valid", resp.Topics[0].ErrorCode, nil)
	if again := ask[*kmsg.CreateTopicsResponse](t, cl, req); resp.Topics[0].TopicID == [16]byte{} || resp.Topics[0].TopicID == again.Topics[0].TopicID {
		t.Errorf("topic ids: %x and %x, want one of its own each time", resp.Topics[0].TopicID, again.Topics[0].TopicID)
	}
	equal(t, "partitions", resp.Topics[0].NumPartitions, 3)
	equal(t, "replicas", resp.Topics[0].ReplicationFactor, 1)
	code(t, "invalid", resp.Topics[1].ErrorCode, kerr.InvalidTopicException)
	if topicListed(t, cl, fresh) {
		t.Errorf("topic %s was created", fresh)
	}
}

// partitionsToAdd is a request for a topic to have so many partitions.
func partitionsToAdd(topic string, count int32, assignment ...[]int32) *kmsg.CreatePartitionsRequest {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = int32(patience.Milliseconds())
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, count
	for _, replicas := range assignment {
		a := kmsg.NewCreatePartitionsRequestTopicAssignment()
		a.Replicas = replicas
		rt.Assignment = append(rt.Assignment, a)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

func unaddablePartitionsAreRefused(t T, c Cluster) {
	for _, v := range []int16{1, 2, 3} {
		cl := newClient(t, c, version(kmsg.CreatePartitions, v))
		nodes := brokers(t, cl)
		b := nodes[0]
		topic := name("topic")
		deleteLater(t, cl, topic)
		code(t, topic, ask[*kmsg.CreateTopicsResponse](t, cl, newTopicRequest(topicToCreate(topic, 2, 1))).Topics[0].ErrorCode, nil)
		tries := []struct {
			req     *kmsg.CreatePartitionsRequest
			code    *kerr.Error
			message string
		}{
			{partitionsToAdd(topic, 2), kerr.InvalidPartitions, "Topic already has 2 partition(s)."},
			{partitionsToAdd(topic, 1), kerr.InvalidPartitions, "The topic " + topic + " currently has 2 partition(s); 1 would not be an increase."},
			{partitionsToAdd(topic, -1), kerr.InvalidPartitions, "The topic " + topic + " currently has 2 partition(s); -1 would not be an increase."},
			{partitionsToAdd(name("missing"), 3), kerr.UnknownTopicOrPartition, "null"},
			{partitionsToAdd(topic, 4, []int32{b}), kerr.InvalidReplicaAssignment, "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."},
			{partitionsToAdd(topic, 3, []int32{4711}), kerr.InvalidReplicaAssignment, "The manual partition assignment includes broker 4711, but no such broker is registered."},
			{partitionsToAdd(topic, 3, []int32{}), kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list."},
			{partitionsToAdd(topic, 3, []int32{b, b}), kerr.InvalidReplicaAssignment, "The manual partition assignment includes the broker " + number(b) + " more than once."},
		}
		if len(nodes) > 1 {
			tries = append(tries, tries[0])
			tries[len(tries)-1].req, tries[len(tries)-1].code = partitionsToAdd(topic, 3, nodes[:2]), kerr.InvalidReplicaAssignment
			tries[len(tries)-1].message = "The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with previous partitions, which have 1 replica(s)."
		}
		for _, try := range tries {
			rt := ask[*kmsg.CreatePartitionsResponse](t, cl, try.req).Topics[0]
			code(t, try.message, rt.ErrorCode, try.code)
			equal(t, "message", text(rt.ErrorMessage), try.message)
		}
		twice := partitionsToAdd(topic, 3)
		twice.Topics = append(twice.Topics, twice.Topics[0])
		resp := ask[*kmsg.CreatePartitionsResponse](t, cl, twice)
		equal(t, "answers", len(resp.Topics), 1)
		code(t, "twice", resp.Topics[0].ErrorCode, kerr.InvalidRequest)
		equal(t, "message", text(resp.Topics[0].ErrorMessage), "Duplicate topic name.")
		late := partitionsToAdd(topic, 3)
		late.TimeoutMillis = 0
		code(t, "no time at all", ask[*kmsg.CreatePartitionsResponse](t, cl, late).Topics[0].ErrorCode, kerr.RequestTimedOut)
		only := partitionsToAdd(topic, 3)
		only.ValidateOnly = true
		code(t, "validated", ask[*kmsg.CreatePartitionsResponse](t, cl, only).Topics[0].ErrorCode, nil)
		equal(t, "partitions", len(describedPartitions(t, cl, topic)), 2)
		code(t, "added", ask[*kmsg.CreatePartitionsResponse](t, cl, partitionsToAdd(topic, 3)).Topics[0].ErrorCode, nil)
		eventually(t, "a third partition", func() bool { return len(describedPartitions(t, cl, topic)) == 3 })
	}
}

func describedPartitions(t T, cl *kgo.Client, topic string) []kmsg.MetadataResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	ps := ask[*kmsg.MetadataResponse](t, cl, req).Topics[0].Partitions
	slices.SortFunc(ps, func(a, b kmsg.MetadataResponseTopicPartition) int { return int(a.Partition - b.Partition) })
	return ps
}

func undeletableTopicsAreRefused(t T, c Cluster) {
	missing, unknownID := name("missing"), [16]byte{1, 2, 3, 4}
	const unhosted = "This server does not host this topic-partition."
	for _, v := range []int16{4, 5} {
		cl := newClient(t, c, version(kmsg.DeleteTopics, v))
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis, req.TopicNames = int32(patience.Milliseconds()), []string{missing}
		rt := ask[*kmsg.DeleteTopicsResponse](t, cl, req).Topics[0]
		code(t, missing, rt.ErrorCode, kerr.UnknownTopicOrPartition)
		equal(t, "message", text(rt.ErrorMessage), map[int16]string{4: "null", 5: unhosted}[v])
	}
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	deletion := func(timeout int32, name *string, id [16]byte, times int) kmsg.DeleteTopicsResponseTopic {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = timeout
		for range times {
			rt := kmsg.NewDeleteTopicsRequestTopic()
			rt.Topic, rt.TopicID = name, id
			req.Topics = append(req.Topics, rt)
		}
		resp := ask[*kmsg.DeleteTopicsResponse](t, cl, req)
		equal(t, "answers", len(resp.Topics), 1)
		return resp.Topics[0]
	}
	const enough = 30_000
	for _, try := range []struct {
		got     kmsg.DeleteTopicsResponseTopic
		name    string
		code    *kerr.Error
		message string
	}{
		{deletion(enough, &missing, [16]byte{}, 1), missing, kerr.UnknownTopicOrPartition, unhosted},
		{deletion(enough, nil, unknownID, 1), "null", kerr.UnknownTopicID, "This server does not host this topic ID."},
		{deletion(enough, nil, [16]byte{}, 1), "null", kerr.InvalidRequest, "Neither topic name nor id were specified."},
		{deletion(enough, &topic, unknownID, 1), topic, kerr.InvalidRequest, "You may not specify both topic name and topic id."},
		{deletion(enough, &topic, [16]byte{}, 2), topic, kerr.InvalidRequest, "Duplicate topic name."},
		{deletion(enough, nil, unknownID, 2), "null", kerr.InvalidRequest, "Duplicate topic id."},
		{deletion(0, &topic, [16]byte{}, 1), topic, kerr.RequestTimedOut, "null"},
	} {
		code(t, try.message, try.got.ErrorCode, try.code)
		equal(t, "message", text(try.got.ErrorMessage), try.message)
		equal(t, "name", text(try.got.Topic), try.name)
	}
	if !topicListed(t, cl, topic) {
		t.Errorf("topic %s was deleted", topic)
	}
}

func topicIsDeletedByID(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopic(t, cl, 1)
	meta := kmsg.NewPtrMetadataRequest()
	mt := kmsg.NewMetadataRequestTopic()
	mt.Topic = &topic
	meta.Topics = append(meta.Topics, mt)
	id := ask[*kmsg.MetadataResponse](t, cl, meta).Topics[0].TopicID
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = int32(patience.Milliseconds())
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.TopicID = id
	req.Topics = append(req.Topics, rt)
	got := ask[*kmsg.DeleteTopicsResponse](t, cl, req).Topics[0]
	code(t, topic, got.ErrorCode, nil)
	equal(t, "name", text(got.Topic), topic)
	equal(t, "id", got.TopicID, id)
	eventually(t, "its end", func() bool { return !topicListed(t, cl, topic) })
}

func anyBrokerCreates(t T, c Cluster) {
	cl := newClient(t, c)
	for _, node := range brokers(t, cl) {
		topic := name("topic")
		deleteLater(t, cl, topic)
		ask := func(req kmsg.Request) kmsg.Response {
			resp, err := cl.Broker(int(node)).Request(within(t), req)
			noError(t, err)
			return resp
		}
		where := " by broker " + number(node)
		code(t, "created"+where, ask(newTopicRequest(topicToCreate(topic, 1, 1))).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode, nil)
		again := ask(newTopicRequest(topicToCreate(topic, 1, 1))).(*kmsg.CreateTopicsResponse).Topics[0]
		code(t, "created again"+where, again.ErrorCode, kerr.TopicAlreadyExists)
		equal(t, "message", text(again.ErrorMessage), "Topic '"+topic+"' already exists.")
		code(t, "grown"+where, ask(partitionsToAdd(topic, 3)).(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode, nil)
		del := kmsg.NewPtrDeleteTopicsRequest()
		del.TimeoutMillis = int32(patience.Milliseconds())
		rt := kmsg.NewDeleteTopicsRequestTopic()
		rt.Topic = &topic
		del.Topics = append(del.Topics, rt)
		code(t, "deleted"+where, ask(del).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode, nil)
	}
}

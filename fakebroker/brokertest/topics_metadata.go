package brokertest

import (
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func metadataBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "topics/metadata of an invalid name",
			Source: "Metadata; Topic.validate",
			Needs:  Needs{AutoCreate: true},
			Run:    metadataOfInvalidNames,
		},
		{
			Name:   "topics/a topic that would collide is not created by asking",
			Source: "Metadata; AutoTopicCreationManager",
			Needs:  Needs{AutoCreate: true},
			Run:    askingDoesNotCreateCollisions,
		},
		{
			Name:   "topics/old versions of metadata create topics",
			Source: "Metadata: allow_auto_topic_creation is true by default",
			Needs:  Needs{AutoCreate: true},
			Run:    oldMetadataCreates,
		},
		{
			Name:   "topics/a topic that is created by asking is there later",
			Source: "Metadata; AutoTopicCreationManager.createTopics",
			Needs:  Needs{AutoCreate: true},
			Run:    askingCreatesLater,
		},
		{
			Name:   "topics/metadata of unknown topic ids",
			Source: "KIP-516: Metadata v10",
			Run:    metadataOfUnknownIDs,
		},
	}
}

func metadataOf(create bool, topics ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = create
	for _, topic := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = &topic
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func metadataOfInvalidNames(t T, c Cluster) {
	for _, v := range []int16{1, 4, 9, 12} {
		for _, create := range []bool{false, true} {
			cl := newClient(t, c, version(kmsg.Metadata, v))
			missing := name("missing")
			deleteLater(t, cl, missing)
			names := []string{missing}
			for bad := range illegalNames() {
				names = append(names, bad)
			}
			resp := ask[*kmsg.MetadataResponse](t, cl, metadataOf(create, names...))
			equal(t, "answers", len(resp.Topics), len(names))
			for _, rt := range resp.Topics {
				if text(rt.Topic) != missing {
					code(t, "metadata of "+text(rt.Topic), rt.ErrorCode, kerr.InvalidTopicException)
				}
			}
			for bad := range illegalNames() {
				if topicListed(t, cl, bad) {
					t.Errorf("topic %q was created", bad)
				}
			}
		}
	}
}

func askingDoesNotCreateCollisions(t T, c Cluster) {
	cl := newClient(t, c)
	suffix := name("")
	deleteLater(t, cl, "a.b"+suffix, "a_b"+suffix)
	code(t, "the first", ask[*kmsg.CreateTopicsResponse](t, cl, newTopicRequest(topicToCreate("a.b"+suffix, 1, 1))).Topics[0].ErrorCode, nil)
	other := "a_b" + suffix
	for range 2 {
		code(t, "the other", ask[*kmsg.MetadataResponse](t, cl, metadataOf(true, other)).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition)
	}
	if topicListed(t, cl, other) {
		t.Errorf("topic %s was created", other)
	}
}

func oldMetadataCreates(t T, c Cluster) {
	for _, v := range []int16{1, 3, 4, 12} {
		cl := newClient(t, c, version(kmsg.Metadata, v))
		topic := name("asked-for")
		deleteLater(t, cl, topic)
		eventually(t, "the topic", func() bool {
			rt := ask[*kmsg.MetadataResponse](t, cl, metadataOf(true, topic)).Topics[0]
			return rt.ErrorCode == 0 && len(rt.Partitions) > 0
		})
		not := name("not-asked-for")
		if v >= 4 {
			code(t, not, ask[*kmsg.MetadataResponse](t, cl, metadataOf(false, not)).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition)
			if topicListed(t, cl, not) {
				t.Errorf("topic %s was created", not)
			}
		}
	}
}

// Who asks first makes the broker ask the controller, and does not wait for that.
func askingCreatesLater(t T, c Cluster) {
	deleting := newClient(t, c) // knows the controller, which version 0 does not tell
	there := newTopic(t, deleting, 1)
	for _, v := range []int16{0, 1, 3, 4, 8, 9, 10, 12, 13} {
		cl := newClient(t, c, version(kmsg.Metadata, v))
		topics := []string{name("asked-for"), name("asked-for"), there}
		deleteLater(t, deleting, topics[:2]...)
		what := "v" + strconv.Itoa(int(v)) + ": "
		start := time.Now()
		for _, which := range []string{"first", "second"} {
			what := what + which + " time: "
			got := ask[*kmsg.MetadataResponse](t, cl, metadataOf(true, topics...)).Topics
			if which == "second" && time.Since(start) > controllerLinger {
				break // the controller may have made them meanwhile
			}
			equal(t, what+"topics", len(got), len(topics))
			for _, rt := range got {
				if *rt.Topic == there {
					code(t, what+"topic that was there", rt.ErrorCode, nil)
					equal(t, what+"its partitions", len(rt.Partitions), 1)
					continue
				}
				code(t, what+"topic", rt.ErrorCode, kerr.UnknownTopicOrPartition)
				equal(t, what+"partitions", len(rt.Partitions), 0)
				equal(t, what+"id", rt.TopicID, [16]byte{})
			}
			for _, rt := range ask[*kmsg.MetadataResponse](t, cl, metadataOf(false)).Topics {
				if slices.Contains(topics, *rt.Topic) { // others may be being made or deleted
					code(t, what+"topic in the list of all", rt.ErrorCode, nil)
				}
			}
		}
		eventually(t, what+"the topics", func() bool {
			return !slices.ContainsFunc(ask[*kmsg.MetadataResponse](t, cl, metadataOf(true, topics...)).Topics, func(rt kmsg.MetadataResponseTopic) bool {
				return rt.ErrorCode != 0 || len(rt.Partitions) == 0
			})
		})
	}
}

// controllerLinger is how long the controller waits at least before it makes a
// topic: controller.quorum.append.linger.ms.
const controllerLinger = 25 * time.Millisecond

func metadataOfUnknownIDs(t T, c Cluster) {
	cl := newClient(t, c)
	req := metadataOf(false)
	for i := range 2 {
		rt := kmsg.NewMetadataRequestTopic()
		rt.TopicID = [16]byte{1, 2, 3, byte(i)}
		req.Topics = append(req.Topics, rt)
	}
	resp := ask[*kmsg.MetadataResponse](t, cl, req)
	equal(t, "answers", len(resp.Topics), 2)
	for _, rt := range resp.Topics {
		code(t, "an unknown id", rt.ErrorCode, kerr.UnknownTopicID)
		equal(t, "name", text(rt.Topic), "null")
	}
}

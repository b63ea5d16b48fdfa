package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func deleting(c Cluster) []Correction {
	const rule = "DeleteTopics tells topics apart, and says what is wrong"
	return []Correction{
		{
			Rule: wire.Rule{
				Name:    rule,
				Keys:    wire.Keys(kmsg.DeleteTopics),
				Request: asked(func(x *wire.Exchange, req *kmsg.DeleteTopicsRequest) { checkDeletion(c, x, req, rule) }),
				Answer: completed(rule, func(_ *wire.Exchange, d deletion, resp *kmsg.DeleteTopicsResponse) {
					explainDeletion(c, d, resp)
				}),
			},
			Restores:  "ControllerApis.deleteTopics: duplicates, and what has no name and id or both, are refused by themselves; an unknown id has no name; errors have messages (version 5)",
			Upstream:  "20_delete_topics.go answers duplicates once, unknown ids with an empty name, and without messages",
			Behaviour: "topics/what cannot be deleted is refused with a message",
		},
	}
}

// deletion is what is kept of a request to delete topics.
type deletion struct {
	refused []kmsg.DeleteTopicsResponseTopic
	ids     map[string][16]byte // of the topics that are named, which old answers do not have
}

// Forget drops what is remembered of a topic that was deleted, or made anew.
func Forget(c Cluster, name string, id [16]byte) {
	c.Placements().forget(id)
	c.Unfinished().forget(id)
	Look(c, name)
}

// checkDeletion leaves out what is not to be deleted, and keeps the answers for it.
func checkDeletion(c Cluster, x *wire.Exchange, req *kmsg.DeleteTopicsRequest, rule string) {
	type topic struct {
		name string
		id   [16]byte
	}
	d := deletion{ids: make(map[string][16]byte)}
	refuse := func(name *string, id [16]byte, r *rejection) {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID, t.ErrorCode, t.ErrorMessage = name, id, r.code(), r.text()
		d.refused = append(d.refused, t)
	}
	topics := slices.Clone(req.Topics)
	for _, name := range req.TopicNames {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = &name
		topics = append(topics, t)
	}
	key := func(t kmsg.DeleteTopicsRequestTopic) (k topic) {
		if k.id = t.TopicID; t.Topic != nil {
			k.name = *t.Topic
		}
		return k
	}
	times := make(map[topic]int)
	for _, t := range topics {
		times[key(t)]++
		if t.Topic != nil {
			known, _ := c.Topic(*t.Topic)
			d.ids[*t.Topic] = known.ID
		}
	}
	checked := *req
	checked.Topics, checked.TopicNames = nil, nil
	for _, t := range topics {
		named, hasID := t.Topic != nil, t.TopicID != [16]byte{}
		n := times[key(t)]
		switch {
		case req.TimeoutMillis <= 0:
			refuse(t.Topic, t.TopicID, &rejection{err: kerr.RequestTimedOut})
		case !named && !hasID:
			refuse(nil, t.TopicID, reject(kerr.InvalidRequest, "Neither topic name nor id were specified."))
		case named && hasID:
			refuse(t.Topic, t.TopicID, reject(kerr.InvalidRequest, "You may not specify both topic name and topic id."))
		case n > 1 && named:
			refuse(t.Topic, t.TopicID, reject(kerr.InvalidRequest, "Duplicate topic name."))
		case n > 1:
			refuse(nil, t.TopicID, reject(kerr.InvalidRequest, "Duplicate topic id."))
		case n == 1 && req.Version < 6:
			checked.TopicNames = append(checked.TopicNames, *t.Topic)
		case n == 1:
			checked.Topics = append(checked.Topics, t)
		}
		if n > 1 {
			times[key(t)] = 0 // answered
		}
	}
	keep(x, rule, d)
	x.SetRequest(&checked)
}

func explainDeletion(c Cluster, d deletion, resp *kmsg.DeleteTopicsResponse) {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		switch t.ErrorCode {
		case 0:
			if id, named := d.ids[*t.Topic]; named {
				Forget(c, *t.Topic, id)
			} else {
				Forget(c, *t.Topic, t.TopicID)
			}
		case kerr.UnknownTopicID.Code:
			t.Topic, t.ErrorMessage = nil, kmsg.StringPtr("This server does not host this topic ID.")
		case kerr.UnknownTopicOrPartition.Code:
			t.TopicID, t.ErrorMessage = [16]byte{}, kmsg.StringPtr("This server does not host this topic-partition.")
		}
	}
	resp.Topics = append(d.refused, resp.Topics...)
}

package correct

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// layout is what partitions a topic that is created was to have.
type layout struct {
	count    int32
	assigned [][]int32 // replicas by partition, nil when Kafka chooses
}

// enough bounds how long a broker is asked to make a topic. It answers at once,
// unless it is being closed.
const enough = 30 * time.Second

// create makes topics with their first partition only, and then adds the others,
// where there are several brokers: kfake lets a random broker lead the partitions
// of a new topic, and lets us say who leads those that are added. To move them would
// begin a leader epoch, and clients ignore what they are told of a topic with an
// earlier epoch than they know of one that had its name before.
//
// All is done before anybody is answered, and whether or not the client is still
// there.
func create(c Cluster, x *wire.Exchange) {
	r, err := x.Request()
	req, is := r.(*kmsg.CreateTopicsRequest)
	if err != nil || !is || req.ValidateOnly {
		return
	}
	first, layouts := firstPartitions(c, req)
	finished := make(map[string]bool)
	for topic := range layouts {
		c.Unfinished().begin(c, topic)
		defer func() { c.Unfinished().end(c, topic, finished[topic]) }()
	}
	resp := forwardCreation(c, x, first)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		l := layouts[t.Topic]
		if t.ErrorCode != 0 || l.count == 0 {
			continue
		}
		if err := finish(c, t.Topic, l); err != nil {
			unfinished := kmsg.NewCreateTopicsResponseTopic()
			unfinished.Topic, unfinished.ErrorCode = t.Topic, codeOf(err)
			unfinished.ErrorMessage = kmsg.StringPtr("The topic could not get all of its partitions: " + err.Error())
			*t = unfinished
			continue
		}
		finished[t.Topic] = true
		if t.NumPartitions > 0 { // it may be told
			t.NumPartitions = l.count
		}
	}
	x.Reply(resp)
}

// firstPartitions asks for the first partition of each topic, and says what
// partitions the topics are to have.
func firstPartitions(c Cluster, req *kmsg.CreateTopicsRequest) (*kmsg.CreateTopicsRequest, map[string]layout) {
	first := *req
	first.Topics = slices.Clone(req.Topics)
	layouts := make(map[string]layout)
	for i := range first.Topics {
		t := &first.Topics[i]
		l := layoutOf(c, t)
		layouts[t.Topic] = l
		switch {
		case l.count < 2:
		case l.assigned == nil:
			t.NumPartitions = 1
		default:
			of := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			of.Replicas = l.assigned[0]
			t.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{of}
		}
	}
	return &first, layouts
}

// forwardCreation has the controller create topics: the broker that was asked, or
// another.
func forwardCreation(c Cluster, x *wire.Exchange, req *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	refused := func(t kmsg.CreateTopicsResponseTopic) bool { return t.ErrorCode == kerr.NotController.Code }
	var last *kmsg.CreateTopicsResponse
	for _, node := range append([]int32{x.Node}, without(c.Nodes(), x.Node)...) {
		resp, err := c.Forward(ctx, x, node, req)
		if err != nil {
			return failedCreation(req, err)
		}
		if last = resp.(*kmsg.CreateTopicsResponse); !slices.ContainsFunc(last.Topics, refused) {
			break
		}
	}
	return last
}

func failedCreation(req *kmsg.CreateTopicsRequest, err error) *kmsg.CreateTopicsResponse {
	resp := kmsg.NewPtrCreateTopicsResponse()
	for _, t := range req.Topics {
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode, rt.ErrorMessage = t.Topic, codeOf(err), kmsg.StringPtr(err.Error())
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func codeOf(err error) int16 {
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		return e.Code
	}
	return kerr.UnknownServerError.Code
}

// Make makes a topic with so many partitions, of which the first call makes as many
// as it is told, and gives them leaders that go round the brokers. Clients see it
// when it has them all. An error is that of first, or says why there could not be
// more; then there is no such topic.
func Make(c Cluster, topic string, partitions int32, first func(partitions int32) error) error {
	if len(c.Nodes()) < 2 {
		return first(partitions)
	}
	finished := false
	c.Unfinished().begin(c, topic)
	defer func() { c.Unfinished().end(c, topic, finished) }()
	if err := first(1); err != nil {
		return err
	}
	if err := finish(c, topic, layout{count: partitions}); err != nil {
		return err
	}
	finished = true
	return nil
}

// finish adds the partitions that a new topic lacks, or deletes it.
func finish(c Cluster, topic string, l layout) error {
	ctx, cancel := context.WithTimeout(context.Background(), enough)
	defer cancel()
	made, ok := c.Topic(topic)
	if !ok {
		return nil // deleted meanwhile
	}
	err := grow(ctx, c, topic, l.count, l.assigned)
	if err == nil || errors.Is(err, kerr.UnknownTopicOrPartition) { // deleted meanwhile
		return nil
	}
	if d := remove(ctx, c, topic, made.ID); d != nil {
		err = fmt.Errorf("%w; and its first partition could not be deleted: %w", err, d)
	}
	return err
}

// remove deletes a topic by its id.
func remove(ctx context.Context, c Cluster, topic string, id [16]byte) error {
	const byID = 6
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.TopicID = id
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis = byID, math.MaxInt32
	req.Topics = append(req.Topics, rt)
	err := askController(ctx, c, req, func(resp kmsg.Response) int16 {
		return resp.(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode
	})
	Forget(c, topic, id)
	return err
}

// layoutOf is for a topic that was found creatable, or made [unmakeable].
func layoutOf(c Cluster, t *kmsg.CreateTopicsRequestTopic) layout {
	l := layout{count: t.NumPartitions}
	switch {
	case len(t.ReplicaAssignment) > 0:
		l.count = int32(len(t.ReplicaAssignment))
		l.assigned = make([][]int32, l.count)
		for _, a := range t.ReplicaAssignment {
			l.assigned[a.Partition] = a.Replicas
		}
	case l.count < 0:
		l.count = 1
		if n, err := strconv.ParseInt(c.BrokerConfigs(c.Nodes()[0])["num.partitions"], 10, 32); err == nil {
			l.count = int32(n)
		}
	}
	return l
}

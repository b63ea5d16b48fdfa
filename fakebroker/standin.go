package fakebroker

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// during is a rule's Wants for as long as some broker is down.
func (b *Broker) during(keys ...kmsg.Key) func(wire.Header) bool {
	api := wire.Keys(keys...)
	return func(h wire.Header) bool { return b.outage.any.Load() && api.Has(h.Key) }
}

// hideBrokersDown has answers name those who stand in for brokers that are down.
func (b *Broker) hideBrokersDown() wire.Rule {
	return wire.Rule{
		Name:  "brokers down are not listed",
		Wants: b.during(kmsg.Metadata, kmsg.DescribeCluster, kmsg.DescribeTopicPartitions),
		Answer: func(x *wire.Exchange) {
			resp, err := x.Response()
			if err != nil {
				return
			}
			switch r := resp.(type) {
			case *kmsg.MetadataResponse:
				b.hideInMetadata(r)
			case *kmsg.DescribeClusterResponse:
				r.ControllerID = b.standIn(r.ControllerID)
				r.Brokers = slices.DeleteFunc(r.Brokers, func(o kmsg.DescribeClusterResponseBroker) bool { return b.outage.isDown(o.NodeID) })
			case *kmsg.DescribeTopicPartitionsResponse:
				b.hideInTopics(r)
			}
			x.SetResponse(resp)
		},
	}
}

func (b *Broker) hideInMetadata(r *kmsg.MetadataResponse) {
	r.ControllerID = b.standIn(r.ControllerID)
	r.Brokers = slices.DeleteFunc(r.Brokers, func(o kmsg.MetadataResponseBroker) bool { return b.outage.isDown(o.NodeID) })
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			if r.Topics[i].Topic != nil {
				p.Leader, p.LeaderEpoch = b.leaderUp(*r.Topics[i].Topic, p.Partition, p.Leader, p.LeaderEpoch)
			}
			p.ISR, p.OfflineReplicas = b.split(p.Replicas)
		}
	}
}

func (b *Broker) hideInTopics(r *kmsg.DescribeTopicPartitionsResponse) {
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			if r.Topics[i].Topic != nil {
				p.LeaderID, p.LeaderEpoch = b.leaderUp(*r.Topics[i].Topic, p.Partition, p.LeaderID, p.LeaderEpoch)
			}
			p.ISR, p.OfflineReplicas = b.split(p.Replicas)
		}
	}
}

// leaderUp is the leader and epoch to answer. A topic made while a broker is
// down may have been given that one as leader, and is moved here.
func (b *Broker) leaderUp(topic string, partition, leader, epoch int32) (int32, int32) {
	to := b.standIn(leader)
	if to < 0 || to == leader {
		return leader, epoch
	}
	_ = b.do(func() error { // closed or deleted meanwhile: the answer no longer matters
		if b.cluster.LeaderFor(topic, partition) == leader {
			if err := b.cluster.MoveTopicPartition(topic, partition, to); err != nil {
				return err
			}
		}
		if p := b.cluster.PartitionInfo(topic, partition); p != nil {
			leader, epoch = p.Leader, p.Epoch
		}
		return nil
	})
	return leader, epoch
}

// split parts replicas into those in sync and those that are down.
func (b *Broker) split(replicas []int32) (isr, offline []int32) {
	isr, offline = []int32{}, []int32{}
	for _, r := range replicas {
		if b.outage.isDown(r) {
			offline = append(offline, r)
		} else {
			isr = append(isr, r)
		}
	}
	return isr, offline
}

// askController has any broker answer what the controller is asked, as Kafka's
// brokers do: kfake has one controller, and refuses on the others.
func (b *Broker) askController() wire.Rule {
	api := wire.Keys(kmsg.CreateTopics, kmsg.DeleteTopics, kmsg.CreatePartitions, kmsg.AlterUserSCRAMCredentials)
	return wire.Rule{
		Name:  "any broker can be asked what the controller does",
		Keys:  api,
		Wants: func(wire.Header) bool { return len(b.listeners) > 1 },
		Answer: func(x *wire.Exchange) {
			for node := range int32(len(b.listeners)) {
				if node != x.Node && !x.Replied() {
					b.forward(x, node, kerr.NotController)
				}
			}
		},
	}
}

// forward has another broker answer what this one has refused with an error.
func (b *Broker) forward(x *wire.Exchange, node int32, refusal *kerr.Error) {
	req, err := x.Request()
	if err != nil {
		return
	}
	mine, err := x.Response()
	if err != nil || !refused(reflect.ValueOf(mine), refusal) {
		return
	}
	if theirs, err := b.askAs(x.Context(), x, node, req); err == nil { // else the client is told to look again
		x.SetResponse(theirs)
	}
}

// errNoUser says that nobody has authenticated on a connection, so that nothing is
// asked in its place.
var errNoUser = errors.New("the client has not authenticated")

// askAs puts a client's request to another broker, inside the process and as the
// same user as an exchange is from. It may take as long as the client would wait, so
// the cluster can be closed meanwhile. An error wraps errNoUser when it is not known who the client is.
func (b *Broker) askAs(ctx context.Context, x *wire.Exchange, node int32, req kmsg.Request) (kmsg.Response, error) {
	user, known := x.User()
	if !known && b.cfg.authenticates() {
		return nil, errNoUser
	}
	c, err := b.dial(ctx, node, x.RemoteAddr(), user)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return wire.Ask(ctx, c.conn, x.ClientID, req)
}

// refused reports whether an answer, or a part of it, is an error. The error
// codes of kmsg's answers are all called ErrorCode.
func refused(v reflect.Value, with *kerr.Error) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && refused(v.Elem(), with)
	case reflect.Struct:
		if code := v.FieldByName("ErrorCode"); code.IsValid() && code.Int() == int64(with.Code) {
			return true
		}
		for i := range v.NumField() {
			if refused(v.Field(i), with) {
				return true
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return false
		}
		for i := range v.Len() {
			if refused(v.Index(i), with) {
				return true
			}
		}
	}
	return false
}

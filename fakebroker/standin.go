package fakebroker

import (
	"context"
	"reflect"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// during is a rule's Wants for as long as some broker is down.
func (b *Broker) during(keys ...kmsg.Key) func(wire.Header) bool {
	api := wire.Keys(keys...)
	return func(h wire.Header) bool { return b.outage.any.Load() && api(h) }
}

// hideBrokersDown has answers name those who stand in for brokers that are down.
func (b *Broker) hideBrokersDown() wire.Rule {
	return wire.Rule{
		Name:  "brokers down are not listed",
		Wants: b.during(kmsg.Metadata, kmsg.DescribeCluster, kmsg.FindCoordinator, kmsg.DescribeTopicPartitions),
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
			case *kmsg.FindCoordinatorResponse:
				b.hideCoordinators(r)
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

func (b *Broker) hideCoordinators(r *kmsg.FindCoordinatorResponse) {
	place := func(code int16, node *int32, host *string, port *int32) {
		if to := b.standIn(*node); code == 0 && to >= 0 {
			*node = to
			*host, *port = b.hostport(to)
		}
	}
	place(r.ErrorCode, &r.NodeID, &r.Host, &r.Port)
	for i := range r.Coordinators {
		c := &r.Coordinators[i]
		place(c.ErrorCode, &c.NodeID, &c.Host, &c.Port)
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

// askBrokersDown has a broker answer for those that it stands in for. kfake puts
// each group and transaction on a broker by a hash of its name, and has no way
// to move one: so what a broker refuses because it is not the coordinator, or
// not the controller, is asked of the ones that it stands in for, inside the
// process.
func (b *Broker) askBrokersDown() wire.Rule {
	return wire.Rule{
		Name: "stand in for brokers down",
		Wants: b.during(
			kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.OffsetDelete, kmsg.TxnOffsetCommit,
			kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup,
			kmsg.DescribeGroups, kmsg.ListGroups, kmsg.DeleteGroups,
			kmsg.ConsumerGroupHeartbeat, kmsg.ConsumerGroupDescribe,
			kmsg.ShareGroupHeartbeat, kmsg.ShareGroupDescribe,
			kmsg.DescribeShareGroupOffsets, kmsg.AlterShareGroupOffsets, kmsg.DeleteShareGroupOffsets,
			kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn,
			kmsg.DescribeTransactions, kmsg.ListTransactions,
			kmsg.CreateTopics, kmsg.DeleteTopics, kmsg.CreatePartitions, kmsg.AlterUserSCRAMCredentials,
		),
		Answer: func(x *wire.Exchange) {
			req, err := x.Request()
			if err != nil {
				return
			}
			resp, err := x.Response()
			if err != nil {
				return
			}
			for _, node := range b.standsInFor(x.Node) {
				if !refused(reflect.ValueOf(resp)) && !lists(resp) {
					break
				}
				theirs, err := b.askAs(x, node, req)
				if err != nil {
					continue // what there is will do: the client is told to look again
				}
				take(reflect.ValueOf(resp), reflect.ValueOf(theirs))
				x.SetResponse(resp)
			}
		},
	}
}

// askAs puts a client's request to another broker. It may take as long as the
// client would wait, so the cluster can be closed meanwhile.
func (b *Broker) askAs(x *wire.Exchange, node int32, req kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithCancel(x.Context())
	defer cancel()
	c, err := b.dial(ctx, node, x.RemoteAddr())
	if err != nil {
		return nil, err
	}
	defer c.close()
	return wire.Ask(ctx, c.conn, x.ClientID, req)
}

func misplaced(code int64) bool {
	return code == int64(kerr.NotCoordinator.Code) || code == int64(kerr.NotController.Code)
}

// lists reports whether an answer lists what the broker coordinates, so that
// answers of several brokers add up.
func lists(resp kmsg.Response) bool {
	switch resp.(type) {
	case *kmsg.ListGroupsResponse, *kmsg.ListTransactionsResponse:
		return true
	}
	return false
}

// refused reports whether an answer, or a part of it, is that somebody else is
// the one to ask. The error codes of kmsg's answers are all called ErrorCode.
func refused(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && refused(v.Elem())
	case reflect.Struct:
		if code := v.FieldByName("ErrorCode"); code.IsValid() && misplaced(code.Int()) {
			return true
		}
		for i := range v.NumField() {
			if refused(v.Field(i)) {
				return true
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return false
		}
		for i := range v.Len() {
			if refused(v.Index(i)) {
				return true
			}
		}
	}
	return false
}

// take replaces the refused parts of an answer by those of another broker's
// answer to the same request, which has its parts in the same order.
func take(mine, theirs reflect.Value) {
	switch mine.Kind() {
	case reflect.Pointer:
		if l, ok := mine.Interface().(*kmsg.ListGroupsResponse); ok {
			l.Groups = append(l.Groups, theirs.Interface().(*kmsg.ListGroupsResponse).Groups...)
		} else if l, ok := mine.Interface().(*kmsg.ListTransactionsResponse); ok {
			l.TransactionStates = append(l.TransactionStates, theirs.Interface().(*kmsg.ListTransactionsResponse).TransactionStates...)
		} else if !mine.IsNil() && !theirs.IsNil() {
			take(mine.Elem(), theirs.Elem())
		}
	case reflect.Struct:
		if code := mine.FieldByName("ErrorCode"); code.IsValid() && misplaced(code.Int()) {
			mine.Set(theirs)
			return
		}
		for i := range mine.NumField() {
			if f := mine.Field(i); f.CanSet() && f.Kind() == reflect.Slice {
				take(f, theirs.Field(i))
			}
		}
	case reflect.Slice:
		if mine.Type().Elem().Kind() != reflect.Struct || mine.Len() != theirs.Len() {
			return
		}
		for i := range mine.Len() {
			take(mine.Index(i), theirs.Index(i))
		}
	}
}

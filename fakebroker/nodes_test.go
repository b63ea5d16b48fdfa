package fakebroker_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

func TestNodeIDsAndRacks_areWhatClientsSee(t *testing.T) {
	c := orders(12)
	c.NodeIDs, c.Racks = []int32{2, 0, 11}, []string{"east", "", "west"}
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b)
		ids := func(list []int32) {
			t.Helper()
			for _, id := range list {
				if !slices.Contains(c.NodeIDs, id) {
					t.Fatalf("there is no node %d", id)
				}
			}
		}
		meta, err := kmsg.NewPtrMetadataRequest().RequestWith(within(t), cl)
		noError(t, err)
		equal(t, "brokers", len(meta.Brokers), 3)
		for _, o := range meta.Brokers {
			ids([]int32{o.NodeID})
			i := slices.Index(c.NodeIDs, o.NodeID)
			equal(t, "rack", rackOf(o.Rack), c.Racks[i])
			equal(t, "null", o.Rack == nil, c.Racks[i] == "")
			equal(t, "address", hostport(o.Host, o.Port), b.Addrs()[i])
		}
		ids([]int32{meta.ControllerID})
		leaders := make(map[int32]bool)
		for _, p := range meta.Topics[0].Partitions {
			ids([]int32{p.Leader})
			ids(p.Replicas)
			ids(p.ISR)
			equal(t, "replicas", len(p.Replicas), 3)
			leaders[p.Leader] = true
		}
		if len(leaders) < 2 {
			t.Fatalf("leaders are %v", leaders)
		}
		cluster, err := kmsg.NewPtrDescribeClusterRequest().RequestWith(within(t), cl)
		noError(t, err)
		for _, o := range cluster.Brokers {
			i := slices.Index(c.NodeIDs, o.NodeID)
			equal(t, "rack", rackOf(o.Rack), c.Racks[i])
		}
		produce(t, cl, "orders", 0, 30)
		equal(t, "records", len(values(t, b, "orders")), 30)

		adm := kadm.NewClient(cl)
		create := kmsg.NewPtrCreateTopicsRequest()
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "placed", -1, -1
		ra := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		ra.Replicas = []int32{11}
		rt.ReplicaAssignment = append(rt.ReplicaAssignment, ra)
		create.Topics = append(create.Topics, rt)
		created, err := create.RequestWith(within(t), cl)
		noError(t, err)
		equal(t, "created", created.Topics[0].ErrorCode, int16(0))

		for _, id := range c.NodeIDs {
			conf, err := adm.DescribeBrokerConfigs(within(t), id)
			noError(t, err)
			equal(t, "resource", conf[0].Name, fmt.Sprint(id))
			noError(t, conf[0].Err)
		}
		g := adm.FindGroupCoordinators(within(t), "a", "b", "c", "d")
		for _, r := range g {
			noError(t, r.Err)
			ids([]int32{r.NodeID})
		}
	})
}

func TestNodeIDs_withoutThemBrokersAreNumberedFrom0AndHaveNoRack(t *testing.T) {
	b := fakebroker.Config{Brokers: 2}.Run(t)
	meta, err := kmsg.NewPtrMetadataRequest().RequestWith(within(t), client(t, b))
	noError(t, err)
	for i, o := range meta.Brokers {
		equal(t, "node id", o.NodeID, int32(i))
		equal(t, "no rack", o.Rack == nil, true)
	}
}

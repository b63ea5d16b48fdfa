package fakebroker

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// kfake numbers brokers from 0, has the rack "krack" for each, and knows of one
// address. Inside the process that is what brokers go by. On the wire, clients
// see the node ids and racks of the config, and the addresses of the listener
// that they came in by: requests are translated before any other rule has them,
// and answers after.

// unknownNode is added to ids that no broker has, where they could be taken for
// kfake's.
const unknownNode = 1 << 24

// NodeIDs are the node ids of the brokers, in the order of [Broker.Addrs].
func (b *Broker) NodeIDs() []int32 {
	out := make([]int32, len(b.listeners))
	for i := range out {
		out[i] = b.id(int32(i))
	}
	return out
}

// id is the node id that clients know a broker by.
func (b *Broker) id(node int32) int32 {
	switch {
	case node < 0 || len(b.cfg.NodeIDs) == 0:
		return node
	case int(node) < len(b.cfg.NodeIDs):
		return b.cfg.NodeIDs[node]
	case node >= unknownNode:
		return node - unknownNode
	}
	return node
}

// node is kfake's number for a node id. An id that no broker has is none there
// either.
func (b *Broker) node(id int32) int32 {
	if id < 0 || len(b.cfg.NodeIDs) == 0 {
		return id
	}
	for node, known := range b.cfg.NodeIDs {
		if known == id {
			return int32(node)
		}
	}
	return id + unknownNode
}

// known is a list of brokers as clients know them; it may share its elements
// with other lists of the same answer, and is left as it is.
func (b *Broker) known(nodes []int32) []int32 {
	out := slices.Clone(nodes)
	for i, n := range out {
		out[i] = b.id(n)
	}
	return out
}

// allInside translates a list of a request.
func (b *Broker) allInside(ids []int32) {
	for i, id := range ids {
		ids[i] = b.node(id)
	}
}

// rack is a broker's rack, nil when it has none.
func (b *Broker) rack(node int32) *string {
	if node < 0 || int(node) >= len(b.cfg.Racks) || b.cfg.Racks[node] == "" {
		return nil
	}
	return &b.cfg.Racks[node]
}

// brokerResource reports whether a config resource is a broker, and translates
// its name.
func (b *Broker) brokerResource(kind kmsg.ConfigResourceType, name string, translate func(int32) int32) string {
	if kind != kmsg.ConfigResourceTypeBroker && kind != kmsg.ConfigResourceTypeBrokerLogger {
		return name
	}
	n, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return name // of all brokers, or one to refuse
	}
	return strconv.Itoa(int(translate(int32(n))))
}

// translateRequests has requests name kfake's node ids. It comes before any
// other rule.
func (b *Broker) translateRequests() wire.Rule {
	return wire.Rule{
		Name: "node ids of requests",
		Keys: wire.Keys(
			kmsg.CreateTopics, kmsg.CreatePartitions, kmsg.AlterPartitionAssignments,
			kmsg.DescribeConfigs, kmsg.AlterConfigs, kmsg.IncrementalAlterConfigs, kmsg.ApiVersions,
		),
		Request: func(x *wire.Exchange) {
			req, err := x.Request()
			if err != nil {
				return
			}
			switch r := req.(type) {
			case *kmsg.CreateTopicsRequest:
				for _, t := range r.Topics {
					for _, a := range t.ReplicaAssignment {
						b.allInside(a.Replicas)
					}
				}
			case *kmsg.CreatePartitionsRequest:
				for _, t := range r.Topics {
					for _, a := range t.Assignment {
						b.allInside(a.Replicas)
					}
				}
			case *kmsg.AlterPartitionAssignmentsRequest:
				for _, t := range r.Topics {
					for _, p := range t.Partitions {
						b.allInside(p.Replicas)
					}
				}
			case *kmsg.DescribeConfigsRequest:
				for i := range r.Resources {
					res := &r.Resources[i]
					res.ResourceName = b.brokerResource(res.ResourceType, res.ResourceName, b.node)
				}
			case *kmsg.AlterConfigsRequest:
				for i := range r.Resources {
					res := &r.Resources[i]
					res.ResourceName = b.brokerResource(res.ResourceType, res.ResourceName, b.node)
				}
			case *kmsg.IncrementalAlterConfigsRequest:
				for i := range r.Resources {
					res := &r.Resources[i]
					res.ResourceName = b.brokerResource(res.ResourceType, res.ResourceName, b.node)
				}
			case *kmsg.ApiVersionsRequest:
				r.NodeID = b.node(r.NodeID)
			}
			x.SetRequest(req)
		},
	}
}

// translateAnswers has answers name the brokers as the client knows them. It
// comes after all rules but those of faults and observers.
func (b *Broker) translateAnswers() wire.Rule {
	brokers := wire.Keys(kmsg.Metadata, kmsg.DescribeCluster)
	all := wire.Keys(
		kmsg.Metadata, kmsg.DescribeCluster, kmsg.FindCoordinator, kmsg.DescribeTopicPartitions, kmsg.DescribeQuorum,
		kmsg.DescribeConfigs, kmsg.AlterConfigs, kmsg.IncrementalAlterConfigs, kmsg.ListConfigResources,
		kmsg.ListPartitionReassignments,
	)
	return wire.Rule{
		Name: "brokers as clients know them",
		Wants: func(h wire.Header) bool {
			return brokers.Has(h.Key) || (h.Listener > 0 || len(b.cfg.NodeIDs) > 0) && all.Has(h.Key)
		},
		AnswerOnly: true,
		Answer: func(x *wire.Exchange) {
			resp, err := x.Response()
			if err != nil {
				return
			}
			b.translate(x.Listener, resp)
			x.SetResponse(resp)
		},
	}
}

// translateEndpoints is translateAnswers for the answers that name brokers only
// when a client asked the wrong one (KIP-951). Those of produce and fetch are
// large, so they are looked at by their end.
func (b *Broker) translateEndpoints() wire.Rule {
	const firstProduce, firstFetch, firstLeader = 10, 16, 12
	size := 0 // of all brokers in an answer, and more
	for _, a := range b.told[0] {
		size += len(a.host) + 64
	}
	return wire.Rule{
		Name:       "brokers as clients know them, where another one leads",
		AnswerOnly: true,
		Wants: func(h wire.Header) bool {
			switch h.Key {
			case kmsg.Produce:
				return h.Version >= firstProduce
			case kmsg.Fetch:
				return h.Version >= firstFetch || h.Version >= firstLeader && len(b.cfg.NodeIDs) > 0
			case kmsg.ShareFetch, kmsg.ShareAcknowledge:
				return true
			}
			return false
		},
		Skip: func(h wire.Header, answer []byte) bool {
			if h.Key == kmsg.Fetch && h.Version < firstFetch {
				return false // an answer with a leader has no brokers to be seen by
			}
			end := answer[max(0, len(answer)-size):]
			for _, a := range b.told[0] {
				if bytes.Contains(end, []byte(a.host)) {
					return false
				}
			}
			return true
		},
		Answer: func(x *wire.Exchange) {
			resp, err := x.Response()
			if err != nil {
				return
			}
			b.translate(x.Listener, resp)
			x.SetResponse(resp)
		},
	}
}

// eachBroker calls f with each broker that an answer tells the address of, to be changed.
// rack is nil where none is told.
func eachBroker(resp kmsg.Response, f func(id *int32, host *string, port *int32, rack **string)) {
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		for i := range r.Brokers {
			b := &r.Brokers[i]
			f(&b.NodeID, &b.Host, &b.Port, &b.Rack)
		}
	case *kmsg.DescribeClusterResponse:
		for i := range r.Brokers {
			b := &r.Brokers[i]
			f(&b.NodeID, &b.Host, &b.Port, &b.Rack)
		}
	case *kmsg.FindCoordinatorResponse:
		f(&r.NodeID, &r.Host, &r.Port, nil)
		for i := range r.Coordinators {
			b := &r.Coordinators[i]
			f(&b.NodeID, &b.Host, &b.Port, nil)
		}
	case *kmsg.ProduceResponse:
		for i := range r.Brokers {
			b := &r.Brokers[i]
			f(&b.NodeID, &b.Host, &b.Port, &b.Rack)
		}
	case *kmsg.FetchResponse:
		for i := range r.Brokers {
			b := &r.Brokers[i]
			f(&b.NodeID, &b.Host, &b.Port, &b.Rack)
		}
	case *kmsg.ShareFetchResponse:
		for i := range r.NodeEndpoints {
			b := &r.NodeEndpoints[i]
			f(&b.NodeID, &b.Host, &b.Port, &b.Rack)
		}
	case *kmsg.ShareAcknowledgeResponse:
		for i := range r.NodeEndpoints {
			b := &r.NodeEndpoints[i]
			f(&b.NodeID, &b.Host, &b.Port, &b.Rack)
		}
	}
}

// endpoint rewrites a broker of an answer; a node id that is none stays.
func (b *Broker) endpoint(listener int, node *int32, host *string, port *int32, rack **string) {
	if n := *node; n >= 0 && int(n) < len(b.listeners) {
		*host, *port = b.told[listener][n].host, b.told[listener][n].port
		if rack != nil {
			*rack = b.rack(n)
		}
	}
	*node = b.id(*node)
}

func (b *Broker) translate(listener int, resp kmsg.Response) {
	eachBroker(resp, func(id *int32, host *string, port *int32, rack **string) {
		b.endpoint(listener, id, host, port, rack)
	})
	switch r := resp.(type) {
	case *kmsg.MetadataResponse:
		r.ControllerID = b.id(r.ControllerID)
		for _, t := range r.Topics {
			for i := range t.Partitions {
				p := &t.Partitions[i]
				p.Leader = b.id(p.Leader)
				p.Replicas, p.ISR, p.OfflineReplicas = b.known(p.Replicas), b.known(p.ISR), b.known(p.OfflineReplicas)
			}
		}
	case *kmsg.DescribeClusterResponse:
		r.ControllerID = b.id(r.ControllerID)
	case *kmsg.DescribeTopicPartitionsResponse:
		for _, t := range r.Topics {
			for i := range t.Partitions {
				p := &t.Partitions[i]
				p.LeaderID = b.id(p.LeaderID)
				p.Replicas, p.ISR, p.OfflineReplicas = b.known(p.Replicas), b.known(p.ISR), b.known(p.OfflineReplicas)
				p.EligibleLeaderReplicas, p.LastKnownELR = b.known(p.EligibleLeaderReplicas), b.known(p.LastKnownELR)
			}
		}
	case *kmsg.DescribeQuorumResponse:
		b.translateQuorum(listener, r)
	case *kmsg.ListPartitionReassignmentsResponse:
		for _, t := range r.Topics {
			for i := range t.Partitions {
				p := &t.Partitions[i]
				p.Replicas, p.AddingReplicas, p.RemovingReplicas = b.known(p.Replicas), b.known(p.AddingReplicas), b.known(p.RemovingReplicas)
			}
		}
	case *kmsg.DescribeConfigsResponse:
		for i := range r.Resources {
			res := &r.Resources[i]
			res.ResourceName = b.brokerResource(res.ResourceType, res.ResourceName, b.id)
		}
	case *kmsg.AlterConfigsResponse:
		for i := range r.Resources {
			res := &r.Resources[i]
			res.ResourceName = b.brokerResource(res.ResourceType, res.ResourceName, b.id)
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for i := range r.Resources {
			res := &r.Resources[i]
			res.ResourceName = b.brokerResource(res.ResourceType, res.ResourceName, b.id)
		}
	case *kmsg.ListConfigResourcesResponse:
		for i := range r.ConfigResources {
			res := &r.ConfigResources[i]
			res.Name = b.brokerResource(kmsg.ConfigResourceType(res.Type), res.Name, b.id)
		}
	default:
		b.translateLeaders(resp)
	}
}

func (b *Broker) translateQuorum(listener int, r *kmsg.DescribeQuorumResponse) {
	for _, t := range r.Topics {
		for i := range t.Partitions {
			p := &t.Partitions[i]
			p.LeaderID = b.id(p.LeaderID)
			for _, states := range [][]kmsg.DescribeQuorumResponseTopicPartitionReplicaState{p.CurrentVoters, p.Observers} {
				for j := range states {
					states[j].ReplicaID = b.id(states[j].ReplicaID)
				}
			}
		}
	}
	for i := range r.Nodes {
		n := &r.Nodes[i]
		at := n.NodeID
		n.NodeID = b.id(at)
		if at < 0 || int(at) >= len(b.listeners) {
			continue
		}
		for j := range n.Listeners {
			l := &n.Listeners[j]
			l.Host, l.Port = b.told[listener][at].host, uint16(b.told[listener][at].port)
		}
	}
}

// translateLeaders is for the answers that say who leads now.
func (b *Broker) translateLeaders(resp kmsg.Response) {
	switch r := resp.(type) {
	case *kmsg.ProduceResponse:
		for _, t := range r.Topics {
			for i := range t.Partitions {
				l := &t.Partitions[i].CurrentLeader
				l.LeaderID = b.id(l.LeaderID)
			}
		}
	case *kmsg.FetchResponse:
		for _, t := range r.Topics {
			for i := range t.Partitions {
				p := &t.Partitions[i]
				p.CurrentLeader.LeaderID = b.id(p.CurrentLeader.LeaderID)
				p.PreferredReadReplica = b.id(p.PreferredReadReplica)
			}
		}
	case *kmsg.ShareFetchResponse:
		for _, t := range r.Topics {
			for i := range t.Partitions {
				l := &t.Partitions[i].CurrentLeader
				l.LeaderID = b.id(l.LeaderID)
			}
		}
	case *kmsg.ShareAcknowledgeResponse:
		for _, t := range r.Topics {
			for i := range t.Partitions {
				l := &t.Partitions[i].CurrentLeader
				l.LeaderID = b.id(l.LeaderID)
			}
		}
	}
}

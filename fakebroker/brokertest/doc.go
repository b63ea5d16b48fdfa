// Package brokertest holds a broker to what Apache Kafka does. A [Behaviour] is
// one such thing, written from the protocol and true of Apache Kafka 4.3; the
// same table runs against the fake broker and against a real one, so that the
// fake can be trusted where the two agree and mended where they do not. It is
// for whoever builds or changes a broker that clients shall take for Kafka.
//
//	func TestBroker(t *testing.T) {
//		brokertest.Test(t, func(t *testing.T, needs brokertest.Needs) brokertest.Cluster {
//			return brokertest.Cluster{Options: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092")}}
//		})
//	}
//
// Behaviours use names of their own for topics, groups and transactional ids,
// so they can share a cluster, and delete what they created.
package brokertest

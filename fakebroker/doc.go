// Package fakebroker is a Kafka cluster inside the process, for tests of
// services that produce and consume, and for programs that want a broker
// without installing one. Real clients talk to it over loopback TCP, or over a
// network in memory that works in a testing/synctest bubble.
//
//	func TestGreets(t *testing.T) {
//		b := fakebroker.Run(t, "greetings:3")
//		client, err := kgo.NewClient(append(b.ClientOptions(), kgo.ConsumeTopics("greetings"))...)
//		// ... the code under test ...
//		lost := b.DropAfter(fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Count: 1})
//		// ... the broker has the record, the client never hears of it and retries ...
//		records, err := b.Records("greetings")
//		group, ok := b.Group("greeter")
//		t.Log(lost.Hits(), len(records), group.State)
//	}
//
// [Run] stops the cluster with the test; [Start] is for programs. Inspection
// ([Broker.Records], [Broker.Group], [Broker.Partitions], [Broker.Transactions])
// returns plain values and asks the cluster directly: faults do not touch it and
// it takes no virtual time. [Broker.Observe] tells what clients of any kind
// produce, fetch and commit.
//
// Faults happen on the connections that clients use: [Broker.Refuse] with a
// protocol error, [Broker.Delay], [Broker.DropBefore] and [Broker.DropAfter] the
// broker has acted, [Broker.CutOff] clients, [Broker.TakeDown] brokers,
// [Broker.MoveLeader], [Broker.MoveCoordinator], [Broker.ExpireSession] and
// [Broker.ForgetTopic]. Package control has all of it for other processes.
//
// Of those, all that needs no more than the connections works on a cluster that runs
// elsewhere, too, such as Apache Kafka: a [Proxy] is what clients then connect to.
//
//	p := fakebroker.ProxyConfig{Brokers: []string{"127.0.0.1:9092"}}.Run(t)
//	client, err := kgo.NewClient(p.ClientOptions()...)
//	late := p.Delay(3*time.Second, fakebroker.Scope{APIs: []kmsg.Key{kmsg.OffsetCommit}, Group: "greeter"})
//
// The protocol is served by franz-go's kfake; package wire sees every request
// and answer on its way, and corrects those that differ from Apache Kafka's.
package fakebroker

// Package kafka gives tests a real Apache Kafka, to ask it what is true of Kafka.
//
//	func TestOnKafka(t *testing.T) {
//		k := kafka.Run(t, kafka.Config{})
//		cl, err := kgo.NewClient(k.ClientOptions()...)
//		// ...
//	}
//
// It has to be opted into: [Run] skips the test unless the environment chooses where
// the Kafka comes from.
//
//   - KAFKATEST_REAL=jars: the jars, fetched once with Maven, as processes on loopback
//     that end with the test. They need a Java runtime (17 or later), Maven the first
//     time, and half a gigabyte of memory a node, which is ready in about two seconds
//     (three the first time). Only they have what a [Config] can ask for: several nodes,
//     users, TLS, ACLs.
//   - KAFKATEST_REAL=container: a container of one node, by testcontainers, which needs
//     Docker or another engine. See [Image].
//   - KAFKA_BROKERS=HOST:PORT: a cluster that runs already. It is left as it is but for
//     what tests create in it.
//
// From the command line, until interrupted:
//
//	go run ./kafka/cmd/kafka --port 9092
package kafka

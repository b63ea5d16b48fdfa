// Package kafka runs a real Apache Kafka for tests, to ask it what is true of
// Kafka: the jars, fetched once with Maven, as processes on loopback that end
// with the test. A node is ready in about two seconds (three the first time).
//
//	func TestOnKafka(t *testing.T) {
//		k := kafka.Run(t, kafka.Config{})
//		cl, err := kgo.NewClient(k.ClientOptions()...)
//		// ...
//	}
//
// It has to be opted into, because it needs a Java runtime (17 or later), Maven
// the first time, and half a gigabyte of memory a node: [Run] skips the test
// unless the environment has KAFKATEST_REAL=1, or KAFKA_BROKERS with the
// HOST:PORT of a cluster that runs already, which is used instead and left as it
// is but for what tests create in it.
//
// From the command line, until interrupted:
//
//	go run ./kafka/cmd/kafka --port 9092
package kafka

// Package clients tests the fake broker with the Kafka clients of other
// languages and libraries, each as its users use it: one program a client, in a
// folder of its name, that does the same things as all others (CONTRACT.md). Its
// tests run each program on the fake broker and on Apache Kafka, and what came
// of it must be the same, but for differences that are listed with their reason.
//
// They are opted into, because they need the languages, and download the
// libraries into package kafka's cache:
//
//	KAFKATEST_REAL=1 go test ./clients
//	KAFKATEST_REAL=1 go test ./clients -run TestClients/sarama -v
//	KAFKATEST_REAL=1 go test ./clients -update
//
// The last one writes the table in the README of package fakebroker.
package clients

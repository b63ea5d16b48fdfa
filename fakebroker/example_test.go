package fakebroker_test

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

func ExampleStart() {
	b, err := fakebroker.Start(fakebroker.Config{
		Topics: []fakebroker.Topic{{Name: "greetings", Partitions: 2}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = b.Close() }()

	client, err := kgo.NewClient(b.ClientOptions()...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	r := &kgo.Record{Topic: "greetings", Key: []byte("en"), Value: []byte("hello")}
	if err := client.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		fmt.Println(err)
		return
	}

	records, err := b.Records("greetings")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range records {
		fmt.Printf("%s: %s\n", r.Key, r.Value)
	}
	// Output: en: hello
}

// The broker has written the record when the connection breaks, and the client
// cannot know. It sends the record again; an idempotent producer is recognized.
func ExampleBroker_DropAfter() {
	b, err := fakebroker.Start(fakebroker.Config{Topics: []fakebroker.Topic{{Name: "orders"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = b.Close() }()
	fault := b.DropAfter(fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Count: 1})

	client, err := kgo.NewClient(append(b.ClientOptions(), kgo.MetadataMinAge(10*time.Millisecond))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	r := &kgo.Record{Topic: "orders", Value: []byte("once")}
	fmt.Println("error:", client.ProduceSync(context.Background(), r).FirstErr())

	records, err := b.Records("orders")
	fmt.Println(len(records), "record, error:", err)
	fmt.Println(fault)
	// Output:
	// error: <nil>
	// 1 record, error: <nil>
	// drop the connection after Produce, count 1 (struck 1)
}

func ExampleParseTopic() {
	for _, s := range []string{"orders", "orders:12", "no spaces"} {
		t, err := fakebroker.ParseTopic(s)
		fmt.Println(t.Name, t.Partitions, err)
	}
	// Output:
	// orders 0 <nil>
	// orders 12 <nil>
	//  0 invalid topic: "no spaces": use letters, digits, '.', '_' and '-' only
}

func ExampleBroker_TakeDown() {
	b, err := fakebroker.Start(fakebroker.Config{Brokers: 3, Topics: []fakebroker.Topic{{Name: "orders"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = b.Close() }()
	before, err := b.Partitions("orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	outage := b.TakeDown(before[0].Leader)
	after, err := b.Partitions("orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("same leader:", before[0].Leader == after[0].Leader)
	fmt.Println("leader epoch:", after[0].LeaderEpoch)
	outage.Clear() // the broker is back; the leader stays
	// Output:
	// same leader: false
	// leader epoch: 1
}

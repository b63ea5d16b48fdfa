package controlclient_test

import (
	"context"
	"errors"
	"fmt"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control"
	"example.com/kafkatest/fakebroker/control/controlclient"
)

// A test breaks a broker on purpose, looks at what became of it, and leaves it
// as it was.
func Example() {
	// Started here; elsewhere it is the program, with --control.
	b, err := fakebroker.Start(fakebroker.Config{Topics: []fakebroker.Topic{{Name: "orders"}}})
	if err != nil {
		panic(err)
	}
	defer func() { _ = b.Close() }()
	s, err := control.Start(b, control.Config{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = s.Close() }()

	ctx := context.Background()
	c, err := controlclient.New(s.URL())
	if err != nil {
		panic(err)
	}
	f, err := c.CreateFault(ctx, controlclient.FaultSpec{
		Fault: controlclient.Refuse,
		Error: "NOT_LEADER_OR_FOLLOWER",
		Scope: controlclient.Scope{APIs: []string{"Produce"}, Topic: "orders", Count: 2},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(f.Description)

	// What is asked here is not struck.
	if _, err := c.Produce(ctx, "orders", controlclient.NewRecord{Key: []byte("k"), Value: []byte("v")}); err != nil {
		panic(err)
	}
	for r, err := range c.Records(ctx, "orders", controlclient.Filter{}) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: %s\n", r.Key, r.Value)
	}
	if f, err = c.ClearFault(ctx, f.ID); err != nil {
		panic(err)
	}
	fmt.Println("hits:", f.Hits)

	_, err = c.Topic(ctx, "missing")
	var p *controlclient.ProblemError
	if errors.As(err, &p) {
		fmt.Println(p.Status, p.Title)
	}
	// Output:
	// refuse Produce, topic orders, count 2 with NOT_LEADER_OR_FOLLOWER (struck 0)
	// k: v
	// hits: 0
	// 404 Not Found
}

package control_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control/controlclient"
)

// oneShot produces a record and does not try again.
func oneShot(t *testing.T, b *fakebroker.Broker) error {
	t.Helper()
	cl := kafka(t, b, kgo.ClientID("me"), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.RequestRetries(0), kgo.UnknownTopicRetries(0), kgo.RecordDeliveryTimeout(5*time.Second))
	defer cl.Close()
	return cl.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr()
}

func TestFaults_strikeUntilCleared(t *testing.T) {
	scope := controlclient.Scope{APIs: []string{"produce"}, Topic: "orders"}
	for _, spec := range []controlclient.FaultSpec{
		{Fault: controlclient.Refuse, Error: "TOPIC_AUTHORIZATION_FAILED", Scope: scope},
		{Fault: controlclient.Refuse, Scope: scope},
		{Fault: controlclient.Refuse, Error: "NOT_LEADER_OR_FOLLOWER", Scope: scope},
		{Fault: controlclient.DropBefore, Scope: scope},
		{Fault: controlclient.DropAfter, Scope: scope},
		{Fault: controlclient.CutOff, Scope: controlclient.Scope{ClientID: "me"}},
		{Fault: controlclient.CutOff, Scope: controlclient.Scope{Remote: "127.0.0.1"}},
		{Fault: controlclient.ForgetTopic, Scope: controlclient.Scope{Topic: "orders"}},
	} {
		t.Run(spec.Fault+spec.Error+spec.Scope.Remote, func(t *testing.T) {
			b, s := serve(t, orders(1))
			c := client(t, s)
			f, err := c.CreateFault(t.Context(), spec)
			noError(t, err)
			equal(t, "id", f.ID, "1")
			equal(t, "spec", f.FaultSpec, spec)
			if oneShot(t, b) == nil {
				t.Fatal("produced in spite of it")
			}
			f, err = c.Fault(t.Context(), f.ID)
			noError(t, err)
			if f.Hits == 0 || f.Description == "" || f.Created.IsZero() {
				t.Fatalf("%+v", f)
			}
			f, err = c.ClearFault(t.Context(), f.ID)
			noError(t, err)
			if f.Hits == 0 {
				t.Fatalf("%+v", f)
			}
			noError(t, oneShot(t, b))
			_, err = c.ClearFault(t.Context(), f.ID)
			equal(t, "again", problem(t, err).Status, http.StatusNotFound)
		})
	}
}

func TestFaults_delay(t *testing.T) {
	b, s := serve(t, orders(1))
	_, err := client(t, s).CreateFault(t.Context(), controlclient.FaultSpec{Fault: controlclient.Delay, DelayMS: 200, Scope: controlclient.Scope{APIs: []string{"Produce"}}})
	noError(t, err)
	start := time.Now()
	noError(t, oneShot(t, b))
	if took := time.Since(start); took < 200*time.Millisecond {
		t.Fatalf("produced after %v", took)
	}
}

func TestFaults_takeDown(t *testing.T) {
	b, s := serve(t, orders(1))
	c := client(t, s)
	f, err := c.CreateFault(t.Context(), controlclient.FaultSpec{Fault: controlclient.TakeDown, Broker: new(int32)})
	noError(t, err)
	brokers, err := c.Brokers(t.Context())
	noError(t, err)
	equal(t, "up", brokers[0].Up, false)
	_, err = c.CreateFault(t.Context(), controlclient.FaultSpec{Fault: controlclient.TakeDown, Broker: new(int32)})
	equal(t, "twice", problem(t, err).Status, http.StatusConflict)
	if oneShot(t, b) == nil {
		t.Fatal("produced to a broker that is down")
	}
	_, err = c.ClearFault(t.Context(), f.ID)
	noError(t, err)
	noError(t, oneShot(t, b))
}

func TestFaults_moves(t *testing.T) {
	config := orders(1)
	config.Brokers = 3
	b, s := serve(t, config)
	c := client(t, s)
	leader := func() int32 {
		t.Helper()
		topic, err := c.Topic(t.Context(), "orders")
		noError(t, err)
		return topic.PartitionDetails[0].Leader
	}
	was := leader()
	to := (was + 1) % 3
	f, err := c.CreateFault(t.Context(), controlclient.FaultSpec{Fault: controlclient.MoveLeader, Topic: "orders", Partition: new(int32), Broker: &to})
	noError(t, err)
	equal(t, "leader", leader(), to)
	_, err = c.ClearFault(t.Context(), f.ID)
	noError(t, err)
	equal(t, "leader", leader(), was)

	cl := kafka(t, b, kgo.TransactionalID("tx"))
	noError(t, cl.BeginTransaction())
	noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr())
	all, err := c.Transactions(t.Context())
	noError(t, err)
	to = (all[0].Coordinator + 1) % 3
	group := func() int32 { // any but the one that it has
		for id := range int32(3) {
			f := b.MoveCoordinator("g", id)
			inert := f.Inert()
			f.Clear()
			if !inert {
				return id
			}
		}
		return -1
	}()
	for _, spec := range []controlclient.FaultSpec{
		{Fault: controlclient.MoveCoordinator, TransactionalID: "tx", Broker: &to},
		{Fault: controlclient.MoveCoordinator, Group: "g", Broker: &group},
	} {
		_, err = c.CreateFault(t.Context(), spec)
		noError(t, err)
	}
	all, err = c.Transactions(t.Context())
	noError(t, err)
	equal(t, "coordinator", all[0].Coordinator, to)
	noError(t, cl.EndTransaction(within(t), kgo.TryCommit))
	faults, err := c.Faults(t.Context())
	noError(t, err)
	if faults[0].Hits == 0 || faults[0].TransactionalID != "tx" || faults[1].Group != "g" {
		t.Fatalf("%+v", faults)
	}
}

func TestFaults_expireSession(t *testing.T) {
	b, s := serve(t, orders(1))
	c := client(t, s)
	cl := kafka(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"))
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			cl.PollFetches(ctx)
		}
	}()
	defer func() { cancel(); <-done }()
	var member string
	for ctx := within(t); member == ""; {
		if g, err := c.Group(t.Context(), "g"); err == nil && len(g.Members) == 1 {
			member = g.Members[0].ID
		}
		if ctx.Err() != nil {
			t.Fatal("never joined")
		}
	}
	f, err := c.CreateFault(t.Context(), controlclient.FaultSpec{Fault: controlclient.ExpireSession, Scope: controlclient.Scope{Group: "g"}})
	noError(t, err)
	equal(t, "hits", f.Hits, 1)
	g, err := c.Group(t.Context(), "g")
	noError(t, err)
	for _, m := range g.Members { // it may have joined again
		if m.ID == member {
			t.Fatal("still a member")
		}
	}
}

func TestFaults_countAndNth(t *testing.T) {
	b, s := serve(t, orders(1))
	c := client(t, s)
	f, err := c.CreateFault(t.Context(), controlclient.FaultSpec{
		Fault: controlclient.Refuse, Error: "TOPIC_AUTHORIZATION_FAILED",
		Scope: controlclient.Scope{APIs: []string{"Produce"}, ClientID: "me", Brokers: []int32{0}, Partitions: []int32{0}, Nth: 2, Count: 1},
	})
	noError(t, err)
	for i := range 3 {
		err := oneShot(t, b)
		if struck := errors.Is(err, kerr.TopicAuthorizationFailed); struck != (i == 1) {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	f, err = c.Fault(t.Context(), f.ID)
	noError(t, err)
	equal(t, "hits", f.Hits, 1)
}

func TestFaults_clearAll(t *testing.T) {
	b, s := serve(t, orders(1))
	c := client(t, s)
	for range 3 {
		_, err := c.CreateFault(t.Context(), controlclient.FaultSpec{Fault: controlclient.DropBefore, Scope: controlclient.Scope{APIs: []string{"Produce"}}})
		noError(t, err)
	}
	mine := b.Refuse(nil, fakebroker.Scope{ClientID: "other"})
	all, err := c.Faults(t.Context())
	noError(t, err)
	equal(t, "faults", []string{all[0].ID, all[1].ID, all[2].ID}, []string{"1", "2", "3"})
	n, err := c.ClearFaults(t.Context())
	noError(t, err)
	equal(t, "cleared", n, 3)
	all, err = c.Faults(t.Context())
	noError(t, err)
	equal(t, "faults", len(all), 0)
	noError(t, oneShot(t, b))
	equal(t, "a fault made elsewhere", mine.Hits(), 0)
}

func TestFaults_areBounded(t *testing.T) {
	_, s := serve(t, orders(1))
	c, err := controlclient.New(s.URL())
	noError(t, err)
	spec := controlclient.FaultSpec{Fault: controlclient.DropBefore, Scope: controlclient.Scope{ClientID: "nobody"}}
	for i := range 1001 {
		_, err := c.CreateFault(t.Context(), spec)
		if i < 1000 {
			noError(t, err)
			continue
		}
		p := problem(t, err)
		equal(t, "status", p.Status, http.StatusConflict)
		if !strings.Contains(p.Error(), "clear some") {
			t.Fatal(p)
		}
	}
}

func TestFaults_doNotTouchControl(t *testing.T) {
	_, s := serve(t, orders(1))
	c := client(t, s)
	for _, fault := range []string{controlclient.Refuse, controlclient.DropBefore, controlclient.CutOff, controlclient.ForgetTopic} {
		_, err := c.CreateFault(t.Context(), controlclient.FaultSpec{Fault: fault})
		noError(t, err)
	}
	_, err := c.Produce(t.Context(), "orders", controlclient.NewRecord{Value: []byte("v")})
	noError(t, err)
	n := 0
	for _, err := range c.Records(t.Context(), "orders", controlclient.Filter{}) {
		noError(t, err)
		n++
	}
	equal(t, "records", n, 1)
	_, err = c.ResetOffsets(t.Context(), "g", controlclient.Reset{To: controlclient.Latest, Topic: "orders"})
	noError(t, err)
}

func TestFaults_haveKafkasNames(t *testing.T) {
	_, s := serve(t, orders(1))
	c := client(t, s)
	for _, api := range []string{"AlterPartitionReassignments", "AlterPartitionAssignments"} {
		f, err := c.CreateFault(t.Context(), controlclient.FaultSpec{
			Fault: controlclient.Refuse, Error: "NOT_LEADER_OR_FOLLOWER", Scope: controlclient.Scope{APIs: []string{api, "SaslHandshake"}},
		})
		noError(t, err)
		equal(t, "description", f.Description, "refuse AlterPartitionReassignments, SaslHandshake with NOT_LEADER_OR_FOLLOWER (struck 0)")
	}
}

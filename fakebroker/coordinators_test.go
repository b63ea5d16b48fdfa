package fakebroker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/wire"
)

// coordinator is who clients find for a group or transactional id.
func coordinator(t *testing.T, cl *kgo.Client, kind int8, key string) int32 {
	t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = kind, key, []string{key}
	resp, err := req.RequestWith(within(t), cl)
	noError(t, err)
	if len(resp.Coordinators) == 1 {
		return resp.Coordinators[0].NodeID
	}
	return resp.NodeID
}

func threeBrokers() fakebroker.Config {
	c := orders(6)
	c.Brokers = 3
	return c
}

func TestMoveCoordinator_groupGoesOnElsewhere(t *testing.T) {
	for _, protocol := range []struct {
		name string
		opts []kgo.Opt
	}{
		{"classic", nil},
		{"KIP-848", []kgo.Opt{kgo.ServerSideBalancer()}},
	} {
		t.Run(protocol.name, func(t *testing.T) {
			onBoth(t, threeBrokers(), func(t *testing.T, b *fakebroker.Broker) {
				p := client(t, b, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
				was := coordinator(t, p, 0, "g")
				cl := client(t, b, append(protocol.opts, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"),
					kgo.DisableAutoCommit(), kgo.FetchMaxWait(200*time.Millisecond))...)
				check := func(first int) {
					produce(t, p, "orders", first, 12)
					got := map[string]bool{}
					for _, v := range consume(t, cl, 12) {
						got[v] = true
					}
					equal(t, "different records", len(got), 12)
					noError(t, cl.CommitUncommittedOffsets(within(t)))
				}
				check(0)
				before, _ := b.Group("g")

				f := b.MoveCoordinator("g", (was+1)%3)
				equal(t, "coordinator", coordinator(t, p, 0, "g"), (was+1)%3)
				check(100)
				if f.Hits() == 0 {
					t.Fatal("nobody was refused by the old coordinator")
				}
				g, _ := b.Group("g")
				equal(t, "members", len(g.Members), len(before.Members))
				equal(t, "member", g.Members[0].ID, before.Members[0].ID)

				f.Clear()
				equal(t, "coordinator", coordinator(t, p, 0, "g"), was)
				check(200)
			})
		})
	}
}

func TestMoveCoordinator_everyRequestIsServedThereAndRefusedElsewhere(t *testing.T) {
	requests := map[string]func() kmsg.Request{
		"OffsetCommit": func() kmsg.Request {
			r := kmsg.NewPtrOffsetCommitRequest()
			r.Group, r.Generation = "g", -1
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			rt := kmsg.NewOffsetCommitRequestTopic()
			rt.Topic, rt.Partitions = "orders", append(rt.Partitions, p)
			r.Topics = append(r.Topics, rt)
			r.Version = 8
			return r
		},
		"OffsetFetch of one": func() kmsg.Request {
			r := kmsg.NewPtrOffsetFetchRequest()
			r.Version, r.Group = 5, "g"
			return r
		},
		"OffsetFetch of several": func() kmsg.Request {
			r := kmsg.NewPtrOffsetFetchRequest()
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group = "g"
			r.Version, r.Groups = 8, append(r.Groups, g)
			return r
		},
		"DescribeGroups": func() kmsg.Request {
			r := kmsg.NewPtrDescribeGroupsRequest()
			r.Version, r.Groups = 5, []string{"g"}
			return r
		},
		"DeleteGroups": func() kmsg.Request {
			r := kmsg.NewPtrDeleteGroupsRequest()
			r.Version, r.Groups = 2, []string{"g"}
			return r
		},
		"JoinGroup in an old version": func() kmsg.Request {
			r := kmsg.NewPtrJoinGroupRequest()
			r.Version, r.Group, r.ProtocolType, r.SessionTimeoutMillis = 0, "old", "consumer", 10_000
			p := kmsg.NewJoinGroupRequestProtocol()
			p.Name = "range"
			r.Protocols = append(r.Protocols, p)
			return r
		},
		"InitProducerID": func() kmsg.Request {
			r := kmsg.NewPtrInitProducerIDRequest()
			id := "tx"
			r.Version, r.TransactionalID, r.TransactionTimeoutMillis = 4, &id, 10_000
			return r
		},
		"DescribeTransactions": func() kmsg.Request {
			r := kmsg.NewPtrDescribeTransactionsRequest()
			r.TransactionalIDs = []string{"tx"}
			return r
		},
	}
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			onBoth(t, threeBrokers(), func(t *testing.T, b *fakebroker.Broker) {
				cl := client(t, b)
				admin := kadm.NewClient(cl)
				offsets := make(kadm.Offsets)
				offsets.Add(kadm.Offset{Topic: "orders", At: 3})
				noError(t, admin.CommitAllOffsets(within(t), "g", offsets))
				tx := client(t, b, kgo.TransactionalID("tx"))
				noError(t, tx.BeginTransaction())
				noError(t, tx.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr())
				noError(t, tx.EndTransaction(within(t), kgo.TryCommit))

				for _, of := range []struct {
					kind int8
					name string
				}{{0, "g"}, {0, "old"}, {1, "tx"}} {
					to := (coordinator(t, cl, of.kind, of.name) + 1) % 3
					if of.kind == 0 {
						b.MoveCoordinator(of.name, to)
					} else {
						b.MoveTransactionCoordinator(of.name, to)
					}
				}
				key := map[string]struct {
					kind int8
					name string
				}{"JoinGroup in an old version": {0, "old"}, "InitProducerID": {1, "tx"}, "DescribeTransactions": {1, "tx"}}[name]
				if key.name == "" {
					key.name = "g"
				}
				there := coordinator(t, cl, key.kind, key.name)
				for i := range int32(3) {
					node := (there + 1 + i) % 3 // the one that serves it comes last
					resp, err := rawTo(t, b, int(node), request())
					noError(t, err)
					want := kerr.NotCoordinator.Code
					if node == there {
						want = 0
					}
					equal(t, fmt.Sprintf("error of broker %d", node), firstError(resp), want)
				}
			})
		})
	}
}

func TestMoveCoordinator_listsAndDescribesAddUp(t *testing.T) {
	onBoth(t, threeBrokers(), func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b)
		admin := kadm.NewClient(cl)
		var names []string
		for i := range 6 {
			name := fmt.Sprint("g", i)
			names = append(names, name)
			offsets := make(kadm.Offsets)
			offsets.Add(kadm.Offset{Topic: "orders", At: 3})
			noError(t, admin.CommitAllOffsets(within(t), name, offsets))
		}
		b.MoveCoordinator("g1", (coordinator(t, cl, 0, "g1")+1)%3)
		check := func() {
			t.Helper()
			listed := 0
			for node := range 3 {
				resp, err := rawTo(t, b, node, &kmsg.ListGroupsRequest{Version: 4})
				noError(t, err)
				for _, g := range resp.(*kmsg.ListGroupsResponse).Groups {
					listed++
					if where := coordinator(t, cl, 0, g.Group); where != int32(node) {
						t.Fatalf("broker %d lists %s, which broker %d coordinates", node, g.Group, where)
					}
				}
			}
			equal(t, "listed", listed, 6)
			described, err := kadm.NewClient(client(t, b)).DescribeGroups(within(t), names...)
			noError(t, err)
			noError(t, described.Error())
			equal(t, "described", len(described), 6)
		}
		check()
		f := b.TakeDown(coordinator(t, cl, 0, "g1")) // somebody stands in for it
		eventually(t, "g1 has another coordinator", func() bool {
			g, err := kadm.NewClient(client(t, b)).FetchOffsets(within(t), "g1")
			return err == nil && len(g) == 1
		})
		f.Clear()
		check()
		deleted, err := kadm.NewClient(client(t, b)).DeleteGroups(within(t), names...)
		noError(t, err)
		noError(t, deleted.Error())
		equal(t, "groups left", len(b.Groups()), 0)
	})
}

func TestMoveTransactionCoordinator_transactionGoesOnElsewhere(t *testing.T) {
	onBoth(t, threeBrokers(), func(t *testing.T, b *fakebroker.Broker) {
		cl := client(t, b, kgo.TransactionalID("tx"))
		noError(t, cl.BeginTransaction())
		produce(t, cl, "orders", 0, 1)
		f := b.MoveTransactionCoordinator("tx", (coordinator(t, cl, 1, "tx")+1)%3)
		noError(t, cl.EndTransaction(within(t), kgo.TryCommit))
		if f.Hits() == 0 {
			t.Fatal("the old coordinator refused nothing")
		}
		noError(t, cl.BeginTransaction())
		produce(t, cl, "orders", 1, 1)
		noError(t, cl.EndTransaction(within(t), kgo.TryCommit))
		equal(t, "records", len(values(t, b, "orders")), 2)
	})
}

func TestMoveCoordinator_toNowhereNeverStrikes(t *testing.T) {
	b := threeBrokers().Run(t)
	f := b.MoveCoordinator("g", 7)
	equal(t, "text", f.String(), "coordinator of group g moved to broker 7, which does not exist (struck 0)")
	f.Clear()
}

// firstError is the error of a request about one thing, wherever it says so.
func firstError(resp kmsg.Response) int16 {
	switch r := resp.(type) {
	case *kmsg.OffsetCommitResponse:
		return r.Topics[0].Partitions[0].ErrorCode
	case *kmsg.OffsetFetchResponse:
		if len(r.Groups) > 0 {
			return r.Groups[0].ErrorCode
		}
		return r.ErrorCode
	case *kmsg.DescribeGroupsResponse:
		return r.Groups[0].ErrorCode
	case *kmsg.DeleteGroupsResponse:
		return r.Groups[0].ErrorCode
	case *kmsg.JoinGroupResponse:
		return r.ErrorCode
	case *kmsg.InitProducerIDResponse:
		return r.ErrorCode
	case *kmsg.DescribeTransactionsResponse:
		return r.TransactionStates[0].ErrorCode
	}
	return -1
}

// rawTo asks a broker in the version that the request says.
func rawTo(t *testing.T, b *fakebroker.Broker, node int, req kmsg.Request) (kmsg.Response, error) {
	t.Helper()
	conn, err := dialNode(t, b, node)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	return wire.Ask(ctx, conn, "raw", req)
}

// Nobody is served before they have authenticated, and everybody as who they are,
// however much they send at once.
func TestMoveCoordinator_servesAuthenticatedUsersOnly(t *testing.T) {
	conf := threeBrokers()
	conf.SASL = []fakebroker.User{{Mechanism: fakebroker.Plain, Name: "alice", Password: "secret"}, {Mechanism: fakebroker.Plain, Name: "root", Password: "secret"}}
	conf.Listeners = []fakebroker.Listener{{SASL: true}, {}}
	authorized := conf
	authorized.Superusers = []string{"root"}
	groups := []string{"g", "h"}
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Version, describe.Groups = 5, groups
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Version, del.Groups = 2, groups
	authentication := func(user, password string) []kmsg.Request {
		shake := kmsg.NewPtrSASLHandshakeRequest()
		shake.Version, shake.Mechanism = 1, fakebroker.Plain
		auth := kmsg.NewPtrSASLAuthenticateRequest()
		auth.Version, auth.SASLAuthBytes = 2, []byte("\x00"+user+"\x00"+password)
		return []kmsg.Request{shake, auth}
	}
	for name, conf := range map[string]fakebroker.Config{"SASL": conf, "SASL and ACLs": authorized} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, conf, func(t *testing.T, b *fakebroker.Broker) {
				b.MoveCoordinator("g", 1)
				for _, c := range []struct {
					user, password string // none: does not authenticate
					answers        int
				}{{"", "", 0}, {"alice", "wrong", 1}, {"alice", "secret", 3}, {"root", "secret", 3}} {
					for _, req := range []kmsg.Request{describe, del} {
						for node := range 3 {
							var reqs []kmsg.Request
							if c.user != "" {
								reqs = authentication(c.user, c.password)
							}
							reqs = append(reqs, req)
							conn, err := dialNode(t, b, node)
							noError(t, err)
							// Two requests without authentication: the second one would tell of the first.
							go func() { _, _ = conn.Write(pipelined(func(i int) int32 { return int32(i) }, reqs...)) }()
							var last []byte
							got := 0
							for got < len(reqs) {
								body, err := readBody(conn)
								if err != nil {
									break
								}
								last = body
								got++
							}
							noError(t, conn.Close())
							what := fmt.Sprintf("%s of %q at broker %d", kmsg.NameForKey(req.Key()), c.user, node)
							if c.answers < 3 {
								if got > max(c.answers, len(reqs)-1) {
									t.Fatalf("%s: %d answers", what, got)
								}
								continue
							}
							equal(t, what+": answers", got, c.answers)
							resp := req.ResponseKind()
							noError(t, resp.ReadFrom(last[1:])) // behind the tags of its header
							denied := firstError(resp) == kerr.GroupAuthorizationFailed.Code
							equal(t, what+": denied", denied, name != "SASL" && c.user == "alice")
						}
					}
				}
			})
		})
	}
}

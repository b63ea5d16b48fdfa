package harness_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// Each row of the table of traps, and what the harness says of it.
var traps = []failure{
	{
		"leave a broker open",
		inBubble(harness.Config{}, func(t *testing.T, _ *harness.Harness) {
			_, err := fakebroker.Start(fakebroker.Config{Network: fakebroker.InMemory})
			require.NoError(t, err)
		}),
		[]string{"failures_test.go:", "a broker that was not closed"},
	},
	{
		"leave a database open",
		inBubble(harness.Config{}, func(t *testing.T, _ *harness.Harness) {
			db, err := sql.Open("sqlite", ":memory:")
			require.NoError(t, err)
			require.NoError(t, db.Ping())
		}),
		[]string{"failures_test.go:", "a sql.DB that was not closed"},
	},
	{
		"close a client in an outer cleanup",
		func(t *testing.T) {
			var cl *kgo.Client
			t.Cleanup(func() { cl.Close() })
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				var err error
				cl, err = kgo.NewClient(h.ClientOptions("client")...)
				require.NoError(t, err)
				require.NoError(t, cl.Ping(t.Context()))
			})
		},
		[]string{"a kgo client that was not closed", "what the outer t closes is closed too late"},
	},
	{
		"a broker outside and a client inside",
		func(t *testing.T) {
			b, err := fakebroker.Start(fakebroker.Config{Network: fakebroker.InMemory})
			require.NoError(t, err)
			defer func() { assert.NoError(t, b.Close()) }()
			harness.Run(t, func(t *testing.T, _ *harness.Harness) {
				cl, err := kgo.NewClient(b.ClientOptions()...)
				require.NoError(t, err)
				defer cl.Close()
				require.NoError(t, cl.Ping(t.Context()))
			})
		},
		[]string{"traps_test.go:", "have to live in the same bubble of testing/synctest"},
	},
	{
		"wait for what nobody sends, without a client",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.CreateTopics("t")
			<-make(chan int)
		}),
		[]string{"traps_test.go:", "the body waits for what does not come"},
	},
	{
		"t.Parallel inside",
		inBubble(harness.Config{}, func(t *testing.T, _ *harness.Harness) { t.Parallel() }),
		[]string{"traps_test.go:", "t.Parallel called inside synctest bubble: call t.Parallel on the outer t"},
	},
	{
		"t.Run inside",
		inBubble(harness.Config{}, func(t *testing.T, _ *harness.Harness) { t.Run("sub", func(*testing.T) {}) }),
		[]string{"traps_test.go:", "t.Run called inside synctest bubble: call t.Run on the outer t"},
	},
	{
		"t.Deadline inside",
		inBubble(harness.Config{}, func(t *testing.T, _ *harness.Harness) { t.Deadline() }),
		[]string{"traps_test.go:", "t.Deadline called inside synctest bubble: the deadline is one of real time"},
	},
	{
		"synctest.Test inside",
		inBubble(harness.Config{}, func(t *testing.T, _ *harness.Harness) { synctest.Test(t, func(*testing.T) {}) }),
		[]string{"traps_test.go:", "Run has opened a bubble already"},
	},
	{
		"Run inside Run",
		inBubble(harness.Config{}, func(t *testing.T, _ *harness.Harness) {
			harness.Run(t, func(*testing.T, *harness.Harness) {})
		}),
		[]string{"traps_test.go:", "Run was called in virtual time"},
	},
	{
		"RunRealTime inside Run",
		inBubble(harness.Config{}, func(t *testing.T, _ *harness.Harness) {
			harness.RunRealTime(t, func(*testing.T, *harness.Harness) {})
		}),
		[]string{"traps_test.go:", "RunRealTime was called in virtual time"},
	},
	{
		"a server on TCP inside",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			s := httptest.NewServer(http.NotFoundHandler())
			defer s.Close()
			subscribe(h, "g", "t", commit)
			h.Publish(text{topic: "t"})
			h.Settle()
		}),
		[]string{"--- FAIL: TestTraps_sayWhatIsWrong", "traps_test.go:", "the bubble is frozen", "[IO wait] in net/http.(*Server).Serve", "A server listens on a real socket in the bubble"},
	},
	{
		"a connection kept alive to a server outside",
		func(t *testing.T) {
			s := httptest.NewServer(http.NotFoundHandler())
			defer s.Close()
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				cl := &http.Client{Transport: &http.Transport{}}
				res, err := cl.Get(s.URL)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, res.Body)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				h.Advance(time.Second)
			})
		},
		[]string{"traps_test.go:", "the bubble is frozen", "An HTTP connection to a server outside is kept alive"},
	},
	{
		"a channel from outside",
		func(t *testing.T) {
			c := make(chan int)
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
					<-c
					return adapter.Commit()
				})
				h.Publish(text{topic: "t"})
				h.Settle()
			})
		},
		[]string{"traps_test.go:", "the bubble is frozen", "[chan receive] in", "A channel is used that was made outside the bubble", "t[0]@0 delivered to g, attempt 1"},
	},
	{
		"the context of the outer test",
		func(t *testing.T) {
			outer := t
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				<-outer.Context().Done()
			})
		},
		[]string{"traps_test.go:", "the bubble is frozen", "by its t.Context()"},
	},
	{
		"a wait group from outside",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			outside.Go(func() { h.Advance(time.Hour) })
			outside.Wait()
		}),
		[]string{"traps_test.go:", "the bubble is frozen", "A sync.WaitGroup is used that does not belong to the bubble"},
	},
	{
		"a lock held across a wait",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			var mu sync.Mutex
			go func() {
				mu.Lock()
				defer mu.Unlock()
				time.Sleep(time.Hour)
			}()
			h.Advance(time.Second)
			mu.Lock()
			defer mu.Unlock()
		}),
		[]string{"traps_test.go:", "the bubble is frozen", "[sync.Mutex.Lock] in", "A sync.Mutex is held across a wait"},
	},
	{
		"a socket inside",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer func() { assert.NoError(t, ln.Close()) }()
			_, err = ln.Accept()
			require.NoError(t, err)
		}),
		[]string{"traps_test.go:", "the bubble is frozen", "[IO wait]"},
	},
	{
		"wait for what nobody sends",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", commit)
			h.Publish(text{topic: "t"})
			<-make(chan int)
		}),
		[]string{"--- FAIL: TestTraps_sayWhatIsWrong", "traps_test.go:", "the bubble runs away", "[chan receive (durable)] in", "Wait with Settle, Until or WaitAssigned", "t[0]@0 settled in g"},
	},
	{
		"wait for what nobody sends, with the clients' own timings",
		inBubble(harness.Config{ClientDefaults: true, Limit: time.Minute}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", commit)
			<-make(chan int)
		}),
		[]string{"traps_test.go:", "the bubble runs away"},
	},
	{
		"poll for what never becomes true",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", commit)
			for h.Adapter().State() != adapter.Closed {
				time.Sleep(time.Minute)
			}
		}),
		[]string{"traps_test.go:", "the bubble runs away", "[sleep (durable)] in"},
	},
	{
		"wait while a record is retried for ever",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			h.Subscribe(adapter.Subscription{
				Topics: []string{"t"}, Group: "g", Retry: adapter.RetryPolicy{Attempts: 1 << 30},
				Handler: adapter.HandlerFunc(func(context.Context, *adapter.Message) adapter.Result { return adapter.Retry(errors.New("down")) }),
			})
			h.Publish(text{topic: "t"})
			<-make(chan int)
		}),
		[]string{"traps_test.go:", "the bubble runs away"},
	},
	{
		"stop a service that does not end",
		inBubble(harness.Config{}, func(_ *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", commit)
			h.Start(func(harness.Env) harness.Service {
				return harness.ServiceFunc(func(context.Context) error { <-make(chan int); return nil })
			}).Stop()
		}),
		[]string{"traps_test.go:", "the bubble runs away", "The service of a member has to return when its context ends"},
	},
	{
		"close a client that blocks rebalances",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			h.Publish(text{topic: "t"})
			cl, err := kgo.NewClient(append(h.ClientOptions("client"), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.BlockRebalanceOnPoll())...)
			require.NoError(t, err)
			cl.PollFetches(t.Context())
			cl.Close()
		}),
		[]string{"traps_test.go:", "call CloseAllowingRebalance"},
	},
	{
		"a channel of another bubble",
		func(t *testing.T) {
			var c chan int
			harness.Run(t, func(*testing.T, *harness.Harness) { c = make(chan int, 1) })
			harness.Run(t, func(*testing.T, *harness.Harness) { c <- 1 })
		},
		[]string{"fatal error: send on synctest channel from outside bubble", "traps_test.go:"},
	},
	{
		"a deadline from outside",
		func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			harness.Run(t, func(*testing.T, *harness.Harness) {
				select {
				case <-ctx.Done(): // made here, by the first to ask
				case <-time.After(2 * time.Hour):
				}
			})
		},
		[]string{"fatal error: close of synctest channel from outside bubble", "traps_test.go:"},
	},
	{
		"t.Fatal in a handler",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
				t.Fatal("not what was expected")
				return adapter.Commit()
			})
			h.Publish(text{topic: "t"})
			h.Settle()
			t.Error("Settle has returned")
		}),
		[]string{"traps_test.go:", "not what was expected"},
	},
	{
		"t.Fatal in a handler while the body waits by itself",
		inBubble(harness.Config{}, func(t *testing.T, h *harness.Harness) {
			done := make(chan int)
			subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
				require.Fail(t, "not what was expected")
				close(done)
				return adapter.Commit()
			})
			h.Publish(text{topic: "t"})
			<-done
		}),
		[]string{"the bubble runs away", "A handler has ended its goroutine, as t.Fatal does, at traps_test.go:"},
	},
}

// outside is one that bubbles share.
var outside sync.WaitGroup

func TestTraps_sayWhatIsWrong(t *testing.T) { sayWhatIsWrong(t, traps) }

package harness_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// inTest runs a function in a test, from a benchmark: bubbles are for tests.
func inTest(b *testing.B, f func(t *testing.T)) {
	b.Helper()
	everything := func(string, string) (bool, error) { return true, nil }
	if !testing.RunTests(everything, []testing.InternalTest{{Name: b.Name(), F: f}}) {
		b.Fatal("the test failed")
	}
}

// cost is what something takes.
type cost struct{ wall, cpu time.Duration }

// pairs measures two things in turn, and reports the median of how much longer
// the second takes, by the clock and of the processors, beside the median of each.
// Where others use the machine too, the processors are to be believed.
func pairs(b *testing.B, first, second func() cost) {
	b.Helper()
	var ratios, cpus, firsts, seconds []float64
	for b.Loop() {
		one, two := first(), second()
		ratios = append(ratios, float64(two.wall)/float64(one.wall))
		cpus = append(cpus, float64(two.cpu)/float64(one.cpu))
		firsts = append(firsts, one.wall.Seconds()*1e3)
		seconds = append(seconds, two.wall.Seconds()*1e3)
	}
	b.ReportMetric(median(firsts), "ms/peer")
	b.ReportMetric(median(seconds), "ms/harness")
	b.ReportMetric(median(ratios), "x/peer")
	b.ReportMetric(median(cpus), "cpu-x/peer")
	b.ReportMetric(0, "ns/op") // of a pair: says nothing
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

func timed(f func()) cost {
	start, used := time.Now(), processors()
	f()
	return cost{time.Since(start), processors() - used}
}

// processors is how long this process has used them.
func processors() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// bare is the least that a test of a consumer can do: kfake and a client, in a
// bubble.
func bare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := new(kfake.VirtualNetwork)
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"), kfake.Ports(9092), kfake.ListenFn(network.Listen))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		common := []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.Dialer(network.DialContext), kgo.DisableClientMetrics()}
		producer, err := kgo.NewClient(append(common, kgo.ProducerLinger(0))...)
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		cl, err := kgo.NewClient(append(common, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.CloseAllowingRebalance()
		ctx := context.Background()
		if err := producer.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("hello")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if n := cl.PollFetches(ctx).NumRecords(); n != 1 {
			t.Fatal(n)
		}
		if err := cl.CommitUncommittedOffsets(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

// settled is the same through the harness, with the fate of the record.
func settled(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		subscribe(h, "g", "t", commit)
		rec := h.Publish(text{"t", "", "hello"})
		h.Settle()
		if f := h.Fate(rec); f.Kind != harness.Committed {
			t.Fatal(f)
		}
	})
}

// From Run to a record that is settled and committed.
func BenchmarkRun(b *testing.B) {
	pairs(b,
		func() cost { return timed(func() { inTest(b, bare) }) },
		func() cost { return timed(func() { inTest(b, settled) }) },
	)
}

const many = 1000

// thousand runs a test a thousand times, eight at a time.
func thousand(test func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) {
		for i := range many {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
	}
}

func setParallel(tb testing.TB) {
	tb.Helper()
	was := flag.Lookup("test.parallel").Value.String()
	if err := flag.Set("test.parallel", "8"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = flag.Set("test.parallel", was) }) // as it was accepted before
}

// A thousand tests, eight at a time.
func BenchmarkThousandTests(b *testing.B) {
	setParallel(b)
	pairs(b,
		func() cost { return timed(func() { inTest(b, thousand(bare)) }) },
		func() cost { return timed(func() { inTest(b, thousand(settled)) }) },
	)
}

// The most memory that a process takes which runs a thousand tests, eight at a
// time, as the operating system counts it.
func BenchmarkThousandTestsMemory(b *testing.B) {
	var peak []float64
	for b.Loop() {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAThousandTimes$", "-test.parallel=8")
		cmd.Env = append(os.Environ(), thousandVariable+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		peak = append(peak, float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1024)
	}
	b.ReportMetric(median(peak), "MiB/peak")
}

const thousandVariable = "HARNESS_TEST_THOUSAND"

// TestAThousandTimes is what BenchmarkThousandTestsMemory runs. By itself it
// runs the test once.
func TestAThousandTimes(t *testing.T) {
	if os.Getenv(thousandVariable) == "" {
		settled(t)
		return
	}
	thousand(settled)(t)
}

// Retries after 1 m, 10 m, 1 h and 6 h.
func BenchmarkRetryChain(b *testing.B) {
	waits := []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour}
	var took []float64
	for b.Loop() {
		took = append(took, timed(func() {
			inTest(b, func(t *testing.T) {
				harness.Run(t, func(t *testing.T, h *harness.Harness) {
					subscribe(h, "g", "t", func(_ context.Context, m *adapter.Message) adapter.Result {
						if m.Attempt <= len(waits) {
							return adapter.RetryAfter(errors.New("down"), waits[m.Attempt-1])
						}
						return adapter.Commit()
					})
					rec := h.Publish(text{"t", "", "hello"})
					h.Settle()
					if f := h.Fate(rec); f.Attempts != 5 {
						t.Fatal(f)
					}
				})
			})
		}).wall.Seconds()*1e3)
	}
	b.ReportMetric(median(took), "ms/chain")
	b.ReportMetric(0, "ns/op")
}

// A hundred thousand records through one handler: fates off, and on.
func BenchmarkFates(b *testing.B) {
	const n = 100_000
	wall := realClock(b)
	var perRecord []float64
	run := func(without bool) cost {
		var took cost
		inTest(b, func(t *testing.T) {
			c := harness.Config{WithoutFates: without}
			c.Run(t, func(t *testing.T, h *harness.Harness) {
				all := make([]adapter.Event, n)
				for i := range all {
					all[i] = text{"t", "", "hello"}
				}
				h.PublishAll(all...)
				before := heap()
				handled := 0
				start, used := wall(), processors()
				subscribe(h, "g", "t", func(context.Context, *adapter.Message) adapter.Result {
					handled++
					return adapter.Commit()
				})
				h.Settle()
				took = cost{wall() - start, processors() - used}
				if handled != n {
					t.Fatal(handled)
				}
				if !without {
					perRecord = append(perRecord, max(0, float64(heap())-float64(before))/n)
				}
			})
		})
		return took
	}
	pairs(b, func() cost { return run(true) }, func() cost { return run(false) })
	b.ReportMetric(median(perRecord), "B/record")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// realClock tells real time in a bubble, where time.Now does not.
func realClock(b *testing.B) func() time.Duration {
	b.Helper()
	var now atomic.Int64
	start := time.Now()
	ticker := time.NewTicker(time.Millisecond)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				now.Store(int64(time.Since(start)))
			case <-done:
				return
			}
		}
	}()
	b.Cleanup(func() { ticker.Stop(); close(done) })
	return func() time.Duration { return time.Duration(now.Load()) }
}

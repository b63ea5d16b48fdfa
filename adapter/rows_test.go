package adapter_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/harness"
)

// place is where a test runs that can run in more than one.
type place struct {
	run    func(harness.Config, *testing.T, func(*testing.T, *harness.Harness))
	minute time.Duration
	// beat is longer than a heartbeat, and shorter than the grace that a handler has
	// when its partition is to move.
	beat time.Duration
	// late is by how much more than it was told to something may wait.
	late time.Duration
	// options are of all clients.
	options []kgo.Opt
}

// onKafka begins the names of tests that run on a Kafka that is there already: see
// package integration.
const onKafka = "TestRunOnKafka_"

// placeOf is a fake broker in virtual time, or the Kafka that is there where the
// test is run by one that is for it.
func placeOf(t *testing.T) place {
	if strings.HasPrefix(t.Name(), onKafka) {
		return place{harness.Config.RunOnKafka, 50 * time.Millisecond, time.Second, time.Hour, []kgo.Opt{kgo.RebalanceTimeout(6 * time.Second)}}
	}
	return place{run: harness.Config.Run, minute: time.Minute, beat: 2 * time.Minute, late: time.Minute}
}

// test runs a body there.
func (p place) test(t *testing.T, c harness.Config, body func(t *testing.T, h *harness.Harness)) {
	t.Helper()
	set := c.Adapter
	c.Adapter = func(a *adapter.Config) {
		if set != nil {
			set(a)
		}
		a.ClientOptions = slices.Concat(p.options, a.ClientOptions)
	}
	p.run(c, t, body)
}

// operator asks the cluster something.
func operator[T any](t *testing.T, h *harness.Harness, ask func(ctx context.Context, adm *kadm.Client) (T, error)) T {
	t.Helper()
	cl, err := kgo.NewClient(h.ClientOptions("operator")...)
	require.NoError(t, err)
	defer cl.Close()
	answer, err := ask(t.Context(), kadm.NewClient(cl))
	require.NoError(t, err)
	return answer
}

// configure changes what is configured of a topic. A Kafka answers before it does what
// it says: see refuses.
func configure(t *testing.T, h *harness.Harness, topic, name, value string) {
	t.Helper()
	changed := operator(t, h, func(ctx context.Context, adm *kadm.Client) (kadm.AlterConfigsResponses, error) {
		return adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: name, Value: &value}}, topic)
	})
	require.NoError(t, changed[0].Err)
}

// refuses returns when a topic takes no such record in partition 0 any more, and has
// none.
func refuses(t *testing.T, h *harness.Harness, topic string, key, value []byte) {
	t.Helper()
	cl, err := kgo.NewClient(append(h.ClientOptions("operator"), kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	require.NoError(t, err)
	defer cl.Close()
	taken := int64(0)
	until(t, "refused", func() bool {
		err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: key, Value: value}).FirstErr()
		if err == nil {
			taken++
		}
		return err != nil
	})
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, taken, -1)
	_, err = kadm.NewClient(cl).DeleteRecords(t.Context(), offsets)
	require.NoError(t, err)
}

// members is how many group g has, and offset what it has committed in partition 0
// of topic t, -1 for nothing.
func members(t *testing.T, h *harness.Harness) int {
	t.Helper()
	groups := operator(t, h, func(ctx context.Context, adm *kadm.Client) (kadm.DescribedGroups, error) {
		return adm.DescribeGroups(ctx, "g")
	})
	return len(groups["g"].Members)
}

func offset(t *testing.T, h *harness.Harness) int64 {
	t.Helper()
	offsets := operator(t, h, func(ctx context.Context, adm *kadm.Client) (kadm.OffsetResponses, error) {
		return adm.FetchOffsets(ctx, "g")
	})
	if o, ok := offsets.Lookup("t", 0); ok {
		return o.At
	}
	return -1
}

// short are time-outs such that what is not answered is known to be so soon.
func short(c *adapter.Config) {
	c.PublishTimeout = time.Second
	c.ClientOptions = []kgo.Opt{kgo.ProduceRequestTimeout(time.Second), kgo.RequestTimeoutOverhead(time.Second)}
}

// The record is on its way when the brokers stop to answer, for longer than a publish
// may take.
func TestRows_whatIsMovedWhileNoBrokerAnswersIsThereOnce(t *testing.T) {
	needsTag(t)
	p := placeOf(t)
	for name, result := range map[string]adapter.Result{"retry": adapter.Retry(errDown), "reject": adapter.Reject(errDown)} {
		t.Run(name, func(t *testing.T) {
			p.test(t, harness.Config{Adapter: short}, func(t *testing.T, h *harness.Harness) {
				r := newRunning()
				s := tiered(r.handle, p.minute)
				s.Retry.InPlace = 1
				m := h.Start(harness.Consume(s))
				m.WaitAssigned()
				rec := h.Publish(event{"t", "k", "v"})
				<-r.entered
				resume := m.PauseNetwork()
				r.release <- result
				time.Sleep(4 * time.Second)
				want, home := harness.Committed, adapter.RetryTopic("t", "g", p.minute)
				if name == "reject" {
					want, home = harness.DeadLettered, "t.g.dlt"
				}
				assert.Empty(t, h.Topic(home).Records())
				resume()
				r.release <- adapter.Commit()
				h.Settle()
				assert.Equal(t, want, h.Fate(rec).Kind)
				assert.Len(t, h.Topic(home).Records(), 1)
				if name == "retry" {
					assert.Empty(t, h.Topic("t.g.dlt").Records(), "a retry never becomes a dead letter by this")
					assert.Equal(t, 2, (<-r.entered).Attempt)
				}
				assert.Empty(t, r.entered, "the handler is not run again")
			})
		})
	}
}

// A compacted topic takes no record without a key.
func TestRows_aTopicThatTakesNoRecordWithoutAKeyBlocksThePartition(t *testing.T) {
	placeOf(t).test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		var handled list[string]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(string(m.Value))
			return adapter.Reject(errDown)
		})
		s.Retry.MaxBackoff = time.Second
		c := h.Subscribe(s)
		configure(t, h, "t.g.dlt", "cleanup.policy", "compact")
		refuses(t, h, "t.g.dlt", nil, []byte("v"))
		rec := h.Publish(event{"t", "", "v"})
		until(t, "blocked", func() bool {
			s := c.Status()
			return len(s.Partitions) == 1 && s.Partitions[0].Blocked != nil
		})
		var refused *adapter.RefusedError
		require.ErrorAs(t, c.Status().Partitions[0].Blocked, &refused)
		assert.Equal(t, "INVALID_RECORD", refused.Name)
		status, _ := readiness(h.Adapter())
		assert.Equal(t, 503, status)
		configure(t, h, "t.g.dlt", "cleanup.policy", "delete")
		until(t, "it is free", func() bool { return c.Status().Partitions[0].Blocked == nil })
		h.Settle()
		assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
		assert.Equal(t, []string{"v"}, handled.all())
	})
}

func TestRows_noBrokerAnswersForAWhile(t *testing.T) {
	needsTag(t)
	p := placeOf(t)
	p.test(t, harness.Config{Adapter: short}, func(t *testing.T, h *harness.Harness) {
		var attempts list[int]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			if attempts.add(m.Attempt); m.Attempt == 1 {
				return adapter.RetryAfter(errDown, 400*p.minute)
			}
			return adapter.Commit()
		})
		h.CreateTopics("t")
		var a *adapter.Adapter
		m := h.Start(func(e harness.Env) harness.Service {
			a = e.Adapter()
			subscribe(t, a, s)
			return harness.ServiceFunc(func(ctx context.Context) error {
				<-ctx.Done()
				return a.Close(context.WithoutCancel(ctx))
			})
		})
		m.WaitAssigned()
		rec := h.Publish(event{"t", "k", "v"})
		until(t, "it is held", func() bool { return attempts.len() == 1 })
		time.Sleep(time.Second) // the attempt is committed
		resume := m.PauseNetwork()
		until(t, "it is known", func() bool { return a.State() == adapter.Disconnected })
		status, _ := readiness(a)
		assert.Equal(t, 503, status)
		resume()
		until(t, "ready", func() bool { return len(a.Readiness()) == 0 })
		h.Settle()
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
		assert.Equal(t, []int{1, 2}, attempts.all(), "the attempt is known")
	})
}

// rows are the tests of what the adapter does when something happens that run on a
// Kafka that is there, too; they are those of promises, or hold for more than one.
var rows = map[string][]func(*testing.T){
	"a handler returns retry":                    {TestHop_throughTheTiersAndTheLastIsUsedAgain},
	"a handler returns unavailable":              {TestGate_anUnavailableDependencyUsesNoAttemptWhileItIsClosed, TestGate_openAnUnavailableDependencyUsesAttempts},
	"a handler returns reject":                   {TestDeadLetter_isTheRecordUnchangedAndWhatHappened, TestReject_theZeroResultIsOne},
	"a handler panics or exits":                  {TestRetry_aHandlerThatPanicsOrExitsIsTriedAgain},
	"a handler overruns its timeout":             {TestHandlerTimeout_cancelsAndTriesAgain, TestHandlerTimeout_ofBatches},
	"a handler ignores its timeout":              {TestHandlerTimeout_oneThatIgnoresItIsStuck},
	"a value does not decode":                    {TestDeadLetter_ofWhatDoesNotDecodeHasItsBytes},
	"a publish fails, and trying again can help": {TestRows_whatIsMovedWhileNoBrokerAnswersIsThereOnce},
	"a record is too large for its topic":        {TestDeadLetter_tooLargeIsTrimmedOfItsErrorText, TestDeadLetter_tooLargeEvenSoBlocksThePartitionAndSaysSo},
	"a publish is refused for good":              {TestRows_aTopicThatTakesNoRecordWithoutAKeyBlocksThePartition},
	"a dependency is down":                       {TestGate_closedNoHandlerRunsAndFetchingPauses},
	"a rebalance while a handler runs":           {TestRebalance_aRunningHandlerDrainsAndItsResultCounts, TestRebalance_pastTheGraceTheHandlerIsFenced},
	"no mark after a revoke":                     {TestRebalance_pastTheGraceTheHandlerIsFenced},
	"a partition comes back to a fenced handler": {TestRebalance_theSameHoldsForTwoConsumersOfOneAdapter},
	"shutdown":                      {TestClose_drainsAndCommits, TestClose_dropsAWaitForTheNextAttempt},
	"shutdown past the deadline":    {TestClose_pastItsDeadlineCutsOffWhatRuns},
	"the broker goes away":          {TestRows_noBrokerAnswersForAWhile},
	"consuming a dead-letter topic": {TestDeadLetter_ofADeadLetterGoesToATopicOfItsOwn},
	"a fatal group error":           {TestInstanceID_ofTwoTheFirstStops},
	"forged headers":                {TestHop_forgedHeadersAreNotBelieved, TestHop_headersAreBelievedOnOwnTopicsOnly},
	"never early on a retry topic":  {TestHop_throughTheTiersAndTheLastIsUsedAgain, TestHop_retryAfterGoesToTheTierThatIsLongEnough},
}

func TestRunOnKafka_whatHappensWhen(t *testing.T) {
	for row, tests := range rows {
		for _, test := range tests {
			t.Run(row, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
	}
}

// elsewhere are what rows has no test of, because a test that runs on a Kafka anyway
// says it.
var elsewhere = map[string]string{
	"no commit after a loss":           "TestRunOnKafka_processesAreKilledAndStopped",
	"nothing settled and committed":    "TestRunOnKafka_processesAreKilledAndStopped TestRunOnKafka_membersComeAndGo",
	"order per key and per partition":  "TestRunOnKafka_processesAreKilledAndStopped TestRunOnKafka_membersComeAndGo",
	"order is given up when asked for": "TestRunOnKafka_membersComeAndGo",
}

func TestRows_eachRunsOnAKafkaOrSaysWhyNot(t *testing.T) {
	for row := range whatHappens {
		assert.True(t, (rows[row] != nil) != (elsewhere[row] != ""), "%s: either in rows, or in elsewhere", row)
	}
	for row := range rows {
		assert.Contains(t, whatHappens, row)
	}
}

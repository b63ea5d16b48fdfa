package adapter_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

func rejects(err error) adapter.HandlerFunc {
	return func(context.Context, *adapter.Message) adapter.Result { return adapter.Reject(err) }
}

func TestDeadLetter_isTheRecordUnchangedAndWhatHappened(t *testing.T) {
	placeOf(t).test(t, harness.Config{Partitions: 3}, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(subscription(rejects(errors.New("bäd\n" + strings.Repeat("x", 1000)))))
		mine := []adapter.Header{
			{Key: "trace", Value: []byte{0, 255}}, {Key: "retry-id", Value: []byte("forged")}, {Key: "twice", Value: []byte("1")},
			{Key: "twice", Value: nil}, {Key: "retry-error", Value: []byte("old")}, {Key: "retry-attempt", Value: []byte("99")},
			{Key: "retry-mine", Value: []byte("kept")},
		}
		recs := h.PublishAll(
			placed{event{"t", "key", []byte{1, 0, 255}}, 2, mine},
			placed{event{"t", "", nil}, 1, nil},
			placed{event{"t", "", ""}, 1, nil},
		)
		h.Settle()
		dead := h.Topic("t.g.dlt").Records()
		require.Len(t, dead, 3)
		slices.SortFunc(dead, func(a, b harness.Record) int { // those without a key are handled at once
			return strings.Compare(a.Header(adapter.HeaderID), b.Header(adapter.HeaderID))
		})
		assert.Nil(t, dead[0].Key)
		assert.Nil(t, dead[0].Value, "a tombstone stays one")
		assert.NotNil(t, dead[1].Value, "an empty value is not one")
		assert.Empty(t, dead[1].Value)
		d := dead[2]
		assert.EqualValues(t, 2, d.Partition)
		assert.Equal(t, "key", string(d.Key))
		assert.Equal(t, []byte{1, 0, 255}, d.Value)
		require.Len(t, d.Headers, 4+5)
		assert.Equal(t, []adapter.Header{mine[0], mine[2], mine[3], mine[6]}, d.Headers[:4])
		assert.Equal(t, "t/2/0", d.Header(adapter.HeaderID))
		assert.Equal(t, "1", d.Header(adapter.HeaderAttempt))
		assert.Equal(t, "g", d.Header(adapter.HeaderGroup))
		stamp, err := time.Parse(time.RFC3339Nano, d.Header(adapter.HeaderTimestamp))
		require.NoError(t, err)
		assert.True(t, stamp.Equal(recs[0].Timestamp))
		assert.Empty(t, d.Header(adapter.HeaderFirstFailed))
		text := d.Header(adapter.HeaderError)
		assert.Len(t, text, 512)
		assert.True(t, strings.HasPrefix(text, `b\u00e4d\nxxx`), text)
	})
}

func TestDeadLetter_ofWhatDoesNotDecodeHasItsBytes(t *testing.T) {
	placeOf(t).test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		s := subscription(nil)
		s.Handler = adapter.JSON(func(context.Context, struct{ Amount int }, *adapter.Message) adapter.Result {
			t.Error("the handler runs")
			return adapter.Commit()
		})
		h.Subscribe(s)
		raw := []byte("{\xff\x00")
		rec := h.Publish(event{"t", "k", raw})
		h.Settle()
		require.ErrorIs(t, h.Fate(rec).Err, adapter.ErrDecode)
		dead := h.Topic("t.g.dlt").Records()
		require.Len(t, dead, 1)
		assert.Equal(t, raw, dead[0].Value)
	})
}

func TestDeadLetter_ofADeadLetterGoesToATopicOfItsOwn(t *testing.T) {
	placeOf(t).test(t, harness.Config{}, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(subscription(rejects(errors.New("first"))))
		h.Publish(event{"t", "k", "v"})
		h.Settle()
		h.Subscribe(adapter.Subscription{Topics: []string{"t.g.dlt"}, Group: "g", Handler: rejects(errors.New("second"))})
		h.Settle()
		dead := h.Topic("t.g.dlt.g.dlt").Records()
		require.Len(t, dead, 1)
		assert.Equal(t, "second", dead[0].Header(adapter.HeaderError))
		assert.Equal(t, "t.g.dlt/0/0", dead[0].Header(adapter.HeaderID), "headers of a topic are not believed")
		assert.Len(t, dead[0].Headers, 5, "overwritten, not accumulated")
		assert.Len(t, h.Topic("t.g.dlt").Records(), 1)
	})
}

func TestDeadLetter_ofALargeRecordFits(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(subscription(rejects(errors.New(strings.Repeat("e", 600)))))
		rec := h.Publish(event{"t", "k", bytes.Repeat([]byte{'v'}, 999_800)})
		h.Settle()
		assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
		assert.Len(t, h.Topic("t.g.dlt").Records()[0].Header(adapter.HeaderError), 512)
	})
}

func TestDeadLetter_tooLargeIsTrimmedOfItsErrorText(t *testing.T) {
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.ClientOptions = []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}
	}}
	placeOf(t).test(t, cfg, func(t *testing.T, h *harness.Harness) {
		s := subscription(rejects(errors.New(strings.Repeat("e", 600))))
		s.SpringHeaders = true
		h.Subscribe(s)
		limit(t, h, "t.g.dlt", "1200")
		refuses(t, h, "t.g.dlt", []byte("k"), bytes.Repeat([]byte{'v'}, 1300))
		rec := h.Publish(event{"t", "k", bytes.Repeat([]byte{'v'}, 600)})
		h.Settle()
		assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
		dead := h.Topic("t.g.dlt").Records()[0]
		assert.Empty(t, dead.Header(adapter.HeaderError))
		assert.Empty(t, dead.Header("kafka_dlt-exception-message"))
		assert.Equal(t, "t/0/0", dead.Header(adapter.HeaderID))
	})
}

func TestDeadLetter_tooLargeEvenSoBlocksThePartitionAndSaysSo(t *testing.T) {
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.ClientOptions = []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}
	}}
	placeOf(t).test(t, cfg, func(t *testing.T, h *harness.Harness) {
		handled := 0
		s := subscription(func(context.Context, *adapter.Message) adapter.Result {
			handled++
			return adapter.Reject(errors.New("bad"))
		})
		s.Retry.MaxBackoff = time.Second
		c := h.Subscribe(s)
		limit(t, h, "t.g.dlt", "1000")
		refuses(t, h, "t.g.dlt", []byte("k"), bytes.Repeat([]byte{'v'}, 2000))
		rec := h.Publish(event{"t", "k", bytes.Repeat([]byte{'v'}, 2000)})
		until(t, "blocked", func() bool {
			s := c.Status()
			return len(s.Partitions) == 1 && s.Partitions[0].Blocked != nil
		})
		var large *adapter.TooLargeError
		require.ErrorAs(t, c.Status().Partitions[0].Blocked, &large)
		assert.Equal(t, "t.g.dlt", large.Topic)
		assert.Contains(t, large.Error(), "max.message.bytes")
		assert.LessOrEqual(t, offset(t, h), int64(0))
		limit(t, h, "t.g.dlt", "4000")
		until(t, "it is free", func() bool { return c.Status().Partitions[0].Blocked == nil })
		h.Settle()
		assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
		assert.Equal(t, 1, handled)
		assert.NoError(t, c.Status().Partitions[0].Blocked)
	})
}

func TestDeadLetter_errorTextIsRedacted(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		s := subscription(rejects(errors.New("card 4111 declined")))
		s.Redact = func(s string) string { return strings.ReplaceAll(s, "4111", "****") }
		s.SpringHeaders = true
		h.Subscribe(s)
		h.Publish(event{"t", "", ""})
		h.Settle()
		dead := h.Topic("t.g.dlt").Records()[0]
		assert.Equal(t, "card **** declined", dead.Header(adapter.HeaderError))
		assert.Equal(t, "card **** declined", dead.Header("kafka_dlt-exception-message"))
	})
}

func TestDeadLetter_hasSpringKafkasHeadersOnRequest(t *testing.T) {
	harness.Config{Partitions: 3}.Run(t, func(t *testing.T, h *harness.Harness) {
		for _, spring := range []bool{true, false} {
			s := subscription(rejects(&adapter.DecodeError{Type: "Order", Err: errors.New("no")}))
			s.SpringHeaders = spring
			s.Group = "plain"
			if spring {
				s.Group = "spring"
			}
			h.Subscribe(s)
		}
		mine := []adapter.Header{{Key: "kafka_dlt-original-topic", Value: []byte("older")}, {Key: "kafka_dlt-mine", Value: []byte("x")}}
		h.PublishAll(placed{event{"t", "", nil}, 2, nil}, placed{event{"t", "", nil}, 2, mine})
		h.Settle()
		// As org.springframework.kafka.listener.DeadLetterPublishingRecoverer
		// writes them: numbers as ByteBuffer does, in four and eight bytes.
		dead := h.Topic("t.spring.dlt").Records()[1]
		stamp, err := hex.DecodeString(fmt.Sprintf("%016x", h.Topic("t").Records()[1].Timestamp.UnixMilli()))
		require.NoError(t, err)
		assert.Equal(t, []adapter.Header{
			{Key: "kafka_dlt-mine", Value: []byte("x")},
			{Key: "kafka_dlt-original-topic", Value: []byte("t")},
			{Key: "kafka_dlt-original-partition", Value: []byte{0, 0, 0, 2}},
			{Key: "kafka_dlt-original-offset", Value: []byte{0, 0, 0, 0, 0, 0, 0, 1}},
			{Key: "kafka_dlt-original-timestamp", Value: stamp},
			{Key: "kafka_dlt-original-timestamp-type", Value: []byte("CreateTime")},
			{Key: "kafka_dlt-original-consumer-group", Value: []byte("spring")},
			{Key: "kafka_dlt-exception-fqcn", Value: []byte("*adapter.DecodeError")},
			{Key: "kafka_dlt-exception-message", Value: []byte("cannot decode a Order: no")},
		}, slices.DeleteFunc(dead.Headers, func(h adapter.Header) bool { return strings.HasPrefix(h.Key, "retry-") }))
		plain := h.Topic("t.plain.dlt").Records()[1]
		assert.Equal(t, mine, plain.Headers[:2], "else they are a record's own")
	})
}

// A batch that is too large is refused as a whole, whatever its records are.
func TestMove_isNotRefusedForItsCompany(t *testing.T) {
	var asked requests
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.ClientOptions = []kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.WithHooks(&asked)}
	}}
	for name, most := range map[string]string{"as large as is known": "", "smaller than is known": "3000"} {
		t.Run(name, func(t *testing.T) {
			cfg.Run(t, func(t *testing.T, h *harness.Harness) {
				require.NoError(t, h.Broker().CreateTopic(fakebroker.Topic{Name: "t", Configs: map[string]string{"max.message.bytes": "2000"}}))
				require.NoError(t, h.Adapter().EnsureTopicsOf(t.Context(), "g", "t", tiers, true))
				if most != "" {
					limit(t, h, "t.g.dlt", most)
				}
				asked.produces.Store(0)
				var wg sync.WaitGroup
				for i := range 30 {
					m := &adapter.Message{Group: "g", Attempt: 1, Value: bytes.Repeat([]byte{'v'}, 1500), Origin: adapter.Origin{Topic: "t", Offset: int64(i)}}
					wg.Go(func() {
						assert.NoError(t, h.Adapter().MoveToDeadLetters("t", m, errors.New("bad")).Publish(t.Context()))
					})
				}
				wg.Wait()
				dead := h.Topic("t.g.dlt").Records()
				assert.Len(t, dead, 30)
				for _, d := range dead {
					assert.Equal(t, "bad", d.Header(adapter.HeaderError), "nothing was trimmed")
				}
				if most == "" {
					assert.LessOrEqual(t, int(asked.produces.Load()), 30, "none was refused")
				}
			})
		})
	}
}

func TestMove_toARetryTopicSaysWhatTheNextAttemptNeeds(t *testing.T) {
	harness.Config{Partitions: 3}.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:3")
		require.NoError(t, h.Adapter().EnsureTopicsOf(t.Context(), "g", "t", tiers, true))
		first := time.Now()
		m := &adapter.Message{
			Topic: "t", Partition: 2, Offset: 7, Key: []byte("k"), Value: []byte{0, 255}, Group: "g", Attempt: 3, FirstFailed: first, Timestamp: first,
			Headers: []adapter.Header{{Key: "traceparent", Value: []byte("00-1-2-3")}, {Key: "retry-not-before", Value: []byte("never")}},
			Origin:  adapter.Origin{Topic: "t", Partition: 2, Offset: 7},
		}
		due := first.Add(2 * time.Hour).UTC()
		require.NoError(t, h.Adapter().MoveToRetry("t", m, errors.New("no"), time.Hour, due).Publish(t.Context()))
		r := h.Topic("t.g.retry.1h").Records()[0]
		assert.Equal(t, []any{int32(2), "k", []byte{0, 255}}, []any{r.Partition, string(r.Key), r.Value})
		stamp := first.UTC().Format(time.RFC3339Nano)
		assert.Equal(t, []adapter.Header{
			m.Headers[0],
			{Key: "retry-id", Value: []byte("t/2/7")},
			{Key: "retry-attempt", Value: []byte("3")},
			{Key: "retry-timestamp", Value: []byte(stamp)},
			{Key: "retry-first-failed", Value: []byte(stamp)},
			{Key: "retry-not-before", Value: []byte(due.Format(time.RFC3339Nano))},
			{Key: "retry-group", Value: []byte("g")},
			{Key: "retry-error", Value: []byte("no")},
		}, r.Headers)
	})
}

func TestDeadLetter_isHeldWhilePublishingFails(t *testing.T) {
	for name, fault := range passingFaults {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t")
				var handled list[string]
				c := h.Subscribe(subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
					handled.add(string(m.Value))
					return adapter.Reject(errors.New("bad"))
				}))
				f := fault(h.Broker(), produceTo("t.g.dlt"))
				rec := h.Publish(event{"t", "", "one"})
				time.Sleep(10 * time.Minute)
				assert.NotZero(t, f.Hits())
				assert.Equal(t, []string{"one"}, handled.all(), "the handler is not run again")
				assert.Zero(t, committed(h, 0))
				assert.NoError(t, c.Status().Partitions[0].Blocked, "nobody has to act")
				f.Clear()
				h.Settle()
				assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
				assert.Len(t, h.Topic("t.g.dlt").Records(), 1)
			})
		})
	}
}

func TestDeadLetter_withTheBrokerDownIsSentWhenItIsBack(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		r := newRunning()
		h.Subscribe(subscription(r.handle))
		rec := h.Publish(event{"t", "", "one"})
		<-r.entered
		down := h.Broker().TakeDown(0)
		r.release <- adapter.Reject(errors.New("bad"))
		time.Sleep(3 * time.Minute)
		assert.EqualValues(t, -1, committed(h, 0))
		down.Clear()
		// The client takes a refused connection for the end of its session, so
		// the record is delivered again, and may be given up twice.
		r.release <- adapter.Reject(errors.New("bad"))
		h.Settle()
		assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
		for _, dead := range h.Topic("t.g.dlt").Records() {
			assert.Equal(t, "t/0/0", dead.Header(adapter.HeaderID))
		}
	})
}

func TestDeadLetter_refusedForGoodBlocksThePartitionUntilAllowed(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var handled list[string]
		s := subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
			handled.add(string(m.Value))
			return adapter.Reject(errors.New("bad"))
		})
		s.Order = adapter.ByPartition
		c := h.Subscribe(s)
		f := h.Broker().Refuse(kerr.TopicAuthorizationFailed, produceTo("t.g.dlt"))
		recs := h.PublishAll(event{"t", "", "one"}, event{"t", "", "two"})
		until(t, "blocked", func() bool {
			s := c.Status()
			return len(s.Partitions) == 1 && s.Partitions[0].Blocked != nil
		})
		var refused *adapter.RefusedError
		require.ErrorAs(t, c.Status().Partitions[0].Blocked, &refused)
		assert.Equal(t, "TOPIC_AUTHORIZATION_FAILED", refused.Name)
		time.Sleep(time.Hour)
		assert.Zero(t, committed(h, 0))
		assert.Equal(t, []string{"one"}, handled.all())
		f.Clear()
		time.Sleep(time.Minute)
		h.Settle()
		for _, r := range recs {
			assert.Equal(t, harness.DeadLettered, h.Fate(r).Kind)
		}
		assert.NoError(t, c.Status().Partitions[0].Blocked)
	})
}

func TestOnReject_takesTheRecordInPlaceOfATopic(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var taken list[error]
		s := subscription(rejects(errors.New("bad")))
		s.OnReject = func(_ context.Context, m *adapter.Message, cause error) error {
			assert.Equal(t, "one", string(m.Value))
			taken.add(cause)
			return nil
		}
		h.Subscribe(s)
		rec := h.Publish(event{"t", "", "one"})
		h.Settle()
		assert.Equal(t, harness.Rejected, h.Fate(rec).Kind)
		require.Len(t, taken.all(), 1)
		assert.EqualError(t, taken.all()[0], "bad")
		for _, topic := range h.Broker().Topics() {
			assert.NotContains(t, topic.Name, "dlt")
		}
	})
}

func TestOnReject_thatFailsIsCalledAgain(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("database is down") },
		"panic": func() error { panic("oh no") },
		"exit":  func() error { exit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				var handled, taken list[time.Time]
				s := subscription(func(context.Context, *adapter.Message) adapter.Result {
					handled.add(time.Now())
					return adapter.Reject(errors.New("bad"))
				})
				s.OnReject = func(context.Context, *adapter.Message, error) error {
					taken.add(time.Now())
					if taken.len() < 5 {
						return fail()
					}
					return nil
				}
				h.Subscribe(s)
				rec := h.Publish(event{"t", "", "one"})
				h.Settle()
				assert.Equal(t, harness.Rejected, h.Fate(rec).Kind)
				assert.Len(t, handled.all(), 1)
				assert.Len(t, taken.all(), 5)
				assert.Greater(t, taken.all()[4].Sub(taken.all()[0]), time.Second, "with backoff")
			})
		})
	}
}

func TestOnReject_thatKeepsFailingBlocksThePartition(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		var healed list[bool]
		s := subscription(rejects(errors.New("bad")))
		s.OnReject = func(context.Context, *adapter.Message, error) error {
			if healed.len() > 0 {
				return nil
			}
			return errors.New("no room")
		}
		c := h.Subscribe(s)
		rec := h.Publish(event{"t", "", "one"})
		until(t, "blocked", func() bool {
			s := c.Status()
			return len(s.Partitions) == 1 && s.Partitions[0].Blocked != nil
		})
		assert.EqualError(t, c.Status().Partitions[0].Blocked, "no room")
		healed.add(true)
		until(t, "taken", func() bool { return c.Status().Partitions[0].Blocked == nil })
		h.Settle()
		assert.Equal(t, harness.Rejected, h.Fate(rec).Kind)
	})
}

func TestDeadLetter_answerThatNeverComesIsNotSentTwice(t *testing.T) {
	needsTag(t)
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.ClientOptions = []kgo.Opt{kgo.ProduceRequestTimeout(time.Second), kgo.RequestTimeoutOverhead(time.Second)}
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Subscribe(subscription(rejects(errors.New("bad"))))
		late := h.Broker().Delay(5*time.Minute, produceTo("t.g.dlt"))
		rec := h.Publish(event{"t", "", "one"})
		time.Sleep(4 * time.Minute)
		assert.NotZero(t, late.Hits())
		late.Clear()
		h.Settle()
		assert.Equal(t, harness.DeadLettered, h.Fate(rec).Kind)
		assert.Len(t, h.Topic("t.g.dlt").Records(), 1)
	})
}

func TestMove_onToAnotherDelayLeavesTheRecordAsItIs(t *testing.T) {
	harness.Config{Partitions: 3}.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t:3")
		require.NoError(t, h.Adapter().EnsureTopicsOf(t.Context(), "g", "t", tiers, true))
		r := &kgo.Record{
			Topic: "t.g.retry.10s", Partition: 1, Offset: 9, Key: []byte("k"), Value: []byte("v"),
			Headers: []kgo.RecordHeader{{Key: "retry-attempt", Value: []byte("2")}, {Key: "mine", Value: []byte("x")}},
		}
		require.NoError(t, h.Adapter().MoveOn("t", "g", r, time.Hour).Publish(t.Context()))
		got := h.Topic("t.g.retry.1h").Records()[0]
		assert.Equal(t, []any{int32(1), "k", "v"}, []any{got.Partition, string(got.Key), string(got.Value)})
		assert.Equal(t, []adapter.Header{{Key: "retry-attempt", Value: []byte("2")}, {Key: "mine", Value: []byte("x")}}, got.Headers)
	})
}

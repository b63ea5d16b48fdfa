package adapter_test

import (
	"context"
	"errors"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

type keyed struct {
	event
	key []byte
}

func (k keyed) MessageKeyBytes() []byte { return k.key }

type binary struct{}

func (binary) MarshalBinary() ([]byte, error) { return []byte("binary"), nil }
func (binary) MarshalText() ([]byte, error)   { return []byte("not this"), nil }

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("oh no") }

type empty struct{}

func (empty) MarshalText() ([]byte, error) { return nil, nil }

func TestPublish_keysValuesHeadersAndPartitions(t *testing.T) {
	harness.Config{Partitions: 4}.Run(t, func(t *testing.T, h *harness.Harness) {
		null := []byte(nil)
		for _, c := range []struct {
			name       string
			event      adapter.Event
			key, value []byte
		}{
			{"text", event{"t", "k", "v"}, []byte("k"), []byte("v")},
			{"empty key is null", event{"t", "", "v"}, null, []byte("v")},
			{"bytes", event{"t", "k", []byte{0, 255}}, []byte("k"), []byte{0, 255}},
			{"tombstone", event{"t", "k", nil}, []byte("k"), null},
			{"empty value", event{"t", "k", ""}, []byte("k"), []byte{}},
			{"marshaler of nothing", event{"t", "k", empty{}}, []byte("k"), []byte{}},
			{"binary before text", event{"t", "k", binary{}}, []byte("k"), []byte("binary")},
			{"text marshaler", event{"t", "k", net.IPv4(1, 2, 3, 4)}, []byte("k"), []byte("1.2.3.4")},
			{"JSON", event{"t", "k", map[string]int{"a": 1}}, []byte("k"), []byte(`{"a":1}`)},
			{"JSON of nil pointer", event{"t", "k", (*int)(nil)}, []byte("k"), []byte("null")},
			{"key bytes win", keyed{event{"t", "k", "v"}, []byte{7}}, []byte{7}, []byte("v")},
			{"empty key bytes are an empty key", keyed{event{"t", "k", "v"}, []byte{}}, []byte{}, []byte("v")},
			{"nil key bytes are null", keyed{event{"t", "k", "v"}, nil}, null, []byte("v")},
		} {
			rec := h.Publish(c.event)
			var got *harness.Record
			for _, r := range h.Topic("t").Records() {
				if r.Partition == rec.Partition && r.Offset == rec.Offset {
					got = &r
				}
			}
			require.NotNil(t, got, c.name)
			assert.Equal(t, c.key == nil, got.Key == nil, c.name)
			assert.Equal(t, string(c.key), string(got.Key), c.name)
			assert.Equal(t, c.value == nil, got.Value == nil, c.name)
			assert.Equal(t, string(c.value), string(got.Value), c.name)
		}
		headers := []adapter.Header{{Key: "b", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "b", Value: []byte{}}}
		for p := range int32(4) {
			rec := h.Publish(placed{event{"t", "same key", ""}, p, headers})
			assert.Equal(t, p, rec.Partition)
			assert.Equal(t, headers, rec.Headers)
		}
	})
}

func TestPublish_errors(t *testing.T) {
	for _, c := range []struct {
		name      string
		event     adapter.Event
		is        error
		retryable bool
		says      string
	}{
		{"nil event", nil, adapter.ErrSerialize, false, "the event is nil"},
		{"not JSON", event{"t", "", math.Inf(1)}, adapter.ErrSerialize, false, "adapter_test.event"},
		{"panicking marshaler", event{"t", "", panics{}}, adapter.ErrSerialize, false, "oh no"},
		{"panicking event", (*event)(nil), adapter.ErrSerialize, false, "nil *event pointer"},
		{"no topic", event{"", "", ""}, adapter.ErrUnknownTopic, true, "TopicName is empty"},
		{"unknown topic", event{"nowhere", "", ""}, adapter.ErrUnknownTopic, true, `"nowhere"`},
		{"unknown partition", at(9, ""), adapter.ErrUnknownTopic, true, "no partition 9"},
		{"negative partition", at(-1, ""), adapter.ErrUnknownTopic, true, "no partition -1"},
		{"too large", event{"t", "", strings.Repeat("x", 2<<20)}, adapter.ErrTooLarge, false, "max.message.bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t")
				err := h.Adapter().Publish(t.Context(), c.event)
				require.ErrorIs(t, err, c.is)
				assert.ErrorContains(t, err, c.says)
				assert.Equal(t, c.retryable, adapter.Retryable(err))
				var which *adapter.PublishError
				require.ErrorAs(t, err, &which)
				assert.Equal(t, 0, which.Index)
				assert.Equal(t, c.event, which.Event)
				assert.Empty(t, h.Topic("t").Records())
				synctest.Wait() // the client tells first, and counts then
				assert.Zero(t, h.Adapter().Buffered())
			})
		})
	}
}

func TestPublish_severalEvents(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		require.NoError(t, h.Adapter().Publish(t.Context()))
		err := h.Adapter().Publish(t.Context(), event{"t", "", "0"}, event{"t", "", panics{}}, event{"t", "", "2"}, event{"t", "", math.NaN()})
		var failed adapter.PublishErrors
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed, 2)
		assert.Equal(t, 1, failed[0].Index)
		assert.Equal(t, 3, failed[1].Index)
		assert.Empty(t, h.Topic("t").Records(), "nothing is sent unless all serialize")

		err = h.Adapter().Publish(t.Context(), event{"t", "", "0"}, event{"nowhere", "", "1"}, event{"t", "", "2"}, event{"t", "", strings.Repeat("x", 2<<20)})
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed, 2)
		assert.Equal(t, 1, failed[0].Index)
		assert.ErrorIs(t, failed[0], adapter.ErrUnknownTopic)
		assert.Equal(t, 3, failed[1].Index)
		assert.ErrorIs(t, failed[1], adapter.ErrTooLarge)
		assert.False(t, adapter.Retryable(err), "not all of them")
		assert.Equal(t, []string{"0", "2"}, values(h.Topic("t").Records()), "those not named are published")
	})
}

func TestPublish_aSerializerOfOnesOwn(t *testing.T) {
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.Serializer = func(data any) ([]byte, error) {
			if data == "bad" {
				return nil, errors.New("no schema")
			}
			return []byte("mine"), nil
		}
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		assert.Equal(t, "mine", string(h.Publish(event{"t", "", "good"}).Value))
		assert.ErrorContains(t, h.Adapter().Publish(t.Context(), event{"t", "", "bad"}), "no schema")
	})
}

func TestPublish_refusedByTheBroker(t *testing.T) {
	for _, c := range []struct {
		err *kerr.Error
		is  error
	}{
		{kerr.TopicAuthorizationFailed, adapter.ErrRefused},
		{kerr.InvalidRecord, adapter.ErrRefused},
		{kerr.MessageTooLarge, adapter.ErrTooLarge},
	} {
		t.Run(c.err.Message, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t")
				h.Broker().Refuse(c.err, produceTo("t"))
				err := h.Adapter().Publish(t.Context(), event{"t", "", ""})
				require.ErrorIs(t, err, c.is)
				require.ErrorIs(t, err, adapter.ErrRefused)
				require.ErrorIs(t, err, c.err)
				assert.False(t, adapter.Retryable(err))
				var refused *adapter.RefusedError
				if errors.As(err, &refused) {
					assert.Equal(t, c.err.Code, refused.Code)
					assert.Equal(t, c.err.Message, refused.Name)
				}
			})
		})
	}
}

func TestPublish_anAnswerThatNeverComes(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit time.Duration // the caller's
		took  time.Duration
	}{
		{"ends with the caller's context", 3 * time.Second, 3 * time.Second},
		{"ends with PublishTimeout", time.Hour, 5500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			needsTag(t)
			cfg := harness.Config{Adapter: func(c *adapter.Config) { c.PublishTimeout = 5 * time.Second }}
			cfg.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t")
				require.NoError(t, h.Adapter().Ready(t.Context()))
				late := h.Broker().Delay(time.Hour, produceTo("t"))
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				start := time.Now()
				err := h.Adapter().Publish(ctx, event{"t", "", "one"})
				assert.Equal(t, c.took, time.Since(start).Round(500*time.Millisecond))
				require.ErrorIs(t, err, adapter.ErrTimeout)
				assert.True(t, adapter.Retryable(err))
				late.Clear()
				until(t, "nothing is under way", func() bool { return h.Adapter().Buffered() == 0 })
				assert.Len(t, h.Topic("t").Records(), 1)
			})
		})
	}
}

func TestPublish_aCallerThatGivesUpDoesNotFailOthers(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		require.NoError(t, h.Adapter().Ready(t.Context()))
		cut := h.Broker().DropBefore(produceTo("t"))
		var wg sync.WaitGroup
		publish := func(limit time.Duration, want error) {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				err := h.Adapter().Publish(ctx, event{"t", "k", "v"})
				if want == nil {
					assert.NoError(t, err)
				} else {
					assert.ErrorIs(t, err, want)
				}
			})
			synctest.Wait()
		}
		publish(time.Hour, nil)                        // is tried again and again
		publish(time.Second, context.DeadlineExceeded) // the first of the next batch
		publish(time.Hour, nil)
		time.Sleep(5 * time.Second)
		cut.Clear()
		wg.Wait()
		until(t, "nothing is under way", func() bool { return h.Adapter().Buffered() == 0 })
		assert.Len(t, h.Topic("t").Records(), 3)
	})
}

func TestPublish_withAContextThatHasEndedSendsNothing(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		require.NoError(t, h.Adapter().Ready(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := h.Adapter().Publish(ctx, event{"t", "", ""})
		require.ErrorIs(t, err, adapter.ErrTimeout)
		require.ErrorIs(t, err, context.Canceled)
		assert.Empty(t, h.Topic("t").Records())
	})
}

func TestPublish_aFullBufferIsWaitedForNoLongerThanTheContext(t *testing.T) {
	needsTag(t)
	cfg := harness.Config{Adapter: func(c *adapter.Config) {
		c.ClientOptions = []kgo.Opt{kgo.MaxBufferedRecords(5)}
	}}
	cfg.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		require.NoError(t, h.Adapter().Ready(t.Context()))
		late := h.Broker().Delay(10*time.Second, produceTo("t"))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := h.Adapter().Publish(ctx, numbered(20)...)
		assert.Equal(t, 3*time.Second, time.Since(start).Round(time.Millisecond))
		var failed adapter.PublishErrors
		require.ErrorAs(t, err, &failed)
		assert.Len(t, failed, 20)
		until(t, "nothing is under way", func() bool { return h.Adapter().Buffered() == 0 })
		assert.Len(t, h.Topic("t").Records(), 5, "the rest never left")
		late.Clear()
		require.NoError(t, h.Adapter().Publish(t.Context(), numbered(20)...), "they take turns")
	})
}

func TestPublish_aCutConnectionWritesOnce(t *testing.T) {
	for name, fault := range map[string]func(*fakebroker.Broker, fakebroker.Scope) *fakebroker.Fault{
		"before": (*fakebroker.Broker).DropBefore, "after": (*fakebroker.Broker).DropAfter,
	} {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				h.CreateTopics("t")
				f := fault(h.Broker(), fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Count: 3})
				require.NoError(t, h.Adapter().Publish(t.Context(), event{"t", "", "one"}))
				assert.Equal(t, 3, f.Hits())
				assert.Len(t, h.Topic("t").Records(), 1)
			})
		})
	}
}

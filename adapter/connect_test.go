package adapter_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"testing"
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

func TestNew_refusesWhatCannotWork(t *testing.T) {
	good := []string{"localhost:9092"}
	for _, c := range []struct {
		field string
		cfg   adapter.Config
	}{
		{"Config.Brokers", adapter.Config{}},
		{"Config.Brokers", adapter.Config{Brokers: []string{""}}},
		{"Config.Brokers", adapter.Config{Brokers: []string{"a:b:c"}}},
		{"Config.Brokers", adapter.Config{Brokers: []string{"host:0"}}},
		{"Config.Brokers", adapter.Config{Brokers: []string{"host:kafka"}}},
		{"Config.ConnectTries", adapter.Config{Brokers: good, ConnectTries: -1}},
		{"Config.ConnectTimeout", adapter.Config{Brokers: good, ConnectTimeout: -1}},
		{"Config.PublishTimeout", adapter.Config{Brokers: good, PublishTimeout: -1}},
		{"Config.PublishTimeout", adapter.Config{Brokers: good, PublishTimeout: time.Millisecond}},
		{"Config.SASL.User", adapter.Config{Brokers: good, SASL: &adapter.SASL{Mechanism: "PLAIN"}}},
		{"Config.SASL.Mechanism", adapter.Config{Brokers: good, SASL: &adapter.SASL{Mechanism: "KERBEROS", User: "u"}}},
		{"Config", adapter.Config{Brokers: good, ClientOptions: []kgo.Opt{kgo.MaxBufferedRecords(-1)}}},
	} {
		_, err := adapter.New(c.cfg)
		var bad *adapter.ConfigError
		require.ErrorAs(t, err, &bad, "%+v", c.cfg)
		require.ErrorIs(t, err, adapter.ErrConfig)
		assert.Equal(t, c.field, bad.Field, "%v", err)
		assert.False(t, adapter.Retryable(err))
	}
}

func TestNew_returnsAtOnceWhenNothingListens(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Broker().TakeDown(0)
		start := time.Now()
		a := h.NewAdapter()
		assert.Zero(t, time.Since(start))
		assert.Equal(t, adapter.Connecting, a.State())
	})
}

func TestState_theFirstTriesAreBounded(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		down := h.Broker().TakeDown(0)
		a := h.NewAdapter()
		changes := a.StateChanges()
		err := a.Ready(t.Context())
		var not *adapter.NotConnectedError
		require.ErrorAs(t, err, &not)
		require.ErrorIs(t, err, adapter.ErrNotConnected)
		assert.Equal(t, h.Broker().Addrs(), not.Brokers)
		assert.ErrorContains(t, not.Cause, "refused")
		assert.True(t, adapter.Retryable(err))
		change := <-changes
		assert.Equal(t, adapter.Disconnected, change.State)
		assert.Equal(t, not.Cause, change.Cause)
		assert.Equal(t, adapter.Disconnected, a.State())

		down.Clear()
		time.Sleep(time.Hour)
		assert.Equal(t, adapter.Disconnected, a.State(), "it waits to be asked")
		require.NoError(t, a.Publish(t.Context(), event{"t", "", ""}))
		assert.Equal(t, adapter.Connected, (<-changes).State)
		require.NoError(t, a.Ready(t.Context()))
	})
}

func TestState_reconnectingHasNoLimit(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		a := h.NewAdapter()
		require.NoError(t, a.Ready(t.Context()))
		changes := a.StateChanges()
		for range 2 {
			down := h.Broker().TakeDown(0)
			_ = h.Adapter() // another that tries, and that is all
			_, err := a.Subscribe(t.Context(), subscription(commits))
			require.Error(t, err)
			change := <-changes
			assert.Equal(t, adapter.Disconnected, change.State)
			assert.Error(t, change.Cause)
			time.Sleep(time.Hour) // 100 tries take ten minutes
			down.Clear()
			change = <-changes
			assert.Equal(t, adapter.Connected, change.State)
			assert.NoError(t, change.Cause)
		}
	})
}

func TestState_oneSlowBrokerOfThreeIsNoTrouble(t *testing.T) {
	needsTag(t)
	harness.Config{Broker: fakebroker.Config{Brokers: 3}}.Run(t, func(t *testing.T, h *harness.Harness) {
		slow := h.Broker().Delay(2*time.Second, fakebroker.Scope{Brokers: []int32{2}, APIs: []kmsg.Key{kmsg.Metadata, kmsg.ApiVersions}})
		a := h.NewAdapter()
		require.NoError(t, a.Ready(t.Context()))
		time.Sleep(time.Minute)
		assert.Equal(t, adapter.Connected, a.State())
		assert.Less(t, slow.Hits(), 20, "asking must not make trouble that is asked about")
	})
}

func TestReady_endsWithItsContext(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.Broker().TakeDown(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := h.NewAdapter().Ready(ctx)
		require.ErrorIs(t, err, adapter.ErrNotConnected)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestPublish_connectsWhenNotConnected(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		h.CreateTopics("t")
		down := h.Broker().TakeDown(0)
		a := h.NewAdapter()
		time.AfterFunc(5*time.Second, down.Clear)
		require.NoError(t, a.Publish(t.Context(), event{"t", "", ""}))
	})
}

func TestNotConnected_isToldWithinConnectTimeout(t *testing.T) {
	for name, do := range map[string]func(context.Context, *adapter.Adapter) error{
		"Publish": func(ctx context.Context, a *adapter.Adapter) error { return a.Publish(ctx, event{"t", "", ""}) },
		"Subscribe": func(ctx context.Context, a *adapter.Adapter) error {
			_, err := a.Subscribe(ctx, subscription(commits))
			return err
		},
		"EnsureTopics": func(ctx context.Context, a *adapter.Adapter) error {
			return a.EnsureTopics(ctx, adapter.TopicSpec{Name: "t"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				h.Broker().TakeDown(0)
				a := h.NewAdapter()
				start := time.Now()
				err := do(t.Context(), a)
				assert.Equal(t, 10*time.Second, time.Since(start).Round(time.Millisecond))
				var not *adapter.NotConnectedError
				require.ErrorAs(t, err, &not)
				assert.Equal(t, h.Broker().Addrs(), not.Brokers)
				assert.ErrorContains(t, not.Cause, "refused")
				assert.True(t, adapter.Retryable(err))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				require.ErrorIs(t, do(ctx, a), context.DeadlineExceeded)
			})
		})
	}
}

// secured is a broker on TCP with TLS and a user.
func secured(t *testing.T, mechanism string) (*fakebroker.Broker, *tls.Config) {
	t.Helper()
	server, client := certificate(t)
	b := fakebroker.Config{
		Topics: []fakebroker.Topic{{Name: "t"}}, TLS: server,
		SASL: []fakebroker.User{{Mechanism: mechanism, Name: "user", Password: "secret"}},
	}.Run(t)
	return b, client
}

func TestConnect_withTLSAndSASL(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			b, trust := secured(t, mechanism)
			a, err := adapter.New(adapter.Config{
				Brokers: b.Addrs(), TLS: trust, Logger: slog.New(slog.DiscardHandler),
				SASL: &adapter.SASL{Mechanism: mechanism, User: "user", Password: "secret"},
			})
			require.NoError(t, err)
			defer func() { assert.NoError(t, a.Close(t.Context())) }()
			got := make(chan string)
			_, err = a.Subscribe(t.Context(), subscription(func(_ context.Context, m *adapter.Message) adapter.Result {
				got <- string(m.Value)
				return adapter.Commit()
			}))
			require.NoError(t, err)
			require.NoError(t, a.Publish(t.Context(), event{"t", "", "hello"}))
			assert.Equal(t, "hello", <-got)
		})
	}
}

func TestConnect_badCredentialsFailAtOnce(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			b, trust := secured(t, mechanism)
			b.Refuse(kerr.SaslAuthenticationFailed, fakebroker.Scope{APIs: []kmsg.Key{kmsg.SASLAuthenticate}})
			a, err := adapter.New(adapter.Config{
				Brokers: b.Addrs(), TLS: trust, Logger: slog.New(slog.DiscardHandler), ConnectTimeout: time.Minute,
				SASL: &adapter.SASL{Mechanism: mechanism, User: "user", Password: "secret"},
			})
			require.NoError(t, err)
			defer func() { assert.NoError(t, a.Close(t.Context())) }()
			start := time.Now()
			err = a.Publish(t.Context(), event{"t", "", ""})
			require.ErrorIs(t, err, adapter.ErrNotConnected)
			require.ErrorIs(t, err, kerr.SaslAuthenticationFailed)
			assert.False(t, adapter.Retryable(err))
			require.ErrorIs(t, a.Ready(t.Context()), kerr.SaslAuthenticationFailed)
			assert.Less(t, time.Since(start), 10*time.Second)
		})
	}
}

func TestConnect_aServerThatDoesNotSpeakTLS(t *testing.T) {
	b := fakebroker.Run(t, "t")
	a, err := adapter.New(adapter.Config{
		Brokers: b.Addrs(), TLS: &tls.Config{MinVersion: tls.VersionTLS12}, Logger: slog.New(slog.DiscardHandler), ConnectTimeout: time.Second,
	})
	require.NoError(t, err)
	defer func() { assert.NoError(t, a.Close(t.Context())) }()
	require.ErrorIs(t, a.Publish(t.Context(), event{"t", "", ""}), adapter.ErrNotConnected)
}

func TestConnect_aListenerThatNeverAnswers(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	a, err := adapter.New(adapter.Config{Brokers: []string{ln.Addr().String()}, Logger: slog.New(slog.DiscardHandler), ConnectTimeout: time.Second})
	require.NoError(t, err)
	defer func() { assert.NoError(t, a.Close(t.Context())) }()
	err = a.Publish(t.Context(), event{"t", "", ""})
	require.ErrorIs(t, err, adapter.ErrNotConnected)
	assert.ErrorContains(t, err, ln.Addr().String())
	assert.ErrorContains(t, err, "no answer within 500ms")
}

package own_test

import (
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness/internal/own"
)

func start(t *testing.T, c fakebroker.Config) *fakebroker.Broker {
	t.Helper()
	b, err := fakebroker.Start(c)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.Close()) })
	return b
}

// as is a client of a broker with names of its own.
func as(t *testing.T, b *fakebroker.Broker, prefix string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	names := own.New(prefix)
	t.Cleanup(names.Close)
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(b.Addrs()...),
		kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return names.Conn(conn), nil
		}),
	}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

// Two do the same on one cluster, each as if it were alone there.
func TestNames_nobodySeesWhatIsOthers(t *testing.T) {
	b := start(t, fakebroker.Config{Brokers: 3})
	require.NoError(t, b.CreateTopic(fakebroker.Topic{Name: "others", Partitions: 1}))
	for _, prefix := range []string{"one-", "two-"} {
		ctx := kadm.WithAuthorizedOps(t.Context()) // nothing from the client's cache
		cl := as(t, b, prefix, kgo.ConsumerGroup("group"), kgo.ConsumeTopics("topic"), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		adm := kadm.NewClient(cl)
		created, err := adm.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": kadm.StringPtr("1000000")}, "topic")
		require.NoError(t, err)
		assert.Equal(t, "topic", created.Topic)
		more, err := adm.CreatePartitions(ctx, 1, "topic")
		require.NoError(t, err)
		require.NoError(t, more.Error())
		require.NoError(t, cl.ProduceSync(ctx, &kgo.Record{Topic: "topic", Value: []byte("value")}).FirstErr())
		got := cl.PollFetches(ctx).Records()
		require.Len(t, got, 1)
		assert.Equal(t, "topic", got[0].Topic)
		require.NoError(t, cl.CommitUncommittedOffsets(ctx))

		topics, err := adm.ListTopicsWithInternal(ctx)
		require.NoError(t, err)
		assert.Equal(t, []string{"topic"}, topics.Names())
		assert.Len(t, topics["topic"].Partitions, 3)
		unknown, err := adm.ListTopics(ctx, "others")
		require.NoError(t, err)
		assert.Equal(t, []string{"others"}, unknown.Names(), "is asked for by name, and not there")
		assert.Error(t, unknown["others"].Err)
		configs, err := adm.DescribeTopicConfigs(ctx, "topic")
		require.NoError(t, err)
		require.NoError(t, configs[0].Err)
		assert.Equal(t, "topic", configs[0].Name)

		groups, err := adm.ListGroups(ctx)
		require.NoError(t, err)
		assert.Equal(t, []string{"group"}, groups.Groups())
		described, err := adm.DescribeGroups(ctx, "group")
		require.NoError(t, err)
		assert.Equal(t, []string{"topic"}, described.AssignedPartitions().Topics())
		offsets, err := adm.FetchOffsets(ctx, "group")
		require.NoError(t, err)
		assert.Len(t, offsets["topic"], 1)

		tx := as(t, b, prefix, kgo.TransactionalID("id"))
		require.NoError(t, tx.BeginTransaction())
		require.NoError(t, tx.ProduceSync(ctx, &kgo.Record{Topic: "topic"}).FirstErr())
		transactions, err := adm.ListTransactions(ctx, nil, nil)
		require.NoError(t, err)
		assert.Equal(t, []string{"id"}, transactions.TransactionalIDs())
		require.NoError(t, tx.EndTransaction(ctx, kgo.TryAbort))
	}
	var names []string
	for _, topic := range b.Topics() {
		names = append(names, topic.Name)
	}
	assert.Subset(t, names, []string{"one-topic", "others", "two-topic"})
	assert.NotContains(t, names, "topic")
	assert.True(t, slices.ContainsFunc(b.Groups(), func(g fakebroker.Group) bool { return g.Name == "two-group" }))
}

func TestNames_aPatternMatchesTheWholeName(t *testing.T) {
	b := start(t, fakebroker.Config{Topics: []fakebroker.Topic{{Name: "one-orders", Partitions: 1}, {Name: "two-orders", Partitions: 1}}})
	cl := as(t, b, "one-", kgo.ConsumerGroup("group"), kgo.ConsumeRegex(), kgo.ConsumeTopics("ord.*|two-orders"), kgo.ServerSideBalancer())
	adm := kadm.NewClient(cl)
	require.Eventually(t, func() bool {
		cl.PollFetches(nil) //nolint:staticcheck // kgo's way not to wait
		g, err := adm.DescribeConsumerGroups(t.Context(), "group")
		return err == nil && len(g["group"].Members) == 1 && slices.Equal(g["group"].Members[0].Assignment.Topics(), []string{"orders"})
	}, time.Minute, time.Millisecond)
}

// Whoever is left when the names are closed is cut off, and nobody comes back.
func TestNames_close(t *testing.T) {
	b := start(t, fakebroker.Config{})
	names := own.New("one-")
	dial := func() net.Conn {
		raw, err := net.Dial("tcp", b.Addrs()[0])
		require.NoError(t, err)
		return names.Conn(raw)
	}
	conn := dial()
	assert.Equal(t, b.Addrs()[0], conn.RemoteAddr().String())
	read := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	names.Close()
	assert.ErrorIs(t, <-read, io.ErrClosedPipe)
	_, err := dial().Write(kmsg.NewPtrApiVersionsRequest().AppendTo(nil))
	assert.ErrorIs(t, err, io.ErrClosedPipe)
	names.Close()
	assert.NoError(t, conn.Close())
}

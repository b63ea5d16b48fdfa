package harness

import (
	"context"
	"iter"
	"net"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
)

// cluster is what the harness asks of brokers: of the fake one, or of a Kafka
// that is there already.
type cluster interface {
	Addrs() []string
	ClientOptions() []kgo.Opt
	Dialer() func(ctx context.Context, network, addr string) (net.Conn, error)
	Nodes() []fakebroker.Node
	NodeIDs() []int32

	CreateTopic(topic fakebroker.Topic) error
	Topics() []fakebroker.Topic
	Partitions(topic string) ([]fakebroker.Partition, error)
	Append(ctx context.Context, topic string, records ...fakebroker.Record) ([]fakebroker.Record, error)
	Scan(topic string, s fakebroker.Selection) iter.Seq2[fakebroker.Record, error]
	Records(topic string) ([]fakebroker.Record, error)

	Group(name string) (fakebroker.Group, bool)
	Groups() []fakebroker.Group
	GroupsBut(leave func(name string) bool) []fakebroker.Group
	ResetOffsets(group string, r fakebroker.Reset) ([]fakebroker.GroupOffset, error)
	Transactions() []fakebroker.Transaction

	Close() error
}

var (
	_ cluster = (*fakebroker.Broker)(nil)
	_ cluster = (*kafka)(nil)
)

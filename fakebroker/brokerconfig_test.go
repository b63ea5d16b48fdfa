package fakebroker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

func TestBrokerConfig_isCheckedByKafkasRules(t *testing.T) {
	for _, c := range []struct{ name, value, says string }{
		{"no.such.config", "1", "check how it is spelled"},
		{"message.max.bytes", "1MB", "Invalid value 1MB for configuration message.max.bytes: Not a number of type INT"},
		{"message.max.bytes", "-1", "Value must be at least 0"},
		{"log.cleanup.policy", "shred", "String must be one of: compact, delete"},
		{"offset.retention.ms", "soon", "not a whole number"},
		{"auto.create.topics.enable", "true", "decided by AutoCreateTopics"},
		{"broker.rack", "a", "decided by Racks"},
		{"listeners", "PLAINTEXT://:1", "decided by Listeners"},
	} {
		_, err := fakebroker.Start(fakebroker.Config{BrokerConfig: map[string]string{c.name: c.value}})
		isError(t, err, fakebroker.ErrConfig)
		var bad *fakebroker.ConfigError
		if !errors.As(err, &bad) || bad.Field != "BrokerConfig" || !strings.Contains(err.Error(), c.name) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s=%s: %v, want BrokerConfig, the name and %q", c.name, c.value, err, c.says)
		}
	}
	_, err := fakebroker.Start(fakebroker.Config{MaxSessionTimeout: time.Minute, BrokerConfig: map[string]string{"group.max.session.timeout.ms": "1"}})
	if err == nil || !strings.Contains(err.Error(), "leave one of the two out") {
		t.Errorf("two session timeouts: %v", err)
	}
}

func TestTopic_configsAreCheckedByKafkasRules(t *testing.T) {
	bad := fakebroker.Topic{Name: "t", Configs: map[string]string{"retention.ms": "x"}}
	_, err := fakebroker.Start(fakebroker.Config{Topics: []fakebroker.Topic{bad}})
	isError(t, err, fakebroker.ErrConfig)
	isError(t, err, fakebroker.ErrInvalidTopic)
	b := fakebroker.Run(t)
	isError(t, b.CreateTopic(bad), fakebroker.ErrInvalidTopic)
	noError(t, b.CreateTopic(fakebroker.Topic{Name: "t", Configs: map[string]string{"retention.ms": " +5 ", "cleanup.policy": "compact, delete"}}))
	equal(t, "configs", b.Topics()[0].Configs, map[string]string{"retention.ms": "5", "cleanup.policy": "compact,delete"})
}

// What a broker was started with is what clients are told and topics get.
func TestBrokerConfig_isDescribedAndApplied(t *testing.T) {
	c := fakebroker.Config{
		Brokers: 2, Racks: []string{"a", "b"}, NodeIDs: []int32{7, 8},
		BrokerConfig: map[string]string{
			"num.partitions": " 3", "default.replication.factor": "1", "log.retention.hours": "2",
			"message.max.bytes": "5000", "group.consumer.heartbeat.interval.ms": "200",
		},
	}
	onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
		adm := kadm.NewClient(client(t, b))
		brokers, err := adm.DescribeBrokerConfigs(within(t), 7, 8)
		noError(t, err)
		for id, want := range map[string]map[string]string{
			"7": {"node.id": "7", "broker.rack": "a", "num.partitions": "3", "log.retention.hours": "2", "auto.create.topics.enable": "false"},
			"8": {"node.id": "8", "broker.rack": "b", "default.replication.factor": "1", "message.max.bytes": "5000"},
		} {
			got, err := brokers.On(id, nil)
			noError(t, err)
			values := make(map[string]string)
			for _, c := range got.Configs {
				if _, ok := want[c.Key]; ok {
					values[c.Key] = c.MaybeValue()
					equal(t, "source of "+c.Key, c.Source, kmsg.ConfigSourceStaticBrokerConfig)
				}
				if c.Key == "listeners" && !strings.HasPrefix(c.MaybeValue(), "PLAINTEXT://"+b.Addrs()[map[string]int{"7": 0, "8": 1}[id]]) {
					t.Errorf("listeners of %s: %s, addresses %v", id, c.MaybeValue(), b.Addrs())
				}
			}
			equal(t, "broker "+id, values, want)
		}
		created, err := adm.CreateTopic(within(t), -1, -1, nil, "t")
		noError(t, err)
		equal(t, "partitions", created.NumPartitions, int32(3))
		equal(t, "replicas", created.ReplicationFactor, int16(1))
		equal(t, "retention", *created.Configs["retention.ms"].Value, "7200000")
		equal(t, "largest message", *created.Configs["max.message.bytes"].Value, "5000")
	})
}

// A changed configuration of brokers is still there after a restart, and acted
// upon.
func TestDataDir_keepsBrokerConfigs(t *testing.T) {
	c := orders(1)
	c.DataDir = t.TempDir()
	c.BrokerConfig = map[string]string{"log.retention.hours": "2"}
	for restart := range 2 {
		b := c.Run(t)
		cl := client(t, b, kgo.ProducerBatchCompression(kgo.NoCompression()))
		adm := kadm.NewClient(cl)
		if restart == 0 {
			size := "100"
			altered, err := adm.AlterBrokerConfigs(within(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "message.max.bytes", Value: &size}})
			noError(t, err)
			noError(t, altered[0].Err)
		}
		for _, want := range []struct{ name, value string }{{"max.message.bytes", "100"}, {"retention.ms", "7200000"}} {
			topics, err := adm.DescribeTopicConfigs(within(t), "orders")
			noError(t, err)
			for _, c := range topics[0].Configs {
				if c.Key == want.name {
					equal(t, want.name, c.MaybeValue(), want.value)
				}
			}
		}
		large := &kgo.Record{Topic: "orders", Value: make([]byte, 200)}
		isError(t, cl.ProduceSync(within(t), large).FirstErr(), kerr.MessageTooLarge)
		adm.Close()
		noError(t, b.Close())
	}
}

package integration

import (
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/integration/kafka"
)

// TestConfigs_areThoseOfKafka compares every configuration that the two brokers
// describe: its type, its default, whether it can be changed, and its synonyms.
// What a broker was started with is its own.
func TestConfigs_areThoseOfKafka(t *testing.T) {
	k := kafka.Run(t, kafka.Config{})
	skipOtherReleases(t, k)
	fake, apache := fakebroker.Run(t).ClientOptions(), kgo.SeedBrokers(k.Addrs()...)
	for _, kind := range []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeGroupConfig} {
		want := definitions(t, kind, apache)
		got := definitions(t, kind, fake...)
		for name, d := range want {
			if got[name] != d {
				t.Errorf("%s: %q, want %q", name, got[name], d)
			}
		}
		for name, d := range got {
			if want[name] == "" {
				t.Errorf("%s: Kafka has no such configuration: %s", name, d)
			}
		}
		if len(want) == 0 {
			t.Errorf("no configurations of resource type %d", kind)
		}
	}
}

func definitions(t *testing.T, kind kmsg.ConfigResourceType, opts ...kgo.Opt) map[string]string {
	t.Helper()
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	brokers, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatal(err)
	}
	node := brokers.Brokers[0].NodeID
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms = true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, "none"
	if kind == kmsg.ConfigResourceTypeBroker {
		r.ResourceName = strconv.Itoa(int(node))
	}
	req.Resources = append(req.Resources, r)
	resp, err := cl.Broker(int(node)).Request(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, c := range resp.(*kmsg.DescribeConfigsResponse).Resources[0].Configs {
		if c.ConfigType == 0 || strings.HasPrefix(c.Name, "listener.name.") {
			continue // a plugin's, or a listener's
		}
		def := ""
		for _, y := range c.ConfigSynonyms {
			if y.Source == kmsg.ConfigSourceDefaultConfig && y.Value != nil {
				def += " " + y.Name + "=" + *y.Value
			}
		}
		if def == "" && c.Source == kmsg.ConfigSourceDefaultConfig && c.Value != nil {
			def = " is " + *c.Value // from a configuration with another unit
		}
		out[c.Name] = c.ConfigType.String() + " " + strconv.FormatBool(c.ReadOnly) + " " + strconv.FormatBool(c.IsSensitive) + def
	}
	return out
}

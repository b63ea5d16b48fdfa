package brokertest

import (
	"context"
	"crypto/rand"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// patience bounds what a behaviour waits for; in Check, where it is likely to
// wait in vain, it is impatience.
const patience, impatience = 30 * time.Second, 3 * time.Second

// newClient is a client as users would make it. It is closed with the test.
func newClient(t T, c Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	common := []kgo.Opt{
		kgo.DisableClientMetrics(), kgo.ProducerLinger(0), kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}
	cl, err := kgo.NewClient(slices.Concat(c.Options, common, opts)...)
	noError(t, err)
	t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

func within(t T) context.Context {
	limit := patience
	if _, checking := t.(*recorder); checking {
		limit = impatience
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// withoutTest is for what is cleaned up when the test is over.
func withoutTest(t T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.Context()), patience)
}

// ask sends a request to the broker that the client takes for the right one: the
// leader, the coordinator, the controller. The client chooses the version, the
// highest that both know; see version.
func ask[R kmsg.Response](t T, cl *kgo.Client, req kmsg.Request) R {
	t.Helper()
	resp, err := cl.Request(within(t), req)
	noError(t, err)
	typed, ok := resp.(R)
	if !ok {
		t.Errorf("answer is a %T, want a %T", resp, typed)
		t.FailNow()
	}
	return typed
}

// version has a client ask an API in a version at most.
func version(key kmsg.Key, highest int16) kgo.Opt {
	v := kversion.Stable()
	v.SetMaxKeyVersion(key.Int16(), highest)
	return kgo.MaxVersions(v)
}

// name is a name that nobody else uses.
func name(prefix string) string { return fmt.Sprintf("%s-%s", prefix, rand.Text()[:8]) }

// newTopic creates a topic of a new name, which is deleted with the test, and
// waits until it can be written to.
func newTopic(t T, cl *kgo.Client, partitions int32, configs ...string) string {
	t.Helper()
	topic := name("topic")
	create := kmsg.NewCreateTopicsRequestTopic()
	create.Topic, create.NumPartitions, create.ReplicationFactor = topic, partitions, -1
	for i := 0; i+1 < len(configs); i += 2 {
		conf := kmsg.NewCreateTopicsRequestTopicConfig()
		conf.Name, conf.Value = configs[i], kmsg.StringPtr(configs[i+1])
		create.Configs = append(create.Configs, conf)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(patience.Milliseconds())
	req.Topics = append(req.Topics, create)
	resp, err := req.RequestWith(within(t), cl)
	noError(t, err)
	noError(t, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
	t.Cleanup(func() {
		del := kmsg.NewPtrDeleteTopicsRequest()
		del.TopicNames = []string{topic}
		dt := kmsg.NewDeleteTopicsRequestTopic()
		dt.Topic = &topic
		del.Topics = append(del.Topics, dt)
		ctx, cancel := withoutTest(t)
		defer cancel()
		_, _ = del.RequestWith(ctx, cl) // the cluster may be gone already
	})
	haveLeaders(t, cl, topic, int(partitions))
	return topic
}

// produce writes one record a value to partition 0.
func produce(t T, cl *kgo.Client, topic string, values ...string) {
	t.Helper()
	for _, v := range values {
		noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr())
	}
}

// eventually asks until it is so.
func eventually(t T, what string, f func() bool) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("never came: %s", what)
			t.FailNow()
		}
	}
}

func noError(t T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("unexpected error: %v", err)
		t.FailNow()
	}
}

// equal compares; what says what of.
func equal[V any](t T, what string, got, want V) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// code compares an error code with the one of a name.
func code(t T, what string, got int16, want *kerr.Error) {
	t.Helper()
	wantCode := int16(0)
	if want != nil {
		wantCode = want.Code
	}
	if got != wantCode {
		t.Errorf("%s: %s, want %s", what, codeText(got), codeText(wantCode))
	}
}

func codeText(c int16) string {
	if c == 0 {
		return "0 (no error)"
	}
	return fmt.Sprintf("%d (%v)", c, kerr.ErrorForCode(c))
}

// text is a nullable string as a message of a test has it.
func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func number(n int32) string { return strconv.Itoa(int(n)) }

// describe is what the metadata have of a topic.
func describe(t T, cl *kgo.Client, topic string) kmsg.MetadataResponseTopic {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	resp := ask[*kmsg.MetadataResponse](t, cl, req)
	code(t, "topic "+topic, resp.Topics[0].ErrorCode, nil)
	return resp.Topics[0]
}

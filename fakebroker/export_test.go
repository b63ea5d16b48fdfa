package fakebroker

import (
	"context"
	"net"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/correct"
	"example.com/kafkatest/fakebroker/wire"
)

// Without is the config of a broker that lacks a correction.
func Without(c Config, correction string) Config {
	c.without = correction
	return c
}

// Corrections are what every broker is corrected by.
func Corrections() []correct.Correction { return slices.Collect(correct.All(nil)) }

// PlainDialer dials the first listener without TLS.
func (b *Broker) PlainDialer() func(context.Context, string, string) (net.Conn, error) {
	if b.network != nil {
		return b.dialerInMemory()
	}
	return new(net.Dialer).DialContext
}

// Remembered is what the corrections remember of topics.
type Remembered struct{ Placed, Finished, Produce, Fetch int }

// Remembered counts the topics that are placed and that were finished, and the corrections that look at
// what is produced and fetched.
func (b *Broker) Remembered() Remembered {
	r := Remembered{Placed: b.replicas.Len(), Finished: b.unfinished.Len()}
	for c := range correct.All(corrected{b}) {
		wants := func(key kmsg.Key) bool {
			return c.Keys.Has(key) && (c.Wants == nil || c.Wants(wire.Header{Key: key}))
		}
		if wants(kmsg.Produce) {
			r.Produce++
		}
		if wants(kmsg.Fetch) {
			r.Fetch++
		}
	}
	return r
}

// DeleteBehindTheBack deletes a topic without a word to the corrections.
func (b *Broker) DeleteBehindTheBack(topic string) error { return b.cluster.DeleteTopic(topic) }

// Askers is the number of connections that the broker keeps to ask itself.
func (b *Broker) Askers() (n int) {
	for _, idle := range b.askers.idle {
		n += len(idle)
	}
	return n
}

// DialInMemory opens a connection of the in-memory network.
func (b *Broker) DialInMemory(ctx context.Context, address string) (net.Conn, error) {
	return b.network.dial(ctx, address, new(bubbleOf))
}

// HoldGrowth has partitions that are to be added to a topic wait, once. growing is
// closed when somebody wants to; they are added when release is called, or refused
// with an error when it is given one.
func (b *Broker) HoldGrowth() (growing <-chan struct{}, release func(refusal *kerr.Error)) {
	wanted, released := make(chan struct{}), make(chan *kerr.Error, 1)
	b.cluster.ControlKey(int16(kmsg.CreatePartitions), func(r kmsg.Request) (kmsg.Response, error, bool) {
		close(wanted)
		var refusal *kerr.Error
		b.cluster.SleepControl(func() { refusal = <-released })
		b.cluster.DropControl()
		if refusal == nil {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.CreatePartitionsResponse)
		for _, t := range r.(*kmsg.CreatePartitionsRequest).Topics {
			rt := kmsg.NewCreatePartitionsResponseTopic()
			rt.Topic, rt.ErrorCode = t.Topic, refusal.Code
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	return wanted, func(refusal *kerr.Error) { released <- refusal }
}

// MostResources is how many resources one request can open to everybody.
const MostResources = mostResources

// ACLs is how many there are, those included that clients do not see.
func ACLs(tb testing.TB, b *Broker) (n int) {
	tb.Helper()
	none := everyone{}
	all, ok := none.others(tb.Context(), b)
	if !ok {
		tb.Fatal("the ACLs cannot be asked for")
	}
	for _, r := range all {
		n += len(r.ACLs)
	}
	return n
}

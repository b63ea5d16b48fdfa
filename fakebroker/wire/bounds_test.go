package wire_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// A broker makes room for a frame as soon as it has seen the length, so it must
// not see one before the frame is there.
func TestSession_longFrameIsPassedOnWhenItIsAllThere(t *testing.T) {
	produce := kmsg.NewPtrProduceRequest()
	produce.Acks = 1
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "orders"
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = bytes.Repeat([]byte("records "), 400<<10)
	topic.Partitions = append(topic.Partitions, part)
	produce.Topics = append(produce.Topics, topic)
	in := request(1, 9, produce)

	for name, rules := range map[string][]wire.Rule{
		"that nobody wants":  nil,
		"that a rule wants":  {{Request: func(*wire.Exchange) {}}},
		"that a rule skips":  {{Request: fail(t), SkipRequest: func(wire.Header, []byte) bool { return true }}},
		"whose answer is it": {{AnswerOnly: true, Answer: func(*wire.Exchange) {}}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := wire.Config{Rules: new(wire.Rules)}
			for _, r := range rules {
				cfg.Rules.Add(r)
			}
			s := wire.NewSession(&client{Reader: bytes.NewReader(in)}, cfg)
			got, err := io.ReadAll(s)
			noError(t, err)
			if !bytes.Equal(got, in) {
				t.Errorf("%d bytes were passed on as %d others", len(in), len(got))
			}

			s = wire.NewSession(&client{Reader: bytes.NewReader(in[:len(in)-1])}, cfg)
			got, err = io.ReadAll(s)
			if len(got) > 0 || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("of a frame that never came: %d bytes, %v", len(got), err)
			}
		})
	}
}

func fail(t *testing.T) func(*wire.Exchange) {
	return func(*wire.Exchange) { t.Error("a rule has seen what it skips") }
}

func TestRule_skipsRequestsByHowTheyBegin(t *testing.T) {
	var seen []int32
	rules := new(wire.Rules)
	rules.Add(wire.Rule{
		SkipRequest: func(h wire.Header, body []byte) bool {
			return h.Key == kmsg.Heartbeat && bytes.Contains(body, []byte("dull"))
		},
		Request: func(x *wire.Exchange) { seen = append(seen, x.CorrelationID) },
	})
	in := append(request(1, 4, heartbeat("dull")), request(2, 4, heartbeat("other"))...)
	s := wire.NewSession(&client{Reader: iotest.OneByteReader(bytes.NewReader(in))}, wire.Config{Rules: rules})
	got, err := io.ReadAll(s)
	noError(t, err)
	if !bytes.Equal(got, in) || !slices.Equal(seen, []int32{2}) {
		t.Errorf("passed on as it was: %v; seen: %v", bytes.Equal(got, in), seen)
	}
}

package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func produceRecords(records []byte) []byte {
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = records
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.Partitions = "t", []kmsg.ProduceRequestTopicPartition{p}
	r := kmsg.NewPtrProduceRequest()
	r.Acks, r.Topics = 1, []kmsg.ProduceRequestTopic{t}
	return request(1, 9, r)
}

// lookingBack is a session with a rule that looks at a produce request when there
// is an answer, and what it saw.
func lookingBack(in []byte, cfg wire.Config) (s *wire.Session, seen *[]byte) {
	seen = new([]byte)
	cfg.Rules = new(wire.Rules)
	cfg.Rules.Add(wire.Rule{Answer: func(x *wire.Exchange) {
		if r, err := x.Request(); err == nil {
			*seen = r.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records
		}
	}})
	return wire.NewSession(&client{Reader: bytes.NewReader(in)}, cfg), seen
}

// readAsKfake reads a frame: its length, and the rest into memory of its own.
func readAsKfake(t *testing.T, s *wire.Session, size int) []byte {
	t.Helper()
	_, err := io.ReadFull(s, make([]byte, 4))
	noError(t, err)
	body := make([]byte, size-4)
	_, err = io.ReadFull(s, body)
	noError(t, err)
	return body
}

func TestPassing_whoLooksBackIsLentTheBrokersMemory(t *testing.T) {
	records := bytes.Repeat([]byte("0123456789"), 1000)
	in := produceRecords(records)
	s, seen := lookingBack(in, wire.Config{Lends: true})
	body := readAsKfake(t, s, len(in))
	same(t, "what the broker has", body, in[4:])
	_, err := s.Write(answer(1, 9, produceAnswer()))
	noError(t, err)
	same(t, "what the rule saw", *seen, records)
	at := bytes.Index(body, records)
	if &(*seen)[0] != &body[at] {
		t.Error("the records were copied")
	}
}

func TestPassing_whoLooksBackIsGivenACopyOfWhatIsNotLent(t *testing.T) {
	records := bytes.Repeat([]byte("0123456789"), 1000)
	in := produceRecords(records)
	for name, cfg := range map[string]wire.Config{"nothing": {}, "a little at a time": {Lends: true}} {
		t.Run(name, func(t *testing.T) {
			s, seen := lookingBack(in, cfg)
			piece := make([]byte, 777) // the same for each
			for n := 0; n < len(in); {
				m, err := s.Read(piece[:min(len(piece), len(in)-n)])
				noError(t, err)
				same(t, "what the broker has", piece[:m], in[n:n+m])
				n += m
			}
			clear(piece)
			_, err := s.Write(answer(1, 9, produceAnswer()))
			noError(t, err)
			same(t, "what the rule saw", *seen, records)
		})
	}
}

func TestPassing_noAnswerBeforeTheBrokerHasTheRequest(t *testing.T) {
	in := produceRecords(make([]byte, 10_000))
	s, seen := lookingBack(in, wire.Config{Lends: true})
	_, err := io.ReadFull(s, make([]byte, 100))
	noError(t, err)
	if _, err = s.Write(answer(1, 9, produceAnswer())); !errors.Is(err, wire.ErrMalformed) || *seen != nil {
		t.Errorf("an early answer was taken: %v", err)
	}
}

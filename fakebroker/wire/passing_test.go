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
	cfg.Rules.Add(wire.Rule{Answer: func(x *wire.Exchange) { *seen = seenRecords(x) }})
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

// seenRecords are those of a produce request.
func seenRecords(x *wire.Exchange) []byte {
	r, err := x.Request()
	if err != nil {
		return nil
	}
	return r.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records
}

func TestPassing_whatWasReadBeforeTheBrokerHadItIsLentAfterwards(t *testing.T) {
	type records struct{}
	for name, keeps := range map[string]bool{"a rule that looks": false, "a rule that keeps": true} {
		t.Run(name, func(t *testing.T) {
			var before, after [][]byte
			rules := new(wire.Rules)
			rules.Add(wire.Rule{
				Request: func(x *wire.Exchange) {
					if keeps {
						x.Keep(records{}, seenRecords(x))
					}
					before = append(before, bytes.Clone(seenRecords(x)))
				},
				Answer: func(x *wire.Exchange) {
					if keeps {
						after = append(after, x.Kept(records{}).([]byte))
					} else {
						after = append(after, seenRecords(x))
					}
				},
			})
			var in, want [][]byte
			for _, b := range []byte("abc") {
				want = append(want, bytes.Repeat([]byte{b}, 100_000))
				in = append(in, produceRecords(want[len(want)-1]))
			}
			s := wire.NewSession(&client{Reader: bytes.NewReader(bytes.Join(in, nil))}, wire.Config{Rules: rules, Lends: true})
			for i := range in {
				body := readAsKfake(t, s, len(in[i]))
				if !bytes.Equal(body, in[i][4:]) {
					t.Errorf("the broker does not have the request of %.3q", want[i])
				}
				if i == 0 {
					continue // the second is read before the first is answered
				}
				for range 1 + 1/i {
					_, err := s.Write(answer(1, 9, produceAnswer()))
					noError(t, err)
				}
				if i == len(in)-1 && !keeps && &after[i][0] != &body[bytes.Index(body, want[i])] {
					t.Error("the records were copied")
				}
			}
			for i := range want {
				if !bytes.Equal(before[i], want[i]) || !bytes.Equal(after[i], want[i]) {
					t.Errorf("the rule saw %.3q before, and %.3q afterwards, of %.3q", before[i], after[i], want[i])
				}
			}
		})
	}
}

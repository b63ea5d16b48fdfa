package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// resized is a request with other bytes behind what is left of its own.
func resized(req []byte, less int, more ...byte) []byte {
	req = append(bytes.Clone(req[:len(req)-less]), more...)
	binary.BigEndian.PutUint32(req, uint32(len(req)-4))
	return req
}

// A broker that believed what a body announces would count to it, or make room.
func TestSession_bodyThatIsNotWhatItAnnouncesEndsIt(t *testing.T) {
	many := binary.AppendUvarint(nil, 1<<28)
	long := request(1, 12, fetch(1000))
	for name, in := range map[string][]byte{
		"short":                       resized(request(1, 4, heartbeat("g")), 4),
		"tags that are not there":     resized(request(1, 4, heartbeat("g")), 1, many...),
		"long, and tags that are not": resized(long, 1, many...),
		"longer than is ever peeked":  resized(request(1, 12, fetch(50_000)), 1, many...),
		"elements that are not":       tagged(kmsg.Metadata, 9, []byte{0}, many...),
		"of a version Kafka has not":  tagged(kmsg.Metadata, 99, []byte{0}, 1, 0, 0, 0, 0),
		"of an API Kafka has not":     tagged(kmsg.LeaderAndISR, 4, []byte{0}, make([]byte, 100)...),
	} {
		for with, rules := range map[string]*wire.Rules{"no rules": nil, "a rule": reading()} {
			for by, of := range map[string]func([]byte) io.Reader{
				"at once":      func(b []byte) io.Reader { return bytes.NewReader(b) },
				"byte by byte": func(b []byte) io.Reader { return iotest.OneByteReader(bytes.NewReader(b)) },
			} {
				t.Run(name+", "+with+", "+by, func(t *testing.T) {
					s := wire.NewSession(&client{Reader: of(in)}, wire.Config{Rules: rules})
					got, err := io.ReadAll(s)
					if len(got) >= len(in) || !errors.Is(err, wire.ErrMalformed) {
						t.Errorf("%d bytes of %d passed on, %v; want not all of them, and %v", len(got), len(in), err, wire.ErrMalformed)
					}
				})
			}
		}
	}
}

func TestSession_bodiesOfAnyLengthPass(t *testing.T) {
	var in []byte
	for _, partitions := range []int{0, 1, 10, 200, 205, 210, 1000, 50_000} {
		in = append(in, request(1, 12, fetch(partitions))...)
		in = append(in, request(1, 7, fetch(partitions))...)
	}
	for with, rules := range map[string]*wire.Rules{"no rules": nil, "a rule": reading()} {
		t.Run(with, func(t *testing.T) {
			s := wire.NewSession(&client{Reader: bytes.NewReader(in)}, wire.Config{Rules: rules})
			got, err := io.ReadAll(s)
			noError(t, err)
			same(t, "requests", got, in)
		})
	}
}

func fetch(partitions int) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = "orders"
	for i := range partitions {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition = int32(i)
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	return req
}

package wire_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// unheardOf is a request of an API and version, and an answer, that nobody can decode.
func unheardOf(key kmsg.Key, version int16, correlation int32) (req, resp []byte) {
	req = slices.Concat(make([]byte, 8), binary.BigEndian.AppendUint32(nil, uint32(correlation)), []byte("\x00\x02me\x00later"))
	binary.BigEndian.PutUint32(req, uint32(len(req)-4))
	binary.BigEndian.PutUint16(req[4:], uint16(key))
	binary.BigEndian.PutUint16(req[6:], uint16(version))
	resp = slices.Concat(make([]byte, 4), binary.BigEndian.AppendUint32(nil, uint32(correlation)), []byte("\x00newer"))
	binary.BigEndian.PutUint32(resp, uint32(len(resp)-4))
	return req, resp
}

func TestRelays_whatIsNotKnownPasses(t *testing.T) {
	newer, newerAnswer := unheardOf(kmsg.Metadata, wire.Newest(kmsg.Metadata)+1, 1)
	other, otherAnswer := unheardOf(kmsg.MaxKey+100, 0, 3)
	requests := slices.Concat(newer, request(2, 4, heartbeat("g")), other, request(4, 4, heartbeat("g")))
	answers := slices.Concat(newerAnswer, answer(2, 4, heartbeatAnswer(0)), otherAnswer, answer(4, 4, heartbeatAnswer(0)))
	var seen []int32
	rules := new(wire.Rules)
	rules.Add(wire.Rule{
		Request: func(x *wire.Exchange) { seen = append(seen, x.CorrelationID) },
		Answer:  func(x *wire.Exchange) { seen = append(seen, x.CorrelationID) },
	})
	for _, piece := range []int{1, 7, len(answers)} {
		t.Run(fmt.Sprintf("%d bytes", piece), func(t *testing.T) {
			seen = nil
			c := &client{Reader: iotest.OneByteReader(bytes.NewReader(requests))}
			s := wire.NewSession(c, wire.Config{Rules: rules, Relays: true})
			got := make([]byte, len(requests))
			_, err := io.ReadFull(s, got)
			noError(t, err)
			same(t, "requests", got, requests)
			for b := range slices.Chunk(answers, piece) {
				_, err := s.Write(b)
				noError(t, err)
			}
			same(t, "answers", c.got.Bytes(), answers)
			if !slices.Equal(seen, []int32{2, 4, 2, 4}) {
				t.Errorf("rules saw %v", seen)
			}
		})
	}
	if _, err := io.ReadAll(wire.NewSession(&client{Reader: bytes.NewReader(newer)}, wire.Config{})); err == nil {
		t.Error("a broker that decodes it was given it")
	}
}

func TestRelays_aLongRequestPassesWhileItArrives(t *testing.T) {
	in := produceRecords(make([]byte, 3<<20))
	arrived := len(in) - 1
	s := wire.NewSession(&client{Reader: bytes.NewReader(in[:arrived])}, wire.Config{Relays: true})
	got := make([]byte, arrived)
	_, err := io.ReadFull(s, got)
	noError(t, err)
	same(t, "what has arrived", got, in[:arrived])
}

func TestNewest(t *testing.T) {
	for key, want := range map[kmsg.Key]int16{kmsg.Heartbeat: 4, kmsg.ControlledShutdown: -1, kmsg.MaxKey + 1: -1, -1: -1} {
		if got := wire.Newest(key); got != want {
			t.Errorf("%d: v%d, want v%d", key, got, want)
		}
	}
}

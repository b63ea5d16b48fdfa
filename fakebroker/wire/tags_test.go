package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// tagged is a request whose header has these bytes for its tags, and no client id.
func tagged(key kmsg.Key, version int16, tags []byte, body ...byte) []byte {
	b := []byte{0, 0, 0, 0, 0, byte(key), 0, byte(version), 0, 0, 0, 1, 0, 0}
	b = append(append(b, tags...), body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// A broker that believed the number of tags would count to it.
func TestSession_tagsThatAreNotThereEndIt(t *testing.T) {
	billions := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	for name, in := range map[string][]byte{
		"billions":                    tagged(kmsg.Produce, 9, billions),
		"billions, of another API":    tagged(kmsg.Metadata, 9, billions),
		"billions, of no version":     tagged(kmsg.Metadata, 99, billions),
		"billions, in a longer frame": tagged(kmsg.Fetch, 12, billions, make([]byte, 16<<10)...),
		"none announced":              tagged(kmsg.Metadata, 9, nil),
		"one too few":                 tagged(kmsg.Metadata, 9, []byte{2, 7, 1, 'a'}),
		"a size beyond the frame":     tagged(kmsg.Metadata, 9, []byte{1, 7, 100, 'a'}),
	} {
		for with, rules := range map[string]*wire.Rules{"no rules": nil, "a rule": reading()} {
			t.Run(name+", "+with, func(t *testing.T) {
				s := wire.NewSession(&client{Reader: bytes.NewReader(in)}, wire.Config{Rules: rules})
				got, err := io.ReadAll(s)
				if len(got) > 0 || !errors.Is(err, wire.ErrMalformed) {
					t.Errorf("%d bytes passed on, %v; want none and %v", len(got), err, wire.ErrMalformed)
				}
			})
		}
	}
}

func TestSession_tagsPass(t *testing.T) {
	long := append([]byte{2, 7, 1, 'a', 8, 0x80, 0x40}, make([]byte, 8<<10)...) // beyond what is looked at first
	for name, in := range map[string][]byte{
		"none":                        tagged(kmsg.Metadata, 9, []byte{0}, 0, 1, 0, 0, 0),
		"one":                         tagged(kmsg.Metadata, 9, []byte{1, 7, 1, 'a'}, 0, 1, 0, 0, 0),
		"long":                        tagged(kmsg.Metadata, 9, long, 0, 1, 0, 0, 0),
		"a version that has not them": tagged(kmsg.Metadata, 8, nil, 0xff, 0xff, 0xff, 0xff, 1, 0, 0),
	} {
		for with, rules := range map[string]*wire.Rules{"no rules": nil, "a rule": reading()} {
			t.Run(name+", "+with, func(t *testing.T) {
				s := wire.NewSession(&client{Reader: bytes.NewReader(in)}, wire.Config{Rules: rules})
				got, err := io.ReadAll(s)
				noError(t, err)
				same(t, "request", got, in)
			})
		}
	}
}

// reading is a rule that decodes requests.
func reading() *wire.Rules {
	rules := new(wire.Rules)
	rules.Add(wire.Rule{Request: func(x *wire.Exchange) { _, _ = x.Request() }})
	return rules
}

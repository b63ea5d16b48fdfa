package wire_test

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func TestKeys(t *testing.T) {
	some := wire.Keys(kmsg.Produce, kmsg.ShareFetch)
	for key, want := range map[kmsg.Key]bool{
		kmsg.Produce: true, kmsg.ShareFetch: true, kmsg.Fetch: false, kmsg.ShareAcknowledge: false,
		-1: false, 64: false, 128: false, 1000: false,
	} {
		if some.Has(key) != want {
			t.Errorf("API %d is in the set: %v, want %v", key, !want, want)
		}
	}
	both := wire.Keys(kmsg.Produce).Or(wire.Keys(kmsg.ShareFetch))
	if both != some {
		t.Errorf("%v or %v is %v", wire.Keys(kmsg.Produce), wire.Keys(kmsg.ShareFetch), both)
	}
	for _, every := range []wire.KeySet{{}, wire.Keys(), some.Or(wire.Keys()), wire.Keys().Or(some)} {
		if !every.Has(kmsg.Produce) || !every.Has(1000) {
			t.Error("no keys are not every API")
		}
	}
}

func TestRules_severalAddedAtOnceKeepTheirOrderAndGoTogether(t *testing.T) {
	var got []string
	rule := func(name string, keys ...kmsg.Key) wire.Rule {
		return wire.Rule{Name: name, Keys: wire.Keys(keys...), Request: func(*wire.Exchange) { got = append(got, name) }}
	}
	rules := new(wire.Rules)
	rules.Add(rule("first"))
	several := []wire.Rule{rule("second", kmsg.Heartbeat), rule("none", kmsg.Fetch), rule("third", kmsg.Fetch, kmsg.Heartbeat)}
	remove := rules.Add(several...)
	several[0] = wire.Rule{} // the list is the caller's
	rules.Add(rule("fourth"))
	ask := func() []string {
		got = nil
		in := request(1, 4, heartbeat("g"))
		s := wire.NewSession(&client{Reader: strings.NewReader(string(in))}, wire.Config{Rules: rules})
		_, err := io.ReadFull(s, make([]byte, len(in)))
		noError(t, err)
		return got
	}
	if want := []string{"first", "second", "third", "fourth"}; !slices.Equal(ask(), want) {
		t.Fatalf("%v, want %v", got, want)
	}
	remove()
	remove()
	if want := []string{"first", "fourth"}; !slices.Equal(ask(), want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

// The rules that one makes stand in its place, for the API that they are made for.
func TestRules_thoseThatAreMadeStandWhereTheirMakerDoes(t *testing.T) {
	var got []string
	rule := func(name string) wire.Rule {
		return wire.Rule{Name: name, Request: func(*wire.Exchange) { got = append(got, name) }}
	}
	made := []wire.Rule{rule("second"), rule("third")}
	var asked []kmsg.Key
	rules := new(wire.Rules)
	rules.Add(rule("first"),
		wire.Rule{Keys: wire.Keys(kmsg.Fetch), Make: func(kmsg.Key) []*wire.Rule { t.Error("made for another API"); return nil }},
		wire.Rule{Make: func(key kmsg.Key) []*wire.Rule {
			asked = append(asked, key)
			return []*wire.Rule{&made[0], &made[1]}
		}},
		rule("fourth"))
	for range 2 {
		got = nil
		in := request(1, 4, heartbeat("g"))
		s := wire.NewSession(&client{Reader: strings.NewReader(string(in))}, wire.Config{Rules: rules})
		_, err := io.ReadFull(s, make([]byte, len(in)))
		noError(t, err)
		if want := []string{"first", "second", "third", "fourth"}; !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	}
	if want := []kmsg.Key{kmsg.Heartbeat}; !slices.Equal(asked, want) {
		t.Fatalf("made for %v, want %v", asked, want)
	}
}

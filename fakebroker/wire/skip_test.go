package wire_test

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func TestRule_answersThatItSkipsPass(t *testing.T) {
	for name, c := range map[string]struct {
		rule   wire.Rule
		others wire.Rule
		piece  int // of the answer, 0 for all at once
		called int
	}{
		"not skipped":                        {wire.Rule{}, wire.Rule{}, 0, 1},
		"skipped":                            {wire.Rule{Skip: skip}, wire.Rule{}, 0, 0},
		"skipped, request not needed":        {wire.Rule{Skip: skip, AnswerOnly: true}, wire.Rule{AnswerOnly: true}, 0, 0},
		"changed by an earlier rule":         {wire.Rule{Skip: skip}, wire.Rule{Answer: func(x *wire.Exchange) { x.SetResponse(heartbeatAnswer(27)) }}, 0, 1},
		"kept by its bytes":                  {wire.Rule{Skip: keep}, wire.Rule{}, 0, 1},
		"skipped, in pieces":                 {wire.Rule{Skip: skip}, wire.Rule{}, 7, 0},
		"another rule wants it":              {wire.Rule{Skip: skip}, wire.Rule{Answer: func(*wire.Exchange) {}}, 0, 0},
		"another rule wants to see it later": {wire.Rule{Skip: skip}, wire.Rule{Sending: func(*wire.Exchange) {}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			called := 0
			c.rule.Answer = func(*wire.Exchange) { called++ }
			rules := new(wire.Rules)
			rules.Add(c.others)
			rules.Add(c.rule)
			in, out := request(1, 4, heartbeat("g")), answer(1, 4, heartbeatAnswer(27))
			cl := &client{Reader: bytes.NewReader(in)}
			s := wire.NewSession(cl, wire.Config{Rules: rules})
			got := make([]byte, len(in))
			_, err := io.ReadFull(s, got)
			noError(t, err)
			same(t, "request", got, in)
			if c.piece == 0 {
				c.piece = len(out)
			}
			for p := range slices.Chunk(out, c.piece) {
				_, err := s.Write(p)
				noError(t, err)
			}
			same(t, "answer", cl.got.Bytes(), out)
			if called != c.called {
				t.Fatalf("called %d times, want %d", called, c.called)
			}
		})
	}
}

func skip(h wire.Header, answer []byte) bool {
	return h.Key == kmsg.Heartbeat && bytes.Equal(answer, answerBytes())
}

func keep(wire.Header, []byte) bool { return false }

func answerBytes() []byte { return answer(1, 4, heartbeatAnswer(27))[4:] }

func TestRule_forAnswersOnlyHasNoRequest(t *testing.T) {
	rules := new(wire.Rules)
	var err error
	rules.Add(wire.Rule{AnswerOnly: true, Answer: func(x *wire.Exchange) { _, err = x.Request() }})
	in := request(1, 4, heartbeat("g"))
	s := wire.NewSession(&client{Reader: bytes.NewReader(in)}, wire.Config{Rules: rules})
	_, readErr := io.ReadFull(s, make([]byte, len(in)))
	noError(t, readErr)
	_, writeErr := s.Write(answer(1, 4, heartbeatAnswer(27)))
	noError(t, writeErr)
	if err == nil {
		t.Fatal("there is a request")
	}
}

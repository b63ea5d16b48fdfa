package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// client is the far end of a session: what it sends is there from the start,
// and what it is sent can be looked at.
type client struct {
	io.Reader
	got    bytes.Buffer
	closed bool
}

func (c *client) Write(p []byte) (int, error) {
	if c.closed {
		return 0, net.ErrClosed
	}
	return c.got.Write(p)
}

func (c *client) Close() error {
	c.closed = true
	return nil
}

func request(correlation int32, version int16, req kmsg.Request) []byte {
	req.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("me")).AppendRequest(nil, req, correlation)
}

func answer(correlation int32, version int16, resp kmsg.Response) []byte {
	resp.SetVersion(version)
	b := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(correlation))
	if resp.IsFlexible() && resp.Key() != kmsg.ApiVersions.Int16() {
		b = append(b, 0)
	}
	b = resp.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func heartbeat(group string) kmsg.Request {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Group = group
	return r
}

func produce(acks int16, version int16) kmsg.Request {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks = version, acks
	tx := "transaction"
	r.TransactionID = &tx
	return r
}

func heartbeatAnswer(code int16) kmsg.Response {
	r := kmsg.NewPtrHeartbeatResponse()
	r.ErrorCode = code
	return r
}

func produceAnswer() kmsg.Response { return kmsg.NewPtrProduceResponse() }

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// everything takes each frame apart and puts it together again.
func everything() *wire.Rules {
	rules := new(wire.Rules)
	rules.Add(wire.Rule{
		Request: func(x *wire.Exchange) {
			if r, err := x.Request(); err == nil {
				x.SetRequest(r)
			}
		},
		Answer: func(x *wire.Exchange) {
			if r, err := x.Response(); err == nil {
				x.SetResponse(r)
			}
		},
	})
	return rules
}

func TestSession_passesFramesUnchangedInPiecesOfAnySize(t *testing.T) {
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.ClientSoftwareName, versions.ClientSoftwareVersion = "x", "1"
	fallback := kmsg.NewPtrApiVersionsResponse()
	fallback.ErrorCode = kerr.UnsupportedVersion.Code
	requests := slices.Concat(
		request(1, 4, versions), // answered in version 0, KIP-511
		request(2, 4, heartbeat("g")),
		request(3, 9, produce(0, 9)), // not answered
		request(4, 3, produce(0, 3)), // not answered
		request(5, 9, produce(-1, 9)),
		request(5, 3, heartbeat("a correlation id that was used before")),
		request(6, 4, heartbeat(string(bytes.Repeat([]byte("long"), 5000)))),
	)
	answers := slices.Concat(
		answer(1, 0, fallback),
		answer(2, 4, heartbeatAnswer(27)),
		answer(5, 9, produceAnswer()),
		answer(5, 3, heartbeatAnswer(0)),
		answer(6, 4, heartbeatAnswer(25)),
	)
	for name, rules := range map[string]*wire.Rules{"nobody looks": nil, "everything is decoded": everything()} {
		for _, piece := range []int{1, 3, 8, 13, len(answers)} {
			t.Run(fmt.Sprintf("%s/%d bytes", name, piece), func(t *testing.T) {
				c := &client{Reader: iotest.OneByteReader(bytes.NewReader(requests))}
				s := wire.NewSession(c, wire.Config{Rules: rules})
				got := make([]byte, len(requests))
				_, err := io.ReadFull(s, got)
				noError(t, err)
				same(t, "requests", got, requests)
				for b := range slices.Chunk(answers, piece) {
					_, err := s.Write(b)
					noError(t, err)
				}
				same(t, "answers", c.got.Bytes(), answers)
			})
		}
	}
}

func TestSession_answersInOrderWhenARuleAnswersItself(t *testing.T) {
	rules := new(wire.Rules)
	rules.Add(wire.Rule{Keys: wire.Keys(kmsg.Heartbeat), Request: func(x *wire.Exchange) {
		x.Reply(heartbeatAnswer(16))
	}})
	passed := slices.Concat(request(1, 9, produce(1, 9)), request(3, 9, produce(1, 9)))
	c := &client{Reader: io.MultiReader(
		bytes.NewReader(passed[:len(passed)/2]), bytes.NewReader(request(2, 4, heartbeat("g"))), bytes.NewReader(passed[len(passed)/2:]))}
	s := wire.NewSession(c, wire.Config{Rules: rules})
	got := make([]byte, len(passed))
	_, err := io.ReadFull(s, got)
	noError(t, err)
	same(t, "the broker sees", got, passed)
	same(t, "answered before their turn", c.got.Bytes(), nil)
	_, err = s.Write(answer(1, 9, produceAnswer()))
	noError(t, err)
	_, err = s.Write(answer(3, 9, produceAnswer()))
	noError(t, err)
	same(t, "the client sees", c.got.Bytes(), slices.Concat(
		answer(1, 9, produceAnswer()), answer(2, 4, heartbeatAnswer(16)), answer(3, 9, produceAnswer())))
}

func TestSession_repeatsAnAnswer(t *testing.T) {
	var first []byte
	rules := new(wire.Rules)
	rules.Add(wire.Rule{
		Request: func(x *wire.Exchange) {
			if first != nil {
				x.Repeat(first)
			}
		},
		Answer: func(x *wire.Exchange) {
			if !x.Replied() {
				r, err := x.Response()
				noError(t, err)
				r.(*kmsg.HeartbeatResponse).ErrorCode++
				x.SetResponse(r)
				first = x.Answered()
			}
		},
	}, wire.Rule{Answer: func(x *wire.Exchange) {
		r, err := x.Response()
		noError(t, err)
		if code := r.(*kmsg.HeartbeatResponse).ErrorCode; code != 23 {
			t.Errorf("later rules see %d", code)
		}
	}})
	asked := request(1, 4, heartbeat("g"))
	c := &client{Reader: bytes.NewReader(slices.Concat(asked, request(2, 4, heartbeat("g")), request(3, 4, heartbeat("g"))))}
	s := wire.NewSession(c, wire.Config{Rules: rules})
	got := make([]byte, len(asked))
	_, err := io.ReadFull(s, got)
	noError(t, err)
	same(t, "the broker sees", got, asked)
	_, err = s.Write(answer(1, 4, heartbeatAnswer(22)))
	noError(t, err)
	_, err = s.Read(got)
	if !errors.Is(err, io.EOF) {
		t.Fatalf("the broker sees more: %v", err)
	}
	same(t, "the client sees", c.got.Bytes(), slices.Concat(
		answer(1, 4, heartbeatAnswer(23)), answer(2, 4, heartbeatAnswer(23)), answer(3, 4, heartbeatAnswer(23))))
}

func TestSession_translatesTheVersionARuleAsksIn(t *testing.T) {
	rules := new(wire.Rules)
	rules.Add(wire.Rule{Request: func(x *wire.Exchange) {
		r, err := x.Request()
		noError(t, err)
		r.SetVersion(4)
		x.SetRequest(r)
	}})
	want := request(7, 4, heartbeat("g"))
	c := &client{Reader: bytes.NewReader(request(7, 0, heartbeat("g")))}
	s := wire.NewSession(c, wire.Config{Rules: rules})
	got := make([]byte, len(want))
	_, err := io.ReadFull(s, got)
	noError(t, err)
	same(t, "the broker sees", got, want)
	_, err = s.Write(answer(7, 4, heartbeatAnswer(22)))
	noError(t, err)
	same(t, "the client sees", c.got.Bytes(), answer(7, 0, heartbeatAnswer(22)))
}

func TestSession_SASLTokensHaveNoHeader(t *testing.T) {
	frame := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	for mechanism, tokens := range map[string][][2]string{
		"PLAIN":         {{"\x00user\x00password", ""}},
		"SCRAM-SHA-256": {{"n,,n=user,r=x", "r=xy,s=z,i=4096"}, {"c=biws", "v="}},
	} {
		t.Run(mechanism, func(t *testing.T) {
			shake := kmsg.NewPtrSASLHandshakeRequest()
			shake.Mechanism = mechanism
			requests := [][]byte{request(1, 0, shake)}
			answers := [][]byte{answer(1, 0, kmsg.NewPtrSASLHandshakeResponse())}
			for _, tk := range tokens {
				requests = append(requests, frame(tk[0]))
				answers = append(answers, frame(tk[1]))
			}
			requests = append(requests, request(2, 4, heartbeat("g")))
			answers = append(answers, answer(2, 4, heartbeatAnswer(0)))
			for _, piece := range []int{1, 5, 1 << 10} {
				c := &client{Reader: bytes.NewReader(slices.Concat(requests...))}
				s := wire.NewSession(c, wire.Config{Rules: everything()})
				for i, want := range requests {
					got := make([]byte, len(want))
					_, err := io.ReadFull(s, got)
					noError(t, err)
					same(t, "request", got, want)
					for b := range slices.Chunk(answers[i], piece) {
						_, err := s.Write(b)
						noError(t, err)
					}
				}
				same(t, "answers", c.got.Bytes(), slices.Concat(answers...))
			}
		})
	}
}

func TestSession_malformedRequestsEndTheConnection(t *testing.T) {
	size := func(n int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	good := request(1, 4, heartbeat("g"))
	edit := func(at int, b ...byte) []byte {
		out := slices.Clone(good)
		copy(out[at:], b)
		return out
	}
	cases := map[string]struct {
		in   []byte
		want error
	}{
		"nothing":                {nil, io.EOF},
		"half a length":          {good[:2], io.ErrUnexpectedEOF},
		"half a request":         {good[:len(good)-3], io.ErrUnexpectedEOF},
		"a negative length":      {size(-1), wire.ErrMalformed},
		"a length too short":     {append(size(7), good[4:11]...), wire.ErrMalformed},
		"a length too long":      {size(1 << 30), wire.ErrMalformed},
		"an unknown API":         {edit(4, 0x7f, 0xff), wire.ErrMalformed},
		"a negative API":         {edit(4, 0xff, 0xff), wire.ErrMalformed},
		"a negative version":     {edit(6, 0x80, 0), wire.ErrMalformed},
		"a negative client id":   {edit(12, 0x80, 0), wire.ErrMalformed},
		"a client id too long":   {edit(12, 0x7f, 0), wire.ErrMalformed},
		"no room for a client":   {append(size(8), good[4:12]...), wire.ErrMalformed},
		"produce without acks":   {append(size(14), request(1, 9, produce(1, 9))[4:18]...), wire.ErrMalformed},
		"hypertext":              {[]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), wire.ErrMalformed},
		"a client hello of TLS":  {[]byte("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"), wire.ErrMalformed},
		"a good one and nothing": {good, io.EOF},
	}
	for name, c := range cases {
		for who, rules := range map[string]*wire.Rules{"nobody looks": nil, "everything is decoded": everything()} {
			t.Run(name+"/"+who, func(t *testing.T) {
				cl := &client{Reader: bytes.NewReader(c.in)}
				s := wire.NewSession(cl, wire.Config{Rules: rules})
				var err error
				for b := make([]byte, 100); err == nil; {
					_, err = s.Read(b)
				}
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if !cl.closed {
					t.Fatal("the connection is still open")
				}
			})
		}
	}
}

func TestSession_answersNobodyAskedForEndTheConnection(t *testing.T) {
	for name, c := range map[string]struct{ asked, answered []byte }{
		"none was asked":    {nil, answer(1, 4, heartbeatAnswer(0))},
		"another was asked": {request(2, 4, heartbeat("g")), answer(1, 4, heartbeatAnswer(0))},
		"too short":         {request(1, 4, heartbeat("g")), []byte{0, 0, 0, 2, 0, 0, 0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			cl := &client{Reader: bytes.NewReader(c.asked)}
			s := wire.NewSession(cl, wire.Config{})
			_, err := io.ReadFull(s, make([]byte, len(c.asked)))
			noError(t, err)
			if _, err := s.Write(c.answered); !errors.Is(err, wire.ErrMalformed) || !cl.closed {
				t.Fatalf("got %v, closed %v", err, cl.closed)
			}
		})
	}
}

func TestSession_delayAndCut(t *testing.T) {
	const late = time.Hour
	for name, c := range map[string]struct {
		rule           wire.Rule
		asked, heard   bool
		request, reply time.Duration // when each arrives
	}{
		"nothing":        {wire.Rule{}, true, true, 0, 0},
		"late request":   {wire.Rule{Request: func(x *wire.Exchange) { x.Delay(late) }}, true, true, late, late},
		"late answer":    {wire.Rule{Answer: func(x *wire.Exchange) { x.Delay(late) }}, true, true, 0, late},
		"cut the answer": {wire.Rule{Answer: (*wire.Exchange).Cut}, true, false, 0, 0},
		"cut it late":    {wire.Rule{Answer: func(x *wire.Exchange) { x.Delay(late); x.Cut() }}, true, false, 0, late},
		"cut":            {wire.Rule{Request: (*wire.Exchange).Cut}, false, false, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rules := new(wire.Rules)
				rules.Add(c.rule)
				in := request(1, 4, heartbeat("g"))
				cl := &client{Reader: bytes.NewReader(in)}
				s := wire.NewSession(cl, wire.Config{Rules: rules})
				start := time.Now()
				_, err := io.ReadFull(s, make([]byte, len(in)))
				if asked := err == nil; asked != c.asked || time.Since(start) != c.request {
					t.Fatalf("asked: %v after %v", err, time.Since(start))
				}
				if !c.asked {
					return
				}
				_, err = s.Write(answer(1, 4, heartbeatAnswer(0)))
				if heard := err == nil; heard != c.heard || time.Since(start) != c.reply {
					t.Fatalf("answered: %v after %v", err, time.Since(start))
				}
				if cl.closed == c.heard {
					t.Fatalf("closed: %v", cl.closed)
				}
			})
		})
	}
}

func TestSession_closeEndsADelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := new(wire.Rules)
		remove := rules.Add(wire.Rule{Answer: func(x *wire.Exchange) { x.Delay(time.Hour) }})
		in := request(1, 4, heartbeat("g"))
		s := wire.NewSession(&client{Reader: bytes.NewReader(in)}, wire.Config{Rules: rules})
		_, err := io.ReadFull(s, make([]byte, len(in)))
		noError(t, err)
		remove() // what was asked under the rule still goes by it
		start := time.Now()
		time.AfterFunc(time.Second, func() { _ = s.Close() })
		if _, err := s.Write(answer(1, 4, heartbeatAnswer(0))); err == nil || time.Since(start) != time.Second {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
	})
}

func FuzzSession(f *testing.F) {
	f.Add(request(1, 4, heartbeat("g")), answer(1, 4, heartbeatAnswer(0)))
	f.Add(request(1, 9, produce(0, 9)), []byte{0, 0, 0, 0})
	shake := kmsg.NewPtrSASLHandshakeRequest()
	f.Add(append(request(1, 0, shake), 0, 0, 0, 1, 'x'), answer(1, 0, kmsg.NewPtrSASLHandshakeResponse()))
	f.Add(request(1, 12, kmsg.NewPtrFetchRequest()), answer(1, 12, kmsg.NewPtrFetchResponse()))
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff}, []byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, requests, answers []byte) {
		for _, rules := range []*wire.Rules{nil, everything()} {
			synctest.Test(t, func(t *testing.T) {
				s := wire.NewSession(&client{Reader: bytes.NewReader(requests)}, wire.Config{Rules: rules, MaxFrame: 1 << 20})
				read := make(chan int, 1)
				go func() {
					n, _ := io.ReadFull(s, make([]byte, len(requests)))
					read <- n
				}()
				synctest.Wait() // it has read all, or waits for an answer
				_, _ = s.Write(answers)
				noError(t, s.Close())
				if n := <-read; rules == nil && n > len(requests) {
					t.Error("more came out than went in")
				}
			})
		}
	})
}

// endReader says that this is all together with the last bytes.
type endReader struct{ left []byte }

func (r *endReader) Read(p []byte) (n int, err error) {
	n = copy(p, r.left)
	if r.left = r.left[n:]; len(r.left) == 0 {
		err = io.EOF
	}
	return n, err
}

// What a connection brings together with its end is checked like the rest.
func TestSession_theLastBytesOfAConnectionAreLookedAt(t *testing.T) {
	good := produceRecords(make([]byte, 10_000))
	bad := slices.Clone(good)
	bad[len(bad)-1] = 9 // tags that are not there
	for name, in := range map[string][]byte{"good": good, "bad": bad} {
		rules := new(wire.Rules)
		rules.Add(wire.Rule{Answer: func(*wire.Exchange) {}, AnswerOnly: true})
		s := wire.NewSession(&client{Reader: &endReader{in}}, wire.Config{Rules: rules})
		_, err := io.ReadFull(s, make([]byte, 4))
		noError(t, err)
		got := make([]byte, len(in)-4)
		n, err := io.ReadFull(s, got)
		if name == "good" {
			noError(t, err)
			same(t, "what the broker has", got, good[4:])
		} else if !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("the broker has a request that is malformed: %d of %d bytes, %v", n, len(got), err)
		}
	}
}

func inBubble(t *testing.T, name string, f func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestSession_whatIsConfirmedIsToldOfBeforeABrokenRequestEndsTheConnection(t *testing.T) {
	for name, rest := range map[string][]byte{"half a request": request(2, 4, heartbeat("g"))[:9], "no request": {0, 0, 0, 1, 0}} {
		inBubble(t, name, func(t *testing.T) {
			rules := new(wire.Rules)
			told := false
			rules.Add(wire.Rule{
				Keys:    wire.Keys(kmsg.Produce),
				Request: func(x *wire.Exchange) { x.Confirm() },
				Answer:  func(*wire.Exchange) { told = true },
			})
			produced := request(1, 9, produce(0, 9))
			s := wire.NewSession(&client{Reader: bytes.NewReader(slices.Concat(produced, rest))}, wire.Config{Rules: rules})
			_, err := io.ReadFull(s, make([]byte, len(produced)))
			noError(t, err)
			ended := make(chan error)
			go func() {
				_, err := s.Read(make([]byte, 100))
				ended <- err
			}()
			synctest.Wait()
			select {
			case err := <-ended:
				t.Fatalf("the connection ends before the broker has answered: %v", err)
			default:
			}
			_, err = s.Write(answer(1, 9, produceAnswer()))
			noError(t, err)
			if err := <-ended; err == nil || !told {
				t.Errorf("told: %v, and the connection ends with %v", told, err)
			}
		})
	}
}

func TestSession_endsBehindWhatIsConfirmedWhenARuleSaysSo(t *testing.T) {
	rules := new(wire.Rules)
	told := false
	rules.Add(wire.Rule{
		Keys:    wire.Keys(kmsg.Produce),
		Request: func(x *wire.Exchange) { x.Confirm() },
		Answer:  (*wire.Exchange).Last,
	})
	rules.Add(wire.Rule{Answer: func(*wire.Exchange) { told = true }})
	produced := request(1, 9, produce(0, 9))
	s := wire.NewSession(&client{Reader: bytes.NewReader(produced)}, wire.Config{Rules: rules})
	_, err := io.ReadFull(s, make([]byte, len(produced)))
	noError(t, err)
	_, err = s.Write(answer(1, 9, produceAnswer()))
	if err == nil || !told {
		t.Errorf("the broker goes on with %v, and the later rule is told: %v", err, told)
	}
}

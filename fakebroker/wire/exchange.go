package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Exchange is one request and, once there is one, its answer. It belongs to the
// rule it was handed to until that rule's function returns, and so to one goroutine
// at a time.
type Exchange struct {
	Header

	session *Session
	rules   []*Rule

	frame []byte // the request; its length included, but for what was lent
	body  int    // where its body begins
	req   kmsg.Request
	sent  int16 // the version the broker was asked in
	dirty bool  // the request differs from frame

	answer    []byte // the answer, its length included
	resp      kmsg.Response
	respDirty bool // the answer differs from answer
	replied   bool // the answer is a rule's
	confirmed bool // the broker is asked for an answer all the same
	login     bool // the session's own, which the client does not see

	bare bool // a SASL token without a header, and so is its answer

	kept map[any]any // by rules, see Keep

	delay time.Duration
	cut   bool
	last  bool // the connection closes behind the answer
}

// Context ends when the connection does. Rules that wait for something wait for
// this too.
func (x *Exchange) Context() context.Context { return x.session.ctx }

// Memory is what rules remember about the connection, until it ends. Keys are of
// the rule's own type, as with a context. A client may send requests before earlier
// ones are answered, so what concerns one request alone is for [Exchange.Keep].
func (x *Exchange) Memory() *sync.Map { return &x.session.memory }

// Keep has [Exchange.Kept] find a value under a key, for the rules of this exchange
// alone, from its request to its answer. Keys are of the rule's own type, as with a
// context; a later value under the same key replaces the earlier one.
func (x *Exchange) Keep(key, value any) {
	if x.kept == nil {
		x.kept = make(map[any]any)
	}
	x.kept[key] = value
}

// Kept is what [Exchange.Keep] was given under a key, nil when it was given nothing.
func (x *Exchange) Kept(key any) any { return x.kept[key] }

// User is who the connection belongs to: whom [Door].Login named, or who a rule
// said has authenticated. It is false while nobody has, and where nobody asks.
func (x *Exchange) User() (name string, known bool) {
	if p := x.session.user.Load(); p != nil {
		return *p, true
	}
	return "", false
}

// Authenticated says who the client is, from the answer to its authentication on.
// Requests that it sent without waiting for that answer are read after it.
func (x *Exchange) Authenticated(user string) { x.session.user.Store(&user) }

// RemoteAddr is the client's address, nil when it is not known.
func (x *Exchange) RemoteAddr() net.Addr { return x.session.cfg.Remote }

// Request decodes the request, once. It is shared by all rules: change it only
// to hand it to [Exchange.SetRequest]. An error wraps [ErrMalformed]; the broker
// will refuse such a request by itself.
func (x *Exchange) Request() (kmsg.Request, error) {
	if x.req != nil {
		return x.req, nil
	}
	req, err := x.Original()
	if err != nil {
		return nil, err
	}
	x.req = req
	return req, nil
}

// Original decodes the request as the client sent it, whatever rules have made of
// it since. It is a new one at each call.
func (x *Exchange) Original() (kmsg.Request, error) {
	if x.frame == nil {
		return nil, errors.New("the request was not kept: the rule is one for answers only")
	}
	req := newRequest(x.Key)
	req.SetVersion(x.Version)
	r := kbin.Reader{Src: x.frame[x.body:]}
	if req.IsFlexible() {
		if skipTags(&r); !r.Ok() {
			return nil, fmt.Errorf("%w: %s v%d ends before its tags", ErrMalformed, x.Key.Name(), x.Version)
		}
	}
	if err := req.ReadFrom(r.Src); err != nil {
		return nil, fmt.Errorf("%w: %s v%d: %w", ErrMalformed, x.Key.Name(), x.Version, err)
	}
	return req, nil
}

// SetRequest has the broker asked this instead. It may be of another version of
// the same API: the answer is translated back to the version of the client.
func (x *Exchange) SetRequest(req kmsg.Request) {
	x.req, x.sent, x.dirty = req, req.GetVersion(), true
}

// Reply answers the request in the broker's place, in its turn after earlier
// answers. The broker never sees the request, later rules see the answer.
func (x *Exchange) Reply(resp kmsg.Response) {
	x.resp, x.respDirty, x.replied = resp, true, true
}

// Repeat is Reply with the answer to an earlier request, as [Exchange.Answered] had
// it: for questions that have one answer, and many who ask.
func (x *Exchange) Repeat(answer []byte) {
	x.answer = bytes.Clone(answer)
	binary.BigEndian.PutUint32(x.answer[frameSize:], uint32(x.CorrelationID))
	x.resp, x.respDirty, x.replied = nil, false, true
}

// Replied reports whether a rule answers in the broker's place.
func (x *Exchange) Replied() bool { return x.replied }

// Answered is the answer as the client would have it now, for [Exchange.Repeat] in
// exchanges of the same API and version. It is nil where there is none, or it
// cannot be encoded.
func (x *Exchange) Answered() []byte {
	frame, err := x.answerFrame()
	if err != nil || len(frame) < answerHead {
		return nil
	}
	return bytes.Clone(frame)
}

// Asked is the request's body as the client sent it, with the header's tags before
// it. It is not to be changed.
func (x *Exchange) Asked() []byte { return x.frame[x.body:] }

// Response decodes the answer, once; before there is one it is an error. It is
// shared by all rules: change it only to hand it to [Exchange.SetResponse].
func (x *Exchange) Response() (kmsg.Response, error) {
	if x.resp != nil {
		return x.resp, nil
	}
	if len(x.answer) < frameSize {
		return nil, fmt.Errorf("there is no answer to %s yet", x.Key.Name())
	}
	resp, err := decodeResponse(x.Key, x.sent, x.answer[frameSize:])
	if err != nil {
		return nil, err
	}
	x.resp = resp
	return resp, nil
}

// SetResponse has the client answered this instead.
func (x *Exchange) SetResponse(resp kmsg.Response) { x.resp, x.respDirty = resp, true }

// Delay holds the message back: from Request the request, so the broker acts
// late; from Answer the answer, so the broker has acted in time. Delays of
// several rules add up. Later messages of the same connection wait behind it,
// other connections do not.
func (x *Exchange) Delay(d time.Duration) { x.delay += max(d, 0) }

// Confirm has the broker answer a request that is silent (see [Header]), for the rules:
// it is asked with acks=1, and the client is still sent nothing. The connection
// stays open to the broker until it has answered, also when the client hangs up
// behind the request, unless an answer to an earlier one fails to reach the client.
// It is for Rule.Request, and does nothing for other requests.
func (x *Exchange) Confirm() {
	r, err := x.Request()
	if err != nil || !x.Silent {
		return
	}
	if req, ok := r.(*kmsg.ProduceRequest); ok {
		asked := *req
		asked.Acks = 1
		x.SetRequest(&asked)
		x.confirmed = true
	}
}

// Cut closes the connection in place of passing the message on: from Request
// the broker never acts, from Answer it has acted and nobody hears of it.
func (x *Exchange) Cut() { x.cut = true }

// run hands the exchange to the rules and waits out the delay they asked for.
func (x *Exchange) run(phase func(*Rule) func(*Exchange)) error {
	x.delay = 0
	for _, r := range x.rules {
		if f := phase(r); f != nil {
			f(x)
		}
		if x.cut {
			break
		}
	}
	if err := x.session.wait(x.delay); err != nil {
		return err
	}
	if x.cut {
		return errCut
	}
	return nil
}

// skipped reports whether no rule needs to see the answer, whose bytes after its
// length are given.
func (x *Exchange) skipped(answer []byte) bool {
	if x.login || x.sent != x.Version {
		return false
	}
	for _, r := range x.rules {
		if (r.Answer != nil || r.Sending != nil) && !r.skips(x, answer) {
			return false
		}
	}
	return true
}

// shown is the Answer of a rule that needs to see the answer.
func (x *Exchange) shown(r *Rule) func(*Exchange) {
	if x.sent == x.Version && !x.respDirty && len(x.answer) >= frameSize && r.skips(x, x.answer[frameSize:]) {
		return nil
	}
	return r.Answer
}

// requestFrame is the request as the broker shall have it, length included.
func (x *Exchange) requestFrame() []byte {
	if !x.dirty {
		return x.frame
	}
	dst := make([]byte, 0, len(x.frame)+64)
	dst = append(dst, x.frame[:x.body]...)
	binary.BigEndian.PutUint16(dst[frameSize+2:], uint16(x.sent))
	if x.req.IsFlexible() {
		dst = append(dst, 0)
	}
	dst = x.req.AppendTo(dst)
	binary.BigEndian.PutUint32(dst, uint32(len(dst)-frameSize))
	return dst
}

// answerFrame is the answer as the client shall have it, length included.
func (x *Exchange) answerFrame() ([]byte, error) {
	if x.bare {
		return x.bareToken()
	}
	if !x.respDirty && x.sent == x.Version {
		return x.answer, nil
	}
	resp, err := x.Response()
	if err != nil {
		return nil, err
	}
	if x.Key != kmsg.ApiVersions || x.replied {
		resp.SetVersion(x.Version) // ApiVersions may be answered in version 0
	}
	return appendResponse(make([]byte, 0, len(x.answer)+64), x.CorrelationID, resp), nil
}

// flexibleHeader reports whether an answer's header ends in tags. ApiVersions
// never has them, so that clients can read it whatever they speak (KIP-511).
func flexibleHeader(key kmsg.Key, resp kmsg.Response) bool {
	return resp.IsFlexible() && key != kmsg.ApiVersions
}

func appendResponse(dst []byte, correlation int32, resp kmsg.Response) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	if flexibleHeader(kmsg.Key(resp.Key()), resp) {
		dst = append(dst, 0)
	}
	dst = resp.AppendTo(dst)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-frameSize))
	return dst
}

// decodeResponse reads an answer without its length, asked for in a version. The
// bytes in what it returns are the frame's.
func decodeResponse(key kmsg.Key, version int16, frame []byte) (kmsg.Response, error) {
	const correlation = 4
	resp := newResponse(key)
	if resp == nil || len(frame) < correlation {
		return nil, fmt.Errorf("%w: answer to %s of %d bytes", ErrMalformed, key.Name(), len(frame))
	}
	b := frame[correlation:]
	if key == kmsg.ApiVersions && len(b) >= 2 && int16(binary.BigEndian.Uint16(b)) == kerr.UnsupportedVersion.Code {
		version = 0 // a broker that does not know the version answers in 0 (KIP-511)
	}
	resp.SetVersion(version)
	r := kbin.Reader{Src: b}
	if flexibleHeader(key, resp) {
		if skipTags(&r); !r.Ok() {
			return nil, fmt.Errorf("%w: answer to %s v%d ends before its tags", ErrMalformed, key.Name(), version)
		}
	}
	if err := resp.ReadFrom(r.Src); err != nil {
		return nil, fmt.Errorf("%w: answer to %s v%d: %w", ErrMalformed, key.Name(), version, err)
	}
	return resp, nil
}

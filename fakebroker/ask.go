package fakebroker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// inspector is the user and client id under which the broker asks the cluster.
const inspector = "fakebroker-inspector"

// Tags that requests carry inside the process, in the place that the protocol
// has for fields a reader does not know (KIP-482).
const (
	ownTag   uint32 = 1 << 24 // a request of the inspector: faults leave it alone
	faultTag uint32 = 1 << 25 // plus a fault's id: a request that the fault is for
)

// tags is where a request keeps the fields it does not know; nil for a request
// that has no such place.
func tags(req kmsg.Request) *kmsg.Tags {
	f := reflect.ValueOf(req).Elem().FieldByName("UnknownTags")
	if !f.IsValid() {
		return nil
	}
	t, _ := f.Addr().Interface().(*kmsg.Tags)
	return t
}

func tagged(req kmsg.Request, tag uint32) (yes bool) {
	if t := tags(req); t != nil {
		t.Each(func(k uint32, _ []byte) { yes = yes || k == tag })
	}
	return yes
}

// ask puts one question to a broker as the inspector: past all rules and faults,
// also while clients find it down.
func (b *Broker) ask(ctx context.Context, node int32, req kmsg.Request) (kmsg.Response, error) {
	b.noticeGroup(req)
	var resp kmsg.Response
	err := b.do(func() error {
		c, idle := b.askers.take(node)
		if !idle {
			var err error
			if c, err = b.dial(ctx, node, nil, inspector); err != nil {
				return err
			}
		}
		var err error
		if resp, err = c.ask(ctx, req); err != nil || ctx.Err() != nil { // which closes the connection
			c.close()
			return err
		}
		b.askers.put(node, c)
		return nil
	})
	return resp, err
}

// asker is a connection of the broker's own, as the inspector or another user.
type asker struct{ conn net.Conn }

// askers are the inspector's connections that nobody uses at present: a
// connection costs several times what a question does.
type askers struct {
	mu   sync.Mutex
	idle map[int32][]asker // by broker
}

func (as *askers) take(node int32) (c asker, ok bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	idle := as.idle[node]
	if len(idle) == 0 {
		return asker{}, false
	}
	last := len(idle) - 1
	c, as.idle[node] = idle[last], idle[:last]
	return c, true
}

func (as *askers) put(node int32, c asker) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if as.idle == nil {
		as.idle = make(map[int32][]asker)
	}
	as.idle[node] = append(as.idle[node], c)
}

// close closes them. None is in use, nor will be.
func (as *askers) close() {
	for _, idle := range as.idle {
		for _, c := range idle {
			c.close()
		}
	}
}

func (b *Broker) dial(ctx context.Context, node int32, remote net.Addr, user string) (asker, error) {
	conn, err := b.listeners[node].Dial(ctx, remote, nil)
	if err != nil {
		return asker{}, err
	}
	c := asker{conn}
	if b.password == "" {
		return c, nil
	}
	if err := c.authenticate(ctx, user, b.passwordOf(user)); err != nil {
		c.close()
		return asker{}, err
	}
	return c, nil
}

func (c asker) close() { _ = c.conn.Close() } // a pipe's end: closing cannot fail

// ask may be called with a client's request too, which stays what it is.
func (c asker) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return wire.Ask(ctx, c.conn, inspector, req)
}

func (c asker) authenticate(ctx context.Context, user, password string) error {
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Version, shake.Mechanism = 1, Plain
	if _, err := c.ask(ctx, shake); err != nil {
		return err
	}
	auth := kmsg.NewPtrSASLAuthenticateRequest()
	auth.Version = 2
	auth.SASLAuthBytes = []byte("\x00" + user + "\x00" + password)
	own(auth)
	resp, err := c.ask(ctx, auth)
	if err != nil {
		return err
	}
	if code := resp.(*kmsg.SASLAuthenticateResponse).ErrorCode; code != 0 {
		return fmt.Errorf("authenticating %s inside: %w", user, kerr.ErrorForCode(code))
	}
	return nil
}

// own marks a request as the inspector's and returns it.
func own[R kmsg.Request](req R) R {
	tags(req).Set(ownTag, []byte{1})
	return req
}

// tag marks a request on its way in. Only newer versions have room for a mark, so
// it may go on in another one; the answer comes back in the version that was
// asked in. SaslHandshake has no room in any, and some old requests mean something
// else in newer versions: those go on without a mark.
func tag(x *wire.Exchange, mark uint32) {
	req, err := x.Request()
	if err != nil {
		return // the broker will refuse it by itself
	}
	was := req.GetVersion()
	switch r := req.(type) {
	case *kmsg.MetadataRequest:
		if was == 0 && len(r.Topics) == 0 {
			r.Topics = nil // all, from version 1 on
		}
	case *kmsg.JoinGroupRequest:
		if was < 4 { // KIP-394 has members join twice
			return
		}
	case *kmsg.LeaveGroupRequest:
		if was < 3 { // KIP-345 has a list of members
			return
		}
	case *kmsg.ListOffsetsRequest:
		if was < 1 { // KIP-79 has one offset in place of a list
			return
		}
	}
	for v := was; !req.IsFlexible() && v < req.MaxVersion(); v++ {
		req.SetVersion(v + 1)
	}
	t := tags(req)
	if t == nil || !req.IsFlexible() {
		req.SetVersion(was)
		return
	}
	t.Set(mark, []byte{1})
	x.SetRequest(req)
}

// ownRules are of connections of the broker's own on which a client asks.
func ownRules() *wire.Rules {
	rules := new(wire.Rules)
	rules.Add(wire.Rule{Name: "requests of the broker's own", Request: func(x *wire.Exchange) { tag(x, ownTag) }})
	return rules
}

// retryable says that the leader moved between asking who it is and asking it.
func retryable(err error) bool {
	return errors.Is(err, kerr.NotLeaderForPartition) || errors.Is(err, kerr.FencedLeaderEpoch)
}

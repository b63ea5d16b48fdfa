package fakebroker

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// refusal answers requests with an error on their way to brokers elsewhere. Messages of
// all APIs call the same things the same (see package kmsg), so they are taken apart and
// put together by the names of their fields.
type refusal struct {
	scope     Scope
	code      int16
	topicByID func([16]byte) string
}

// changed says that a broker is asked, and its answer is changed.
type changed struct{}

// refuse has a broker asked what is left of a request without what is refused. It is
// asked everything where it has to act, where only it knows what else is to be answered,
// and where it would lose track of a session (KIP-227, KIP-932).
func (p *Proxy) refuse(f *Fault, err *kerr.Error, s Scope, of func(kmsg.Request) bool) (remove func()) {
	r := &refusal{s, err.Code, p.topicByID}
	return p.rules.Add(wire.Rule{
		Name:  f.name,
		Wants: p.wants(s),
		Request: func(x *wire.Exchange) {
			req, err := x.Request()
			if err != nil || x.Replied() || !of(req) || !p.inScope(x, s, false) {
				return
			}
			if onlyTells(req) || r.afterActing(req) {
				x.Keep(r, changed{})
				return
			}
			left, resp := clone(req), req.ResponseKind()
			some, all := r.takeAll(left, resp)
			switch _, inSession := left.(*kmsg.FetchRequest); {
			case !some:
				return
			case !all && (inSession || left.Key() == kmsg.ShareFetch.Int16()):
				x.Keep(r, changed{})
				return
			case !f.strike(s):
				return
			case all:
				x.Reply(resp)
			default:
				x.SetRequest(left)
				x.Keep(r, resp)
			}
			p.struckRequest(f, x)
		},
		Answer: func(x *wire.Exchange) {
			kept := x.Kept(r)
			if kept == nil {
				return
			}
			resp, err := x.Response()
			if err != nil {
				return
			}
			switch kept := kept.(type) {
			case kmsg.Response:
				merge(reflect.ValueOf(resp).Elem(), reflect.ValueOf(kept).Elem())
			case changed:
				if r.change(resp, false) == 0 || !f.strike(s) {
					return
				}
				r.change(resp, true)
				p.struckRequest(f, x)
			}
			x.SetResponse(resp)
		},
	})
}

// afterActing reports whether the error means that the broker has acted.
func (r *refusal) afterActing(req kmsg.Request) bool {
	_, produces := req.(*kmsg.ProduceRequest)
	return r.code == kerr.RequestTimedOut.Code || produces && r.code == kerr.NotEnoughReplicasAfterAppend.Code
}

// onlyTells reports whether an answer has more than a request names, and the request
// changes nothing.
func onlyTells(req kmsg.Request) bool {
	switch r := req.(type) {
	case *kmsg.MetadataRequest, *kmsg.DescribeTopicPartitionsRequest, *kmsg.FindCoordinatorRequest:
		return true
	case *kmsg.FetchRequest:
		return r.SessionEpoch > 0
	}
	return false
}

// subject is what a part of a message is about.
type subject struct {
	group, topic string
	partition    int32 // -1 when it is about no partition
}

// in is what a structure is about that is part of what n is about.
func (r *refusal) in(n subject, v reflect.Value) subject {
	for i := range v.NumField() {
		f := v.Field(i)
		switch v.Type().Field(i).Name {
		case "Topic", "TopicID":
			if name := topicName(f, r.topicByID); name != "" {
				n.topic = name
			}
		case "Partition":
			if f.Kind() == reflect.Int32 {
				n.partition = int32(f.Int())
			}
		case "Group", "GroupID", "Key":
			if f.Kind() == reflect.String {
				n.group = f.String()
			}
		}
	}
	return n
}

// has reports whether the scope has a part of a request that is in it.
func (r *refusal) has(n subject) bool {
	s := r.scope
	if s.Group != "" && n.group != "" && n.group != s.Group {
		return false
	}
	if n.topic == "" {
		return true
	}
	s.Group = ""
	var partitions []int32
	if n.partition >= 0 {
		partitions = append(partitions, n.partition)
	}
	return s.matches(names{topics: map[string][]int32{n.topic: partitions}})
}

// takeAll is take for whole messages. It reports whether some of the request was
// refused, and whether all of it was.
func (r *refusal) takeAll(req kmsg.Request, resp kmsg.Response) (some, all bool) {
	v := reflect.ValueOf(resp).Elem()
	taken, left := r.take(reflect.ValueOf(req).Elem(), v, subject{partition: -1})
	if taken+left == 0 {
		some = r.mark(v) // it is about one thing
		return some, some
	}
	return taken > 0, left == 0
}

// take moves what the scope has from a request to the answer that refuses it, and
// counts what is moved and what is left.
func (r *refusal) take(req, resp reflect.Value, about subject) (taken, left int) {
	for i := range resp.NumField() {
		asked, answers := askedFor(req, resp.Type().Field(i).Name), resp.Field(i)
		if !asked.IsValid() || answers.Kind() != reflect.Slice {
			continue
		}
		kept := reflect.MakeSlice(asked.Type(), 0, asked.Len())
		for j := range asked.Len() {
			one := asked.Index(j)
			answer := blank(answers.Type().Elem(), one)
			n := r.in(about, answer)
			t, l := 0, 0
			if one.Kind() == reflect.Struct {
				t, l = r.take(one, answer, n)
			}
			if t+l == 0 { // it is the smallest part
				if r.has(n) && r.mark(answer) {
					t = 1
				} else {
					l = 1
				}
			}
			if t > 0 {
				answers.Set(reflect.Append(answers, answer))
			}
			if l > 0 {
				kept = reflect.Append(kept, one)
			}
			taken, left = taken+t, left+l
		}
		asked.Set(kept)
	}
	return taken, left
}

// askedFor is the list of a request that a list of its answer is about, if there is one.
func askedFor(req reflect.Value, list string) reflect.Value {
	switch list {
	case "Topics":
		if v := req.FieldByName("TopicNames"); v.IsValid() && v.Len() > 0 {
			return v // before DeleteTopics v6
		}
	case "Groups", "Partitions", "Resources":
	default:
		return reflect.Value{}
	}
	v := req.FieldByName(list)
	if v.IsValid() && v.Kind() != reflect.Slice {
		return reflect.Value{}
	}
	return v
}

// mark puts the error on a structure, if it has a place for one.
func (r *refusal) mark(v reflect.Value) bool {
	code := v.FieldByName("ErrorCode")
	if code.IsValid() {
		code.SetInt(int64(r.code))
	}
	return code.IsValid()
}

// change has an answer refuse what the scope has, if it is to do so, and counts it.
func (r *refusal) change(resp kmsg.Response, do bool) int {
	v := reflect.ValueOf(resp).Elem()
	n := r.changeIn(v, subject{partition: -1}, do)
	if _, fetched := resp.(*kmsg.FetchResponse); n > 0 || fetched {
		return n
	}
	if do {
		r.mark(v)
	}
	return 1
}

func (r *refusal) changeIn(v reflect.Value, about subject, do bool) (n int) {
	for i := range v.NumField() {
		list := v.Field(i)
		if list.Kind() != reflect.Slice || list.Type().Elem().Kind() != reflect.Struct {
			continue
		}
		for j := range list.Len() {
			one := list.Index(j)
			at := r.in(about, one)
			if !one.FieldByName("ErrorCode").IsValid() {
				n += r.changeIn(one, at, do)
				continue
			}
			if !r.has(at) {
				continue
			}
			n++
			if do {
				refused := blank(one.Type(), one)
				r.mark(refused)
				one.Set(refused)
			}
		}
	}
	return n
}

// merge adds the parts of an answer to another one.
func merge(to, from reflect.Value) {
	for i := range from.NumField() {
		parts := from.Field(i)
		if parts.Kind() != reflect.Slice || parts.Type().Elem().Kind() != reflect.Struct {
			continue
		}
		for j := range parts.Len() {
			part, list := parts.Index(j), to.Field(i)
			if same := find(list, part); same.IsValid() && part.FieldByName("Partitions").IsValid() {
				merge(same, part)
				continue
			}
			list.Set(reflect.Append(list, part))
		}
	}
}

// find is the part of a list that is about the same as another one.
func find(list, part reflect.Value) reflect.Value {
	for i := range list.Len() {
		if reflect.DeepEqual(blank(part.Type(), list.Index(i)).Interface(), blank(part.Type(), part).Interface()) {
			return list.Index(i)
		}
	}
	return reflect.Value{}
}

// about are the fields that say what a structure is about.
var about = []string{"Topic", "TopicID", "Partition", "Group", "Key", "ResourceType", "ResourceName"}

// blank is a structure that is about the same as another one, or as a name or number.
func blank(of reflect.Type, like reflect.Value) reflect.Value {
	p := reflect.New(of)
	p.Interface().(interface{ Default() }).Default()
	v := p.Elem()
	for _, name := range about {
		f := v.FieldByName(name)
		switch {
		case !f.IsValid():
		case like.Kind() == reflect.Struct:
			if l := like.FieldByName(name); l.IsValid() && l.Type() == f.Type() {
				f.Set(l)
			} else if l.IsValid() && f.Kind() == reflect.Pointer && l.Type() == f.Type().Elem() {
				f.Set(l.Addr())
			}
		case f.Type() == like.Type():
			f.Set(like)
		case f.Kind() == reflect.Pointer && f.Type().Elem() == like.Type():
			f.Set(like.Addr())
		}
	}
	return v
}

// clone is a request that can be changed.
func clone(req kmsg.Request) kmsg.Request {
	c := kmsg.RequestForKey(req.Key())
	c.SetVersion(req.GetVersion())
	_ = c.ReadFrom(req.AppendTo(nil)) // it was read before
	return c
}

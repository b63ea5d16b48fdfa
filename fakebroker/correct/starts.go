package correct

import (
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// What rules skip requests by: how a body begins, read without decoding it. That
// the tags in front are there is certain, wire has read past them.

// producedByID is the first version of Produce that names topics by their ids.
const producedByID = 13

// produceStart is how a Produce request begins.
type produceStart struct {
	transactional bool
	topics        int32
	name, id      []byte // of the first topic; which of them depends on the version
	first         bool   // the first topic could be read
	ok            bool   // what comes before it could be read
}

func startOfProduce(h wire.Header, body []byte) (s produceStart) {
	const firstTransactional, firstFlexible = 3, 9
	r := kbin.Reader{Src: body}
	flexible := h.Version >= firstFlexible
	switch {
	case flexible:
		kmsg.SkipTags(&r)
		s.transactional = r.CompactNullableString() != nil
	case h.Version >= firstTransactional:
		s.transactional = r.NullableString() != nil
	}
	r.Int16() // acks
	r.Int32() // timeout
	if flexible {
		s.topics = r.CompactArrayLen()
	} else {
		s.topics = r.ArrayLen()
	}
	s.ok = r.Ok()
	switch {
	case h.Version >= producedByID:
		s.id = r.Span(len([16]byte{}))
	case flexible:
		s.name = r.Span(int(r.Uvarint()) - 1)
	default:
		s.name = r.Span(int(r.Int16()))
	}
	s.first = r.Ok()
	return s
}

// fetchStart is how a Fetch request begins.
type fetchStart struct {
	epoch  int32 // of the session (KIP-227), -1 where there are none
	topics int32
	ok     bool        // it could be read
	rest   kbin.Reader // from the first topic on
}

func startOfFetch(h wire.Header, body []byte) fetchStart {
	const withMaxBytes, withIsolation, withSessions, firstFlexible, withoutReplica = 3, 4, 7, 12, 15
	s := fetchStart{epoch: -1, rest: kbin.Reader{Src: body}}
	r := &s.rest
	flexible := h.Version >= firstFlexible
	if flexible {
		kmsg.SkipTags(r)
	}
	if h.Version < withoutReplica {
		r.Int32() // replica id
	}
	r.Int32() // wait
	r.Int32() // at least so many bytes
	if h.Version >= withMaxBytes {
		r.Int32()
	}
	if h.Version >= withIsolation {
		r.Int8()
	}
	if h.Version >= withSessions {
		r.Int32() // session id
		s.epoch = r.Int32()
	}
	if flexible {
		s.topics = r.CompactArrayLen()
	} else {
		s.topics = r.ArrayLen()
	}
	s.ok = r.Ok()
	return s
}

package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Header is what every request says before its body, request header v1 and v2
// of the protocol, and the broker it was sent to.
type Header struct {
	Node          int32    // the broker's node id
	Listener      int      // by which of the broker's doors the client came in, from 0
	Key           kmsg.Key // the API
	Version       int16    // the API's version, as the client speaks it
	CorrelationID int32    // repeated by the answer
	ClientID      string   // empty when null
	Silent        bool     // the client is sent no answer: a produce request with acks=0
}

// KeySet is a set of APIs. The zero value is every API.
type KeySet struct {
	some bool
	bits [2]uint64
}

// Keys are some APIs. No keys means every API.
func Keys(keys ...kmsg.Key) (s KeySet) {
	s.some = len(keys) > 0
	for _, k := range keys {
		if k >= 0 && int(k) < 64*len(s.bits) {
			s.bits[k/64] |= 1 << (k % 64)
		}
	}
	return s
}

// Has reports whether an API is in the set.
func (s KeySet) Has(k kmsg.Key) bool {
	return !s.some || k >= 0 && int(k) < 64*len(s.bits) && s.bits[k/64]&(1<<(k%64)) != 0
}

// Or is the set of the APIs in one of the two.
func (s KeySet) Or(other KeySet) KeySet {
	s.some = s.some && other.some
	for i := range s.bits {
		s.bits[i] |= other.bits[i]
	}
	return s
}

// ErrMalformed is wrapped by the errors of connections that were closed because
// a frame did not follow the protocol.
var ErrMalformed = errors.New("malformed frame")

const (
	frameSize     = 4 // the length that precedes every frame
	minHeader     = 8 // key, version, correlation id
	clientIDStart = 10
)

// errShort says that the bytes at hand end before the header does.
var errShort = errors.New("frame is longer than what was read of it")

// parseRequest reads as much as a session needs to know of a request: what
// parseHeader returns, that the header's tags are there, and whether the request
// is silent.
func parseRequest(b []byte, known string) (h Header, body int, err error) {
	if h, body, err = parseHeader(b, known); err != nil {
		return h, 0, err
	}
	if err = checkTags(h, b[body:]); err != nil {
		return h, 0, err
	}
	h.Silent, err = isSilent(h, b[body:])
	return h, body, err
}

// parseHeader reads the header at the start of b, which is a frame without its
// length or the first part of one, and returns where the body begins: before
// the tags of flexible versions. known is the client id last seen on the
// connection, reused so that a client id costs an allocation once.
func parseHeader(b []byte, known string) (h Header, body int, err error) {
	if len(b) < minHeader {
		return h, 0, errShort
	}
	h.Key = kmsg.Key(binary.BigEndian.Uint16(b))
	h.Version = int16(binary.BigEndian.Uint16(b[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(b[4:]))
	if h.Key < 0 || h.Version < 0 || unknown(h.Key) {
		return h, 0, fmt.Errorf("%w: no such request, key %d version %d", ErrMalformed, h.Key, h.Version)
	}
	if h.Key == kmsg.ControlledShutdown && h.Version == 0 {
		return h, minHeader, nil // header v0 has no client id
	}
	if len(b) < clientIDStart {
		return h, 0, errShort
	}
	n := int(int16(binary.BigEndian.Uint16(b[minHeader:])))
	switch {
	case n < -1:
		return h, 0, fmt.Errorf("%w: client id of %d bytes", ErrMalformed, n)
	case n < 0:
		return h, clientIDStart, nil
	case len(b) < clientIDStart+n:
		return h, 0, errShort
	}
	body = clientIDStart + n
	if id := b[clientIDStart:body]; string(id) == known {
		h.ClientID = known
	} else {
		h.ClientID = string(id)
	}
	return h, body, nil
}

// firstFlexible is the first version of each API whose requests have tags at the
// end of the header (KIP-482); of the others, one that no request reaches.
var firstFlexible = func() (first [kmsg.MaxKey + 1]int16) {
	for k := range first {
		first[k] = math.MaxInt16
		req := newRequest(kmsg.Key(k))
		if req == nil {
			continue
		}
		for v := range req.MaxVersion() + 1 {
			if req.SetVersion(v); req.IsFlexible() {
				first[k] = v
				break
			}
		}
	}
	return first
}()

// checkTags reads the tags at the start of b, which begins where a request's body
// does, if a request of the kind has any: whoever decodes it afterwards counts them
// without a look at whether they are there. The error is errShort when b ends before
// they do.
func checkTags(h Header, b []byte) error {
	if h.Version < firstFlexible[h.Key] {
		return nil
	}
	r := kbin.Reader{Src: b}
	if skipTags(&r); !r.Ok() {
		return errShort
	}
	return nil
}

// skipTags reads past tags. Unlike [kmsg.SkipTags] it stops where the bytes end,
// whatever number of tags was announced; r is not ok then.
func skipTags(r *kbin.Reader) {
	for n := r.Uvarint(); n > 0 && r.Ok(); n-- {
		r.Uvarint() // key
		r.Span(int(r.Uvarint()))
	}
}

// isSilent reports whether a request is not answered at all: a produce request with
// acks=0. b starts at the body and may be its first part only.
func isSilent(h Header, b []byte) (bool, error) {
	if h.Key != kmsg.Produce {
		return false, nil
	}
	r := kbin.Reader{Src: b}
	const firstTransactional = 3
	switch {
	case h.Version >= firstFlexible[kmsg.Produce]:
		skipTags(&r)
		r.CompactNullableString()
	case h.Version >= firstTransactional:
		r.NullableString()
	}
	acks := r.Int16()
	if r.Complete() != nil {
		return false, errShort
	}
	return acks == 0, nil
}

// unknown reports whether there is no such API, without making a request to see.
func unknown(k kmsg.Key) bool { return kmsg.NameForKey(k.Int16()) == "Unknown" }

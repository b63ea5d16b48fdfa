package wire

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire/shape"
)

// kind is a request and an answer of an API: each can make the other one. What
// they make lacks the protocol's defaults, which reading fills in.
type kind struct {
	request  kmsg.Request // nil when there is no such API
	response kmsg.Response
}

// kinds are those of all APIs, by key. The functions of package kmsg that make a
// message by its key need more stack than all else that a connection does.
var kinds = func() (all [kmsg.MaxKey + 1]kind) {
	for k := range all {
		all[k] = kind{kmsg.RequestForKey(int16(k)), kmsg.ResponseForKey(int16(k))}
	}
	return all
}()

// newest are the versions of [Newest], by key.
var newest = func() (all [kmsg.MaxKey + 1]int16) {
	for k := range all {
		all[k] = -1
		if kinds[k].request == nil {
			continue
		}
		all[k] = kinds[k].request.MaxVersion()
		for all[k] >= 0 && new(shape.Walk).Start(kmsg.Key(k), all[k], 0) != nil {
			all[k]--
		}
	}
	return all
}()

// Newest is the last version of an API in which requests and answers can be decoded
// here, and -1 where none can.
func Newest(key kmsg.Key) int16 {
	if key < 0 || int(key) >= len(newest) {
		return -1
	}
	return newest[key]
}

// known reports whether a request, whose header b begins with, can be decoded. Of
// ApiVersions any version can, because all are answered (KIP-511).
func known(b []byte) bool {
	key, version := kmsg.Key(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:]))
	return key == kmsg.ApiVersions || version <= Newest(key)
}

func kindOf(key kmsg.Key) kind {
	if key < 0 || int(key) >= len(kinds) {
		return kind{}
	}
	return kinds[key]
}

// newRequest makes a request to read into, nil when there is no such API.
func newRequest(key kmsg.Key) kmsg.Request {
	k := kindOf(key)
	if k.request == nil {
		return nil
	}
	return k.response.RequestKind()
}

// newResponse makes an answer to read into, nil when there is no such API.
func newResponse(key kmsg.Key) kmsg.Response {
	k := kindOf(key)
	if k.request == nil {
		return nil
	}
	return k.request.ResponseKind()
}

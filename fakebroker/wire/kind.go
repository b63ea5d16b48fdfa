package wire

import "github.com/twmb/franz-go/pkg/kmsg"

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

package correct

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// kept is the key of what a correction keeps of a request until its answer comes.
type kept struct{ rule string }

// keep has recall find v when the same exchange is answered.
func keep(x *wire.Exchange, rule string, v any) { x.Keep(kept{rule}, v) }

// recall returns what was kept.
func recall[V any](x *wire.Exchange, rule string) (v V, ok bool) {
	v, ok = x.Kept(kept{rule}).(V)
	return v, ok
}

// completed is an Answer that has what was kept under a rule's name, and is not
// called when nothing was. It always changes the answer.
func completed[V any, Resp kmsg.Response](rule string, change func(x *wire.Exchange, kept V, resp Resp)) func(*wire.Exchange) {
	return func(x *wire.Exchange) {
		v, ok := recall[V](x, rule)
		if !ok {
			return
		}
		amended(func(x *wire.Exchange, resp Resp) bool {
			change(x, v, resp)
			return true
		})(x)
	}
}

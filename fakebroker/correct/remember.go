package correct

import "example.com/kafkatest/fakebroker/wire"

// kept is the key of what a correction keeps of a request until its answer comes.
type kept struct{ rule string }

// keep has recall find v when the same exchange is answered.
func keep(x *wire.Exchange, rule string, v any) { x.Keep(kept{rule}, v) }

// recall returns what was kept.
func recall[V any](x *wire.Exchange, rule string) (v V, ok bool) {
	v, ok = x.Kept(kept{rule}).(V)
	return v, ok
}

package correct

import "example.com/kafkatest/fakebroker/wire"

// kept is the key of what a correction keeps of a request until its answer comes.
type kept struct {
	rule        string
	correlation int32
}

// keep has recall find v when the same exchange is answered. What is not recalled
// goes with the connection.
func keep(x *wire.Exchange, rule string, v any) {
	x.Memory().Store(kept{rule, x.CorrelationID}, v)
}

// recall returns what was kept, once.
func recall[V any](x *wire.Exchange, rule string) (v V, ok bool) {
	got, found := x.Memory().LoadAndDelete(kept{rule, x.CorrelationID})
	if found {
		v, ok = got.(V)
	}
	return v, ok
}

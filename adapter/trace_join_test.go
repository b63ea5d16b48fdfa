package adapter_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
)

// Each function of a trace, so that none is forgotten when one is added.
func TestJoinTraces_tellsAllInOrder(t *testing.T) {
	fields := reflect.TypeFor[adapter.Trace]()
	for i := range fields.NumField() {
		field := fields.Field(i)
		t.Run(field.Name, func(t *testing.T) {
			var told []string
			trace := func(name string) *adapter.Trace {
				tr := &adapter.Trace{}
				reflect.ValueOf(tr).Elem().Field(i).Set(reflect.MakeFunc(field.Type, func(args []reflect.Value) []reflect.Value {
					told = append(told, name)
					if field.Type.NumOut() == 1 {
						return args[:1]
					}
					return nil
				}))
				return tr
			}
			call := func(tr *adapter.Trace) {
				f := reflect.ValueOf(tr).Elem().Field(i)
				require.False(t, f.IsNil(), "%s is left out", field.Name)
				var args []reflect.Value
				for j := range field.Type.NumIn() {
					args = append(args, reflect.Zero(field.Type.In(j)))
				}
				f.Call(args)
			}
			call(adapter.JoinTraces(trace("one"), nil, trace("two"), &adapter.Trace{}, trace("three")))
			assert.Equal(t, []string{"one", "two", "three"}, told)
		})
	}
}

func TestJoinTraces_handsTheContextOn(t *testing.T) {
	type key struct{}
	add := func(s string) *adapter.Trace {
		return &adapter.Trace{Delivered: func(ctx context.Context, _ *adapter.Message) context.Context {
			before, _ := ctx.Value(key{}).(string)
			return context.WithValue(ctx, key{}, before+s)
		}}
	}
	ctx := adapter.JoinTraces(add("a"), add("b")).Delivered(t.Context(), nil)
	assert.Equal(t, "ab", ctx.Value(key{}))
}

func TestJoinTraces_ofNothingTellsNobody(t *testing.T) {
	assert.Equal(t, &adapter.Trace{}, adapter.JoinTraces())
	assert.Equal(t, &adapter.Trace{}, adapter.JoinTraces(nil, nil))
}

package adapter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
)

func TestResult(t *testing.T) {
	err := errors.New("no")
	for _, c := range []struct {
		result      adapter.Result
		typ         adapter.ResultType
		err         error
		delay       time.Duration
		unavailable bool
		text        string
	}{
		{adapter.Commit(), adapter.ResultCommit, nil, 0, false, "commit"},
		{adapter.Retry(err), adapter.ResultRetry, err, 0, false, "retry: no"},
		{adapter.RetryAfter(err, time.Minute), adapter.ResultRetry, err, time.Minute, false, "retry after 1m0s: no"},
		{adapter.RetryAfter(err, -1), adapter.ResultRetry, err, 1, false, "retry after 1ns: no"},
		{adapter.Unavailable(err), adapter.ResultRetry, err, 0, true, "unavailable: no"},
		{adapter.Reject(err), adapter.ResultReject, err, 0, false, "reject: no"},
		{adapter.Result{}, adapter.ResultReject, adapter.ErrNoResult, 0, false, "reject: " + adapter.ErrNoResult.Error()},
	} {
		assert.Equal(t, c.typ, c.result.Type(), c.text)
		assert.Equal(t, c.err, c.result.Err(), c.text)
		assert.Equal(t, c.delay, c.result.Delay(), c.text)
		assert.Equal(t, c.unavailable, c.result.Unavailable(), c.text)
		assert.Equal(t, c.text, c.result.String())
	}
}

func TestParseResultType(t *testing.T) {
	for _, want := range adapter.ResultTypes() {
		got, err := adapter.ParseResultType(string(want))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := adapter.ParseResultType("Commit")
	assert.EqualError(t, err, `unknown result type "Commit": want one of commit, retry, reject`)
}

func TestJSON_rejectsWhatDoesNotDecode(t *testing.T) {
	type order struct{ Amount int }
	h := adapter.JSON(func(_ context.Context, o order, _ *adapter.Message) adapter.Result {
		assert.Equal(t, 3, o.Amount)
		return adapter.Commit()
	})
	assert.Equal(t, adapter.Commit(), h.Handle(t.Context(), &adapter.Message{Value: []byte(`{"Amount":3,"more":1}`)}))
	for _, value := range [][]byte{nil, {}, []byte("{"), []byte(`{"Amount":"3"}`)} {
		r := h.Handle(t.Context(), &adapter.Message{Value: value})
		assert.Equal(t, adapter.ResultReject, r.Type(), "%q", value)
		var decode *adapter.DecodeError
		require.ErrorAs(t, r.Err(), &decode)
		require.ErrorIs(t, r.Err(), adapter.ErrDecode)
		assert.Equal(t, "adapter_test.order", decode.Type)
	}
}

func TestMessage_headerIsTheLastOfItsKey(t *testing.T) {
	m := &adapter.Message{Headers: []adapter.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "b"}}}
	v, ok := m.Header("a")
	assert.True(t, ok)
	assert.Equal(t, "2", string(v))
	v, ok = m.Header("b")
	assert.True(t, ok)
	assert.Nil(t, v)
	_, ok = m.Header("c")
	assert.False(t, ok)
}

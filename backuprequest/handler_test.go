package backuprequest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
)

// receiver answers with what it holds, and keeps what it was asked.
type receiver struct {
	receipt backuprequest.Receipt
	err     error
	asked   []backuprequest.AcceptedObject
}

func (r *receiver) Receive(_ context.Context, accepted backuprequest.AcceptedObject) (backuprequest.Receipt, error) {
	r.asked = append(r.asked, accepted)
	return r.receipt, r.err
}

func message(value string) *adapter.Message {
	m := &adapter.Message{
		Topic: backuprequest.TopicBackupRequestAccepted, Partition: 2, Offset: 40,
		Key: []byte("request-1"), Group: "backup", Attempt: 3,
	}
	if value != "" {
		m.Value = []byte(value)
	}
	return m
}

type line map[string]any

// handle runs a handler with that use case, and returns its log line by line.
func handle(t *testing.T, r backuprequest.Receiver, value string) (adapter.Result, []line) {
	t.Helper()
	var out bytes.Buffer
	h := backuprequest.NewAcceptedHandler(r, slog.New(slog.NewJSONHandler(&out, nil)))
	result := h.Handle(t.Context(), message(value))
	var lines []line
	for text := range strings.Lines(out.String()) {
		var l line
		require.NoError(t, json.Unmarshal([]byte(text), &l))
		assert.Equal(t, "backup-request-accepted", l["topic"])
		assert.EqualValues(t, 2, l["partition"])
		assert.EqualValues(t, 40, l["offset"])
		assert.Equal(t, "backup", l["group"])
		assert.EqualValues(t, 3, l["attempt"])
		lines = append(lines, l)
	}
	return result, lines
}

func TestHandler_decidesByTheUseCasesError(t *testing.T) {
	dependency := func(name string, err error) error {
		return &backuprequest.DependencyError{Dependency: name, Op: "do something", Err: err}
	}
	for _, test := range []struct {
		name  string
		err   error
		want  string
		level string
	}{
		{"no error", nil, "commit", "INFO"},
		{"bad input", backuprequest.InvalidErrors{{Field: "f", Problem: "p"}}, "reject", "ERROR"},
		{"database locked", dependency("repository", fmt.Errorf("%w: locked", backuprequest.ErrUnavailable)), "unavailable", "WARN"},
		{"broker not reached", dependency("publisher", &adapter.PublishError{Err: &adapter.NotConnectedError{}}), "unavailable", "WARN"},
		{"broker does not answer", dependency("publisher", &adapter.PublishError{Err: &adapter.TimeoutError{}}), "unavailable", "WARN"},
		{"out of time", context.DeadlineExceeded, "unavailable", "WARN"},
		{"partition taken away", context.Canceled, "unavailable", "WARN"},
		{"database damaged", dependency("repository", errors.New("malformed")), "retry", "WARN"},
		{"repository calls the request bad", dependency("repository", backuprequest.ErrInvalid), "retry", "WARN"},
		{"not authorized to publish", dependency("publisher", &adapter.PublishError{Err: &adapter.RefusedError{Code: 29, Err: errors.New("not authorized")}}), "retry", "WARN"},
		{"too large to publish", dependency("publisher", &adapter.PublishError{Err: &adapter.TooLargeError{Err: errors.New("too large")}}), "retry", "WARN"},
		{"not understood", errors.New("not understood"), "retry", "WARN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &receiver{err: test.err, receipt: backuprequest.Receipt{New: true}}
			result, lines := handle(t, r, acceptedJSON)

			decision, _, _ := strings.Cut(result.String(), ":")
			assert.Equal(t, test.want, decision)
			assert.Equal(t, test.err, result.Err())
			assert.Equal(t, []backuprequest.AcceptedObject{acceptedObject()}, r.asked)
			require.Len(t, lines, 1)
			assert.Equal(t, test.level, lines[0]["level"])
			assert.Equal(t, "request-1", lines[0]["backupRequestId"])
			if test.err != nil {
				assert.Equal(t, test.err.Error(), lines[0]["error"])
			} else {
				assert.Equal(t, true, lines[0]["new"])
			}
		})
	}
}

func TestHandler_rejectsWhatDoesNotDecode(t *testing.T) {
	for name, value := range map[string]string{
		"tombstone":      "",
		"not JSON":       "backup!",
		"cut short":      acceptedJSON[:40],
		"something on":   acceptedJSON + "x",
		"an array":       "[]",
		"a string":       `"request-1"`,
		"a wrong type":   `{"backupRequestId":7}`,
		"a wrong type 2": `{"backupJobId":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := &receiver{}
			result, lines := handle(t, r, value)
			assert.Equal(t, adapter.ResultReject, result.Type())
			require.ErrorIs(t, result.Err(), adapter.ErrDecode)
			assert.Empty(t, r.asked)
			require.Len(t, lines, 1)
			assert.Equal(t, "ERROR", lines[0]["level"])
			assert.NotContains(t, lines[0], "backupRequestId")
		})
	}
}

func TestHandler_rejectsBadInputAndNamesEveryField(t *testing.T) {
	repo := &repository{}
	p := &publisher{}
	receive := backuprequest.NewReceiveBackupRequest(repo, p)
	for name, test := range map[string]struct {
		value string
		parts []string
	}{
		"null":                    {"null", []string{"backupRequestId: is empty", "requesterId: is empty"}},
		"empty object":            {"{}", []string{"backupRequestId: is empty", "requesterId: is empty"}},
		"two fields":              {strings.NewReplacer("2026-02-28", "2026-02-30", "job of request-1", `a\u0000b`).Replace(acceptedJSON), []string{"dataDate: ", "backupJobId: "}},
		"an id that breaks lines": {strings.Replace(acceptedJSON, `"request-1"`, `"request\n1"`, 1), []string{"backupRequestId: has U+000A"}},
	} {
		t.Run(name, func(t *testing.T) {
			result, lines := handle(t, receive, test.value)
			assert.Equal(t, adapter.ResultReject, result.Type())
			require.ErrorIs(t, result.Err(), backuprequest.ErrInvalid)
			for _, part := range test.parts {
				require.ErrorContains(t, result.Err(), part)
			}
			require.Len(t, lines, 1)
			if id, ok := lines[0]["backupRequestId"]; ok {
				assert.Equal(t, "request-1", id, "an id that is not valid is not logged as one")
			}
		})
	}
	assert.Zero(t, repo.saves)
	assert.Empty(t, p.published)
}

func TestHandler_commitsADuplicateAndSaysSo(t *testing.T) {
	receive := backuprequest.NewReceiveBackupRequest(&repository{}, &publisher{})
	for _, isNew := range []bool{true, false} {
		result, lines := handle(t, receive, acceptedJSON)
		assert.Equal(t, adapter.Commit(), result)
		require.Len(t, lines, 1)
		assert.Equal(t, isNew, lines[0]["new"])
	}
}

func TestHandler_warnsOfOtherContentAndNamesTheFieldsOnly(t *testing.T) {
	receive := backuprequest.NewReceiveBackupRequest(&repository{}, &publisher{})
	handle(t, receive, acceptedJSON)
	result, lines := handle(t, receive, strings.Replace(acceptedJSON, "job of request-1", "secret", 1))
	assert.Equal(t, adapter.Commit(), result)
	require.Len(t, lines, 2)
	assert.Equal(t, "WARN", lines[0]["level"])
	assert.Equal(t, []any{"backupJobId"}, lines[0]["differing"])
	assert.Equal(t, "INFO", lines[1]["level"])
	assert.NotContains(t, fmt.Sprint(lines), "secret")
}

func TestHandler_logsNothingOfTheRequestButItsIDWhenAllIsWell(t *testing.T) {
	_, lines := handle(t, backuprequest.NewReceiveBackupRequest(&repository{}, &publisher{}), acceptedJSON)
	require.Len(t, lines, 1)
	var keys []string
	for key := range lines[0] {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	assert.Equal(t, []string{"attempt", "backupRequestId", "group", "level", "msg", "new", "offset", "partition", "time", "topic"}, keys)
}

func TestHandler_needsNoLogger(t *testing.T) {
	h := backuprequest.NewAcceptedHandler(&receiver{err: backuprequest.ErrUnavailable}, nil)
	assert.True(t, h.Handle(t.Context(), message(acceptedJSON)).Unavailable())
}

func FuzzHandler_neverCommitsWhatWasNotSaved(f *testing.F) {
	for _, seed := range []string{acceptedJSON, "", "null", "{}", `{"backupRequestId":"a"}`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		repo := &repository{}
		p := &publisher{}
		h := backuprequest.NewAcceptedHandler(backuprequest.NewReceiveBackupRequest(repo, p), slog.New(slog.DiscardHandler))
		m := message("")
		m.Value = value
		result := h.Handle(t.Context(), m)
		switch result.Type() {
		case adapter.ResultCommit:
			assertSavedOnce(t, repo)
			require.Len(t, p.published, 1)
		case adapter.ResultReject:
			require.Zero(t, repo.saves)
			require.Empty(t, p.published)
		default:
			t.Fatalf("%v, though every dependency works", result)
		}
	})
}

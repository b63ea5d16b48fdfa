package backuprequest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/backuprequest"
)

func TestValidate_idsAndNames(t *testing.T) {
	for _, text := range []struct{ name, value, problem string }{
		{"one character", "x", ""},
		{"a space inside", "a b", ""},
		{"a space around", " a ", ""},
		{"letters with marks", "Grüße-\u0915\u094d\u0937", ""},
		{"symbols", "/a/b?c=%20&d#e\\", ""},
		{"as long as allowed", strings.Repeat("x", 128), ""},
		{"as long as allowed, in characters of four bytes", strings.Repeat("\U0001d11e", 128), ""},

		{"empty", "", "is empty"},
		{"blank", "   ", "is blank"},
		{"too long", strings.Repeat("x", 129), "has 129 characters: at most 128"},
		{"line feed", "a\nb", "U+000A"},
		{"tab", "a\tb", "U+0009"},
		{"null", "a\x00b", "U+0000"},
		{"escape", "\x1b[31m", "U+001B"},
		{"C1 control", "a\u0085b", "U+0085"},
		{"text turned around", "a\u202eb", "U+202E"},
		{"zero width", "a\u200bb", "U+200B"},
		{"no-break space", "\u00a0", "U+00A0"},
		{"line separator", "a\u2028b", "U+2028"},
		{"private use", "\ue000", "U+E000"},
		{"not UTF-8", "a\xffb", "not valid UTF-8"},
		{"what JSON makes of not UTF-8", "a\ufffdb", "U+FFFD"},
	} {
		for field, set := range map[string]func(r *backuprequest.BackupRequest, s string){
			"backupRequestId":      func(r *backuprequest.BackupRequest, s string) { r.BackupRequestID = s },
			"backupJobId":          func(r *backuprequest.BackupRequest, s string) { r.BackupJobID = s },
			"preparedDataPathName": func(r *backuprequest.BackupRequest, s string) { r.PreparedDataPathName = s },
			"requesterId":          func(r *backuprequest.BackupRequest, s string) { r.RequesterID = s },
		} {
			t.Run(field+" "+text.name, func(t *testing.T) {
				r := accepted()
				set(&r, text.value)
				assertInvalid(t, r.Validate(), field, text.problem)
			})
		}
	}
}

func TestValidate_dateStatusAndTimestamp(t *testing.T) {
	for _, test := range []struct {
		name, field, problem string
		change               func(r *backuprequest.BackupRequest)
	}{
		{"valid", "", "", func(*backuprequest.BackupRequest) {}},
		{"received", "", "", func(r *backuprequest.BackupRequest) { r.StatusTypeCode = backuprequest.StatusReceived }},
		{"no date", "dataDate", "is empty", func(r *backuprequest.BackupRequest) { r.DataDate = backuprequest.Date{} }},
		{"no status", "statusTypeCode", "is empty", func(r *backuprequest.BackupRequest) { r.StatusTypeCode = "" }},
		{"unknown status", "statusTypeCode", `"accepted"`, func(r *backuprequest.BackupRequest) { r.StatusTypeCode = "accepted" }},
		{"no timestamp", "receivedTimestamp", "is empty", func(r *backuprequest.BackupRequest) { r.ReceivedTimestamp = time.Time{} }},
		{"timestamp of a far year", "receivedTimestamp", "1 to 9999", func(r *backuprequest.BackupRequest) {
			r.ReceivedTimestamp = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
		}},
		{"timestamp of year 0 in UTC", "receivedTimestamp", "1 to 9999", func(r *backuprequest.BackupRequest) {
			r.ReceivedTimestamp = time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("east", 3600))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := accepted()
			test.change(&r)
			assertInvalid(t, r.Validate(), test.field, test.problem)
		})
	}
}

func TestValidate_reportsEveryBadField(t *testing.T) {
	err := backuprequest.BackupRequest{}.Validate()
	require.ErrorIs(t, err, backuprequest.ErrInvalid)

	var all backuprequest.InvalidErrors
	require.ErrorAs(t, err, &all)
	assert.Equal(t, []string{
		"backupRequestId", "backupJobId", "preparedDataPathName", "requesterId",
		"dataDate", "statusTypeCode", "receivedTimestamp",
	}, all.Fields())
	for _, name := range all.Fields() {
		assert.Contains(t, err.Error(), name+": is empty")
	}
	assert.NotContains(t, err.Error(), "\n", "one line")

	var one *backuprequest.InvalidError
	require.ErrorAs(t, err, &one)
	assert.Equal(t, "backupRequestId", one.Field)
	assert.Equal(t, "backupRequestId: is empty", one.Error())
}

// assertInvalid wants no error for an empty problem, and else one for that
// field alone.
func assertInvalid(t *testing.T, err error, field, problem string) {
	t.Helper()
	if problem == "" {
		require.NoError(t, err)
		return
	}
	require.ErrorIs(t, err, backuprequest.ErrInvalid)
	require.NotErrorIs(t, err, backuprequest.ErrDependency)
	require.False(t, backuprequest.IsUnavailable(err))
	var all backuprequest.InvalidErrors
	require.ErrorAs(t, err, &all)
	assert.Equal(t, []string{field}, all.Fields())
	assert.Contains(t, all[0].Problem, problem)
}

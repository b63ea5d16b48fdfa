package backuprequest_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/backuprequest"
)

func TestParseDate_takesDaysOfTheCalendarOnly(t *testing.T) {
	for _, good := range []string{"2026-02-28", "2024-02-29", "0001-01-01", "9999-12-31"} {
		d, err := backuprequest.ParseDate(good)
		require.NoError(t, err)
		assert.Equal(t, good, d.String())
	}
	for _, bad := range []string{
		"", " ", "2026-02-30", "2026-02-29", "1900-02-29", "2026-13-01", "2026-00-10", "2026-01-00", "0000-01-01",
		"2026-2-3", "26-02-03", "20260203", "2026/02/03", "03-02-2026", "2026-02-03T00:00:00Z", " 2026-02-03", "2026-02-03 ",
		"-026-02-03", "12026-02-03", "２０２６-02-03", strings.Repeat("9", 1<<16),
	} {
		d, err := backuprequest.ParseDate(bad)
		require.ErrorIs(t, err, backuprequest.ErrInvalid, "%.40q", bad)
		var invalid *backuprequest.InvalidError
		require.ErrorAs(t, err, &invalid)
		assert.Contains(t, invalid.Problem, "YYYY-MM-DD")
		assert.Less(t, len(err.Error()), 120, "quotes a part of it only")
		assert.True(t, d.IsZero())
	}
}

func TestNewDate_refusesWhatTimeDateWouldNormalize(t *testing.T) {
	d, err := backuprequest.NewDate(2026, time.February, 28)
	require.NoError(t, err)
	assert.Equal(t, "2026-02-28", d.String())
	assert.Equal(t, time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC), d.Time())

	for _, bad := range []struct {
		year  int
		month time.Month
		day   int
	}{{2026, 2, 30}, {2026, 13, 1}, {2026, 0, 1}, {2026, 1, 0}, {2026, 1, -1}, {0, 1, 1}, {10000, 1, 1}, {-1, 1, 1}} {
		_, err := backuprequest.NewDate(bad.year, bad.month, bad.day)
		require.ErrorIs(t, err, backuprequest.ErrInvalid, "%v", bad)
	}
}

func TestDateOf_isTheDayInTheTimesOwnZone(t *testing.T) {
	lateInUTC := time.Date(2026, 2, 28, 23, 30, 0, 0, time.UTC)
	assert.Equal(t, "2026-02-28", backuprequest.DateOf(lateInUTC).String())
	assert.Equal(t, "2026-03-01", backuprequest.DateOf(lateInUTC.In(time.FixedZone("east", 3600))).String())
	assert.True(t, backuprequest.DateOf(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero())
}

func TestDate_roundTripsThroughJSON(t *testing.T) {
	type object struct {
		Date backuprequest.Date `json:"date"`
	}
	var o object
	require.NoError(t, json.Unmarshal([]byte(`{"date":"2026-02-28"}`), &o))
	data, err := json.Marshal(o)
	require.NoError(t, err)
	assert.JSONEq(t, `{"date":"2026-02-28"}`, string(data))

	before := o
	require.ErrorIs(t, json.Unmarshal([]byte(`{"date":"2026-02-30"}`), &o), backuprequest.ErrInvalid)
	require.Error(t, json.Unmarshal([]byte(`{"date":20260228}`), &o))
	assert.Equal(t, before, o, "a date that does not parse changes nothing")
}

func TestDate_zeroIsNoDay(t *testing.T) {
	var d backuprequest.Date
	assert.True(t, d.IsZero())
	assert.Empty(t, d.String())
	assert.True(t, d.Time().IsZero())
	_, err := d.MarshalText()
	require.ErrorIs(t, err, backuprequest.ErrInvalid)
}

func FuzzParseDate(f *testing.F) {
	for _, seed := range []string{"", "2026-02-28", "2026-02-30", "0000-01-01", "9999-12-31", "2026-2-3", "2026-02-28T00:00:00Z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := backuprequest.ParseDate(s)
		if err != nil {
			require.ErrorIs(t, err, backuprequest.ErrInvalid)
			require.True(t, d.IsZero())
			return
		}
		require.Equal(t, s, d.String(), "one text for a date")
		require.Equal(t, d, backuprequest.DateOf(d.Time()))
	})
}

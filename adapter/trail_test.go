package adapter

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fullTrail is a trail with everything in it, in group "g" for topic "t".
var fullTrail = trail{
	origin:      Origin{"t", 3, 42},
	timestamp:   time.Date(2026, 11, 29, 10, 30, 0, 123e6, time.UTC),
	group:       "g",
	attempts:    7,
	firstFailed: time.Date(2026, 11, 29, 10, 31, 0, 1, time.UTC),
	notBefore:   time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	idle:        90 * time.Minute,
	idleTo:      time.Date(2026, 11, 29, 12, 30, 0, 1, time.UTC),
	redriven:    2,
}

func TestTrail_isReadAsItWasWritten(t *testing.T) {
	plain := trail{origin: Origin{"t", 0, 0}, timestamp: time.UnixMilli(0), group: "g"}
	ancient, late := fullTrail, fullTrail
	ancient.timestamp = time.UnixMilli(math.MinInt32 * 100_000)
	late.timestamp = time.UnixMilli(1 << 50)
	far := fullTrail
	far.origin = Origin{"t", math.MaxInt32, math.MaxInt64}
	odd := fullTrail
	odd.group = "ünï\n" + strings.Repeat("x", 600)
	for _, want := range []trail{fullTrail, plain, ancient, late, far, odd} {
		got, err := readTrail(want.headers(), "t", want.group)
		require.NoError(t, err)
		requireSameTrail(t, want, got)
	}
}

func requireSameTrail(t *testing.T, want, got trail) {
	t.Helper()
	for _, at := range []*time.Time{&want.timestamp, &want.firstFailed, &want.notBefore, &want.idleTo, &got.timestamp, &got.firstFailed, &got.notBefore, &got.idleTo} {
		*at = at.UTC()
	}
	require.Equal(t, want, got)
}

// with is the headers of fullTrail with one changed, or with more.
func with(key, value string, more ...kgo.RecordHeader) []kgo.RecordHeader {
	hs := append(fullTrail.headers(), more...)
	for i := range hs {
		if hs[i].Key == key {
			hs[i].Value = []byte(value)
		}
	}
	return hs
}

func without(key string) []kgo.RecordHeader {
	var hs []kgo.RecordHeader
	for _, h := range fullTrail.headers() {
		if h.Key != key {
			hs = append(hs, h)
		}
	}
	return hs
}

func TestTrail_thatIsDamagedOrForeignIsNotBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		headers []kgo.RecordHeader
		header  string
	}{
		"none at all":          {nil, HeaderGroup},
		"no group":             {without(HeaderGroup), HeaderGroup},
		"another group":        {with(HeaderGroup, "h"), HeaderGroup},
		"no id":                {without(HeaderID), HeaderID},
		"another topic":        {with(HeaderID, "u/3/42"), HeaderID},
		"id without an offset": {with(HeaderID, "t/3"), HeaderID},
		"id with more":         {with(HeaderID, "t/3/42/1"), HeaderID},
		"id without a topic":   {with(HeaderID, "/3/42"), HeaderID},
		"empty id":             {with(HeaderID, ""), HeaderID},
		"negative partition":   {with(HeaderID, "t/-3/42"), HeaderID},
		"negative offset":      {with(HeaderID, "t/3/-42"), HeaderID},
		"partition too large":  {with(HeaderID, "t/2147483648/42"), HeaderID},
		"offset too large":     {with(HeaderID, "t/3/9223372036854775808"), HeaderID},
		"zeros before":         {with(HeaderID, "t/03/42"), HeaderID},
		"a plus":               {with(HeaderID, "t/3/+42"), HeaderID},
		"no attempt":           {without(HeaderAttempt), HeaderAttempt},
		"attempt in words":     {with(HeaderAttempt, "many"), HeaderAttempt},
		"negative attempt":     {with(HeaderAttempt, "-1"), HeaderAttempt},
		"absurd attempt":       {with(HeaderAttempt, "1000001"), HeaderAttempt},
		"no timestamp":         {without(HeaderTimestamp), HeaderTimestamp},
		"odd timestamp":        {with(HeaderTimestamp, "yesterday"), HeaderTimestamp},
		"odd first failure":    {with(HeaderFirstFailed, "29.11.2026"), HeaderFirstFailed},
		"odd due time":         {with(HeaderNotBefore, ""), HeaderNotBefore},
		"odd count":            {with(HeaderRedriven, "1.5"), HeaderRedriven},
		"no idle time":         {with(HeaderGateClosed, ""), HeaderGateClosed},
		"negative idle time":   {with(HeaderGateClosed, "-1/2026-11-29T10:31:00Z"), HeaderGateClosed},
		"absurd idle time":     {with(HeaderGateClosed, "3153600000001/2026-11-29T10:31:00Z"), HeaderGateClosed},
		"idle up to no time":   {with(HeaderGateClosed, "1000"), HeaderGateClosed},
		"idle up to the first": {with(HeaderGateClosed, "1000/0001-01-01T00:00:00Z"), HeaderGateClosed},
		"idle with more":       {with(HeaderGateClosed, "1000/2026-11-29T10:31:00Z/1"), HeaderGateClosed},
		"id twice":             {with("", "", kgo.RecordHeader{Key: HeaderID, Value: []byte("t/3/43")}), HeaderID},
		"error twice":          {with("", "", kgo.RecordHeader{Key: HeaderError}, kgo.RecordHeader{Key: HeaderError}), HeaderError},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readTrail(c.headers, "t", "g")
			var bad *trailError
			require.ErrorAs(t, err, &bad)
			assert.Equal(t, c.header, bad.header)
			assert.Contains(t, err.Error(), c.header)
		})
	}
}

func TestReturned_goesOnWhereItStopped(t *testing.T) {
	r := &kgo.Record{
		Topic: "t.g.retry.1m", Partition: 3, Offset: 5, Key: []byte("k"), Value: []byte("v"), Timestamp: time.Now(),
		Headers: append(with("", "", kgo.RecordHeader{Key: HeaderError, Value: []byte("no")}), kgo.RecordHeader{Key: "mine", Value: []byte{0}}, kgo.RecordHeader{Key: "retry-mine"}),
	}
	m, way, err := returned(r, "t", "g")
	require.NoError(t, err)
	requireSameTrail(t, fullTrail, way)
	assert.Equal(t, []Header{{"mine", []byte{0}}, {"retry-mine", nil}}, m.Headers, "its own headers, and no others")
	assert.Equal(t, "t/3/42/g", m.ID())
	assert.Equal(t, 8, m.Attempt)
	assert.True(t, m.Timestamp.Equal(fullTrail.timestamp))
	assert.True(t, m.FirstFailed.Equal(fullTrail.firstFailed))
	assert.Equal(t, []any{"t.g.retry.1m", int32(3), int64(5), "k", "v"}, []any{m.Topic, m.Partition, m.Offset, string(m.Key), string(m.Value)})
	again := trailOf(&m)
	again.attempts, again.notBefore, again.idle, again.idleTo = way.attempts, way.notBefore, way.idle, way.idleTo
	requireSameTrail(t, fullTrail, again)
}

func TestReturned_withHeadersThatAreNotBelievedKeepsThem(t *testing.T) {
	forged := with(HeaderGroup, "another", kgo.RecordHeader{Key: "mine"})
	m, way, err := returned(&kgo.Record{Topic: "t.g.retry.1m", Partition: 3, Offset: 5, Headers: forged}, "t", "g")
	var bad *trailError
	require.ErrorAs(t, err, &bad)
	assert.EqualError(t, err, `header retry-group: "another": is of another group`)
	assert.Len(t, m.Headers, len(forged))
	assert.Equal(t, Origin{"t.g.retry.1m", 3, 5}, m.Origin)
	assert.Equal(t, 1, m.Attempt)
	assert.Equal(t, "g", m.Group)
	assert.Zero(t, m.FirstFailed)
	assert.Zero(t, m.redriven)
	assert.Zero(t, way)
}

// FuzzReadTrail: whatever the headers say, they are believed only when they are
// what this package writes.
func FuzzReadTrail(f *testing.F) {
	add := func(t trail) {
		v := map[string]string{}
		for _, h := range t.headers() {
			v[h.Key] = string(h.Value)
		}
		f.Add(v[HeaderID], v[HeaderAttempt], v[HeaderTimestamp], v[HeaderFirstFailed], v[HeaderNotBefore], v[HeaderGateClosed], v[HeaderRedriven], v[HeaderGroup])
	}
	add(fullTrail)
	add(trail{origin: Origin{"t", 0, 0}, timestamp: time.UnixMilli(1 << 60), group: "g"})
	f.Add("t/1/2", "1", "99999-01-01T00:00:00Z", "", "", "1/99999-01-01T00:00:00Z", "", "g")
	f.Add("t/1/2", "1", "2026-11-29T10:30:00,5+23:59", "0", "-9223372036854775808", "0/-62135596800000", "01", "g")
	f.Add("t/1/2", "1", "9223372036854775807", "1", "1", "3153600000000/1", "1", "g")
	f.Add("t//", "", "", "", "", "/", "", "")
	f.Add("t/1/2\x00", "１", "2026-11-29T10:30:60Z", "", "", "1/", "", "G")
	f.Fuzz(func(t *testing.T, id, attempt, timestamp, firstFailed, notBefore, gateClosed, redriven, group string) {
		var hs []kgo.RecordHeader
		for key, value := range map[string]string{
			HeaderID: id, HeaderAttempt: attempt, HeaderTimestamp: timestamp, HeaderGroup: group,
			HeaderFirstFailed: firstFailed, HeaderNotBefore: notBefore, HeaderGateClosed: gateClosed, HeaderRedriven: redriven,
		} {
			if value != "" {
				hs = append(hs, kgo.RecordHeader{Key: key, Value: []byte(value)})
			}
		}
		got, err := readTrail(hs, "t", "g")
		if err != nil {
			if !errors.As(err, new(*trailError)) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if got.group != "g" || got.origin.Topic != "t" || got.origin.Partition < 0 || got.origin.Offset < 0 || got.attempts < 0 || got.redriven < 0 {
			t.Fatalf("believed: %+v", got)
		}
		again, err := readTrail(got.headers(), "t", "g")
		if err != nil {
			t.Fatal(err)
		}
		requireSameTrail(t, got, again)
	})
}

package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/backuprequest"
)

// read is what readEntries makes of an input.
func read(t *testing.T, r io.Reader) []entry {
	t.Helper()
	var entries []entry
	for e, err := range readEntries(r) {
		require.NoError(t, err)
		entries = append(entries, e)
	}
	return entries
}

func TestReadEntries_linesEndInManyWays(t *testing.T) {
	for name, text := range map[string]string{
		"line feeds":          requestLine("a") + "\n" + requestLine("b") + "\n",
		"no last line feed":   requestLine("a") + "\n" + requestLine("b"),
		"carriage returns":    requestLine("a") + "\r\n" + requestLine("b") + "\r\n",
		"byte order mark":     "\ufeff" + requestLine("a") + "\n" + requestLine("b"),
		"blanks around":       "  " + requestLine("a") + "\t\n" + requestLine("b") + " \n",
		"blank lines at last": requestLine("a") + "\n" + requestLine("b") + "\n\n \r\n",
	} {
		t.Run(name, func(t *testing.T) {
			entries := read(t, iotest.OneByteReader(strings.NewReader(text)))
			require.Len(t, entries, 2)
			for i, id := range []string{"a", "b"} {
				assert.NoError(t, entries[i].err)
				assert.Equal(t, i+1, entries[i].line)
				assert.Equal(t, id, entries[i].submission.BackupRequestID)
				assert.Equal(t, "2026-02-28", entries[i].submission.DataDate)
			}
		})
	}
}

func TestReadEntries_longLinesAreNotKept(t *testing.T) {
	long := strings.Repeat("x", 32<<20)
	entries := read(t, strings.NewReader(long+"\n"+requestLine("a")+"\n"+long))
	require.Len(t, entries, 3)
	assert.EqualError(t, entries[0].err, "longer than 64 KiB")
	assert.NoError(t, entries[1].err)
	assert.Equal(t, 2, entries[1].line)
	assert.EqualError(t, entries[2].err, "longer than 64 KiB")

	// Blanks are as long as anything else.
	entries = read(t, strings.NewReader(strings.Repeat(" ", 1<<20)+"\n"))
	require.Len(t, entries, 1)
	assert.Error(t, entries[0].err)

	allocated := testing.AllocsPerRun(1, func() {
		for _, err := range readEntries(io.LimitReader(endless{}, 64<<20)) {
			assert.NoError(t, err)
		}
	})
	assert.Less(t, allocated, 100.0)
}

// endless is a line without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestReadEntries_tellsWhereReadingFailed(t *testing.T) {
	var failed error
	entries := 0
	for _, err := range readEntries(io.MultiReader(strings.NewReader(requestLine("a")+"\nrest"), iotest.ErrReader(errors.New("disk on fire")))) {
		if err != nil {
			failed = err
			continue
		}
		entries++
	}
	assert.Equal(t, 1, entries)
	assert.EqualError(t, failed, "reading line 2: disk on fire")
}

func TestParseSubmission_refuses(t *testing.T) {
	for text, want := range map[string]string{
		"{\"backupJobId\":\"\xff\"}":  "not valid UTF-8",
		`{"backupJobId":"a"`:          "not JSON: unexpected end of JSON input, at byte 18",
		`{"backupJobId":"a"}x`:        "not JSON: invalid character 'x' after top-level value, at byte 20",
		`{"backupJobId":"a",}`:        "not JSON: invalid character '}' looking for beginning of object key string, at byte 20",
		"{\"backupJobId\":\"a\x00\"}": `not JSON: invalid character '\x00' in string literal, at byte 18`,
		`"text"`:                      "is a string, want an object",
		`12`:                          "is a number, want an object",
		`true`:                        "is a boolean, want an object",
		`{"dataDate":[1]}`:            "dataDate: is an array, want a string",
		`{"Backup_Request-ID":"x"}`:   `unknown field "Backup_Request-ID": is backupRequestId meant?`,
		strings.Repeat("[", 20_000):   "not JSON: invalid character '[' exceeded max depth, at byte 10001",
	} {
		_, err := parseSubmission([]byte(text))
		assert.EqualError(t, err, want, "%.40q", text)
	}
}

func TestParseSubmission_ignoresFieldsThatAreSomebodyElses(t *testing.T) {
	s, err := parseSubmission([]byte(`{"statusTypeCode":"Requested","tags":[{"a":1},{}],"backupJobId":"job","size":1e99,"requesterId":"me"}`))
	require.NoError(t, err)
	assert.Equal(t, backuprequest.Submission{BackupJobID: "job", RequesterID: "me"}, s)
}

func FuzzParseSubmission(f *testing.F) {
	f.Add([]byte(requestLine("a")))
	f.Add([]byte(`{"backupJobId":null}`))
	f.Add([]byte(`{"a":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := parseSubmission(text); err != nil {
			assert.NotContains(t, oneLine(err), "\x1b")
			assert.NotContains(t, oneLine(err), "\n")
		}
	})
}

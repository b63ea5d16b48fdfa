package backuprequest

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// StatusTypeCode is how far a request has come.
type StatusTypeCode string

// A request is accepted first, and received once it is saved.
const (
	StatusAccepted StatusTypeCode = "Accepted"
	StatusReceived StatusTypeCode = "Received"
)

// MaxLength is how many characters (not bytes) an id or a name may have.
const MaxLength = 128

// BackupRequest is somebody's wish to have a day's prepared data backed up.
// The zero BackupRequest is not valid.
type BackupRequest struct {
	// BackupRequestID identifies the request. There is one request for an id.
	BackupRequestID string
	// BackupJobID is the job whose data is to be backed up.
	BackupJobID string
	// DataDate is the day that the data is about.
	DataDate Date
	// PreparedDataPathName is where the data lies, ready to be backed up.
	PreparedDataPathName string
	// StatusTypeCode is how far the request has come.
	StatusTypeCode StatusTypeCode
	// ReceivedTimestamp is when the service was asked, in UTC.
	ReceivedTimestamp time.Time
	// RequesterID is who asked.
	RequesterID string
}

// The fields' names, as in JSON.
const (
	fieldBackupRequestID      = "backupRequestId"
	fieldBackupJobID          = "backupJobId"
	fieldDataDate             = "dataDate"
	fieldPreparedDataPathName = "preparedDataPathName"
	fieldStatusTypeCode       = "statusTypeCode"
	fieldReceivedTimestamp    = "receivedTimestamp"
	fieldRequesterID          = "requesterId"
)

// Validate returns an InvalidErrors that names every bad field, or nil.
//
// Ids and names are valid UTF-8 of 1 to MaxLength characters, not all of them
// blank, and each printable in the sense of unicode.IsPrint: letters, marks,
// numbers, punctuation, symbols and the ASCII space, so that none can break a
// line of a log or hide in one. U+FFFD is refused too: it is what JSON decoders
// put where bytes were not UTF-8, so that two ids could become the same.
// The date is a day, the status one of the two, and the timestamp set and in
// the years 1 to 9999, which RFC 3339 can write.
func (r BackupRequest) Validate() error {
	var bad InvalidErrors
	r.check(&bad)
	return bad.err()
}

func (r BackupRequest) check(bad *InvalidErrors) {
	for _, text := range []struct{ field, value string }{
		{fieldBackupRequestID, r.BackupRequestID},
		{fieldBackupJobID, r.BackupJobID},
		{fieldPreparedDataPathName, r.PreparedDataPathName},
		{fieldRequesterID, r.RequesterID},
	} {
		if problem := textProblem(text.value); problem != "" {
			bad.add(text.field, problem)
		}
	}
	if r.DataDate.IsZero() {
		bad.add(fieldDataDate, "is empty: give it as YYYY-MM-DD")
	}
	if r.StatusTypeCode != StatusAccepted && r.StatusTypeCode != StatusReceived {
		bad.add(fieldStatusTypeCode, statusProblem(r.StatusTypeCode, StatusAccepted, StatusReceived))
	}
	if r.ReceivedTimestamp.IsZero() {
		bad.add(fieldReceivedTimestamp, "is empty")
	} else if year := r.ReceivedTimestamp.UTC().Year(); year < 1 || year > 9999 {
		bad.add(fieldReceivedTimestamp, "is outside the years 1 to 9999")
	}
}

// textProblem is what is wrong with an id or a name, and empty when nothing is.
func textProblem(s string) string {
	if s == "" {
		return "is empty"
	}
	if !utf8.ValidString(s) {
		return "is not valid UTF-8"
	}
	if n := utf8.RuneCountInString(s); n > MaxLength {
		return fmt.Sprintf("has %d characters: at most %d are allowed", n, MaxLength)
	}
	for _, r := range s {
		if r == utf8.RuneError {
			return "has U+FFFD, which stands for bytes that were not UTF-8"
		}
		if !unicode.IsPrint(r) {
			return fmt.Sprintf("has %U, which is not printable", r)
		}
	}
	if strings.TrimSpace(s) == "" {
		return "is blank"
	}
	return ""
}

func statusProblem(have StatusTypeCode, want ...StatusTypeCode) string {
	if have == "" {
		return fmt.Sprintf("is empty: want %q", want)
	}
	return fmt.Sprintf("is %.20q: want %q", have, want)
}

// differences names the fields in which two requests ask for different things.
// The status and the timestamp are not among them: they are the service's own,
// and differ when the same request is submitted twice.
func differences(a, b BackupRequest) []string {
	var names []string
	for _, field := range []struct {
		name   string
		differ bool
	}{
		{fieldBackupRequestID, a.BackupRequestID != b.BackupRequestID},
		{fieldBackupJobID, a.BackupJobID != b.BackupJobID},
		{fieldDataDate, a.DataDate != b.DataDate},
		{fieldPreparedDataPathName, a.PreparedDataPathName != b.PreparedDataPathName},
		{fieldRequesterID, a.RequesterID != b.RequesterID},
	} {
		if field.differ {
			names = append(names, field.name)
		}
	}
	return names
}

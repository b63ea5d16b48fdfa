package backuprequest

import (
	"encoding/json"
	"fmt"
	"time"

	"example.com/kafkatest/adapter"
)

// The topics of the two events.
const (
	TopicBackupRequestAccepted = "backup-request-accepted"
	TopicBackupRequestReceived = "backup-request-received"
)

var (
	_ adapter.Event = BackupRequestAccepted{}
	_ adapter.Event = BackupRequestReceived{}
)

// AcceptedObject is the object form of BackupRequestAccepted: what a record on
// its topic says, as it says it. Nothing in it is checked; BackupRequest does
// that. Objects are compared with ==.
type AcceptedObject struct {
	BackupRequestID      string `json:"backupRequestId"`
	BackupJobID          string `json:"backupJobId"`
	DataDate             string `json:"dataDate"` // YYYY-MM-DD
	PreparedDataPathName string `json:"preparedDataPathName"`
	StatusTypeCode       string `json:"statusTypeCode"`
	ReceivedTimestamp    string `json:"receivedTimestamp"` // RFC 3339, to the nanosecond, UTC
	RequesterID          string `json:"requesterId"`
}

// BackupRequest is the request that the object describes, or an InvalidErrors
// that names every bad field. See BackupRequest.Validate for the rules. The
// timestamp may be in any zone, and is UTC in the result.
func (o AcceptedObject) BackupRequest() (BackupRequest, error) {
	var bad InvalidErrors
	date, err := ParseDate(o.DataDate)
	if err != nil {
		bad.add(fieldDataDate, dateProblem(err))
	}
	var received time.Time
	if o.ReceivedTimestamp != "" {
		if received, err = time.Parse(time.RFC3339Nano, o.ReceivedTimestamp); err != nil {
			bad.add(fieldReceivedTimestamp, fmt.Sprintf("%.40q is not a time: give it as RFC 3339, as in 2026-02-28T12:00:00Z", o.ReceivedTimestamp))
		}
	}
	r := BackupRequest{
		BackupRequestID:      o.BackupRequestID,
		BackupJobID:          o.BackupJobID,
		DataDate:             date,
		PreparedDataPathName: o.PreparedDataPathName,
		StatusTypeCode:       StatusTypeCode(o.StatusTypeCode),
		ReceivedTimestamp:    received.UTC(),
		RequesterID:          o.RequesterID,
	}
	r.check(&bad)
	if err := bad.err(); err != nil {
		return BackupRequest{}, err
	}
	return r, nil
}

// BackupRequestAccepted says that a request was accepted, and all about it. It
// keeps the object it was built from. It cannot be changed, and is safe for
// concurrent use. The zero value is an event without a key or a valid request.
type BackupRequestAccepted struct{ object AcceptedObject }

// NewBackupRequestAccepted is the event about r, which is not validated again.
func NewBackupRequestAccepted(r BackupRequest) BackupRequestAccepted {
	return BackupRequestAccepted{AcceptedObject{
		BackupRequestID:      r.BackupRequestID,
		BackupJobID:          r.BackupJobID,
		DataDate:             r.DataDate.String(),
		PreparedDataPathName: r.PreparedDataPathName,
		StatusTypeCode:       string(r.StatusTypeCode),
		ReceivedTimestamp:    r.ReceivedTimestamp.UTC().Format(time.RFC3339Nano),
		RequesterID:          r.RequesterID,
	}}
}

// TopicName is TopicBackupRequestAccepted.
func (e BackupRequestAccepted) TopicName() string { return TopicBackupRequestAccepted }

// MessageKey is the request's id, so that all about one request is in order.
func (e BackupRequestAccepted) MessageKey() string { return e.object.BackupRequestID }

// MessageData is the object form.
func (e BackupRequestAccepted) MessageData() any { return e.object }

// Object is the object form.
func (e BackupRequestAccepted) Object() AcceptedObject { return e.object }

// String is the string form: the object as JSON, which is also the record's
// value.
func (e BackupRequestAccepted) String() string { return text(e.object) }

// MarshalJSON is the object's JSON.
func (e BackupRequestAccepted) MarshalJSON() ([]byte, error) { return json.Marshal(e.object) }

// UnmarshalJSON reads what MarshalJSON writes. It checks types, not values;
// unknown fields are ignored. It leaves e as it is when it fails.
func (e *BackupRequestAccepted) UnmarshalJSON(data []byte) error {
	var object AcceptedObject
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	e.object = object
	return nil
}

// ReceivedObject is the object form of BackupRequestReceived. Objects are
// compared with ==.
type ReceivedObject struct {
	BackupRequestID string `json:"backupRequestId"`
}

// BackupRequestReceived says that a request is saved. It keeps the object it
// was built from. It cannot be changed, and is safe for concurrent use. The
// zero value is an event without a key.
type BackupRequestReceived struct{ object ReceivedObject }

// NewBackupRequestReceived is the event about r, which is not validated again.
func NewBackupRequestReceived(r BackupRequest) BackupRequestReceived {
	return BackupRequestReceived{ReceivedObject{BackupRequestID: r.BackupRequestID}}
}

// TopicName is TopicBackupRequestReceived.
func (e BackupRequestReceived) TopicName() string { return TopicBackupRequestReceived }

// MessageKey is the request's id.
func (e BackupRequestReceived) MessageKey() string { return e.object.BackupRequestID }

// MessageData is the object form.
func (e BackupRequestReceived) MessageData() any { return e.object }

// Object is the object form.
func (e BackupRequestReceived) Object() ReceivedObject { return e.object }

// String is the string form: the object as JSON, which is also the record's
// value.
func (e BackupRequestReceived) String() string { return text(e.object) }

// MarshalJSON is the object's JSON.
func (e BackupRequestReceived) MarshalJSON() ([]byte, error) { return json.Marshal(e.object) }

// UnmarshalJSON reads what MarshalJSON writes. It checks types, not values;
// unknown fields are ignored. It leaves e as it is when it fails.
func (e *BackupRequestReceived) UnmarshalJSON(data []byte) error {
	var object ReceivedObject
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	e.object = object
	return nil
}

// text is the JSON of an object whose fields are all strings, which cannot
// fail to encode.
func text(object any) string {
	data, err := json.Marshal(object)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

package backuprequest_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
)

const acceptedJSON = `{
	"backupRequestId":      "request-1",
	"backupJobId":          "job of request-1",
	"dataDate":             "2026-02-28",
	"preparedDataPathName": "/prepared/request-1",
	"statusTypeCode":       "Accepted",
	"receivedTimestamp":    "2026-03-01T04:05:06.789012345Z",
	"requesterId":          "requester of request-1"
}`

// Once, the job's id on the topic was the request's. Every field has a value
// of its own here, and each is looked at by name in every form that the event
// has and on the way back, so that no field can take another's value.
func TestBackupRequestAccepted_mapsEachFieldFromItself(t *testing.T) {
	want := map[string]string{
		"backupRequestId":      "id-A",
		"backupJobId":          "id-B",
		"dataDate":             "2026-02-28",
		"preparedDataPathName": "name-C",
		"statusTypeCode":       "Accepted",
		"receivedTimestamp":    "2026-03-01T04:05:06.789012345Z",
		"requesterId":          "id-D",
	}
	date, err := backuprequest.ParseDate("2026-02-28")
	require.NoError(t, err)
	entity := backuprequest.BackupRequest{
		BackupRequestID:      "id-A",
		BackupJobID:          "id-B",
		DataDate:             date,
		PreparedDataPathName: "name-C",
		StatusTypeCode:       backuprequest.StatusAccepted,
		ReceivedTimestamp:    time.Date(2026, 3, 1, 4, 5, 6, 789012345, time.UTC),
		RequesterID:          "id-D",
	}
	event := backuprequest.NewBackupRequestAccepted(entity)

	t.Run("object", func(t *testing.T) {
		object := event.Object()
		assert.Equal(t, want, map[string]string{
			"backupRequestId":      object.BackupRequestID,
			"backupJobId":          object.BackupJobID,
			"dataDate":             object.DataDate,
			"preparedDataPathName": object.PreparedDataPathName,
			"statusTypeCode":       object.StatusTypeCode,
			"receivedTimestamp":    object.ReceivedTimestamp,
			"requesterId":          object.RequesterID,
		})
		assert.Len(t, want, reflect.TypeOf(object).NumField(), "a new field belongs in this test")
	})
	t.Run("string", func(t *testing.T) { assertFields(t, want, []byte(event.String())) })
	t.Run("JSON", func(t *testing.T) {
		data, err := json.Marshal(event)
		require.NoError(t, err)
		assertFields(t, want, data)
	})
	t.Run("record value", func(t *testing.T) {
		value, err := adapter.DefaultSerializer(event.MessageData())
		require.NoError(t, err)
		assertFields(t, want, value)
		assert.Equal(t, event.String(), string(value))
	})
	t.Run("key", func(t *testing.T) { assert.Equal(t, "id-A", event.MessageKey()) })
	t.Run("back to the entity", func(t *testing.T) {
		value, err := json.Marshal(want)
		require.NoError(t, err)
		var decoded backuprequest.BackupRequestAccepted
		require.NoError(t, json.Unmarshal(value, &decoded))
		back, err := decoded.Object().BackupRequest()
		require.NoError(t, err)
		assert.Equal(t, entity, back)
	})
}

func assertFields(t *testing.T, want map[string]string, data []byte) {
	t.Helper()
	var got map[string]string
	require.NoError(t, json.Unmarshal(data, &got))
	assert.Equal(t, want, got)
}

func TestBackupRequestAccepted_isAnEvent(t *testing.T) {
	event := backuprequest.NewBackupRequestAccepted(accepted())
	assert.Equal(t, "backup-request-accepted", event.TopicName())
	assert.Equal(t, "request-1", event.MessageKey())
	assert.Equal(t, event.Object(), event.MessageData())
	assert.JSONEq(t, acceptedJSON, event.String())
}

func TestBackupRequestReceived_holdsTheRequestsIDOnly(t *testing.T) {
	event := backuprequest.NewBackupRequestReceived(received())
	assert.Equal(t, "backup-request-received", event.TopicName())
	assert.Equal(t, "request-1", event.MessageKey())
	assert.Equal(t, backuprequest.ReceivedObject{BackupRequestID: "request-1"}, event.Object())
	assert.Equal(t, event.Object(), event.MessageData())
	assert.JSONEq(t, `{"backupRequestId":"request-1"}`, event.String())
}

func TestEvents_roundTripThroughJSON(t *testing.T) {
	t.Run("accepted", func(t *testing.T) {
		var back backuprequest.BackupRequestAccepted
		event := backuprequest.NewBackupRequestAccepted(accepted())
		roundTrip(t, event, &back)
		assert.Equal(t, event, back)
		require.Error(t, json.Unmarshal([]byte(`{"backupRequestId":"other","backupJobId":7}`), &back))
		assert.Equal(t, event, back, "what does not decode changes nothing")
	})
	t.Run("received", func(t *testing.T) {
		var back backuprequest.BackupRequestReceived
		event := backuprequest.NewBackupRequestReceived(received())
		roundTrip(t, event, &back)
		assert.Equal(t, event, back)
		require.Error(t, json.Unmarshal([]byte(`{"backupRequestId":7}`), &back))
		assert.Equal(t, event, back, "what does not decode changes nothing")
	})
}

func roundTrip(t *testing.T, event adapter.Event, back any) {
	t.Helper()
	value, err := adapter.DefaultSerializer(event.MessageData())
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(value, back))
}

func TestEvents_keepTheTimestampInUTC(t *testing.T) {
	r := accepted()
	r.ReceivedTimestamp = r.ReceivedTimestamp.In(time.FixedZone("west", -8*3600))
	object := backuprequest.NewBackupRequestAccepted(r).Object()
	assert.Equal(t, "2026-03-01T04:05:06.789012345Z", object.ReceivedTimestamp)

	object.ReceivedTimestamp = "2026-02-28T20:05:06.789012345-08:00"
	back, err := object.BackupRequest()
	require.NoError(t, err)
	assert.Equal(t, accepted(), back)
}

func TestAcceptedObject_reportsEveryBadField(t *testing.T) {
	for _, test := range []struct {
		name   string
		object backuprequest.AcceptedObject
		fields []string
	}{
		{"empty", backuprequest.AcceptedObject{}, []string{"dataDate", "backupRequestId", "backupJobId", "preparedDataPathName", "requesterId", "statusTypeCode", "receivedTimestamp"}},
		{"unreadable", backuprequest.AcceptedObject{
			BackupRequestID: "a", BackupJobID: "b\n", DataDate: "2026-02-30", PreparedDataPathName: "c",
			StatusTypeCode: "?", ReceivedTimestamp: "yesterday", RequesterID: "d",
		}, []string{"dataDate", "receivedTimestamp", "backupJobId", "statusTypeCode"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := test.object.BackupRequest()
			require.ErrorIs(t, err, backuprequest.ErrInvalid)
			var all backuprequest.InvalidErrors
			require.ErrorAs(t, err, &all)
			assert.Equal(t, test.fields, all.Fields(), "each once")
			assert.Zero(t, r)
		})
	}
}

func FuzzBackupRequestAccepted_decodes(f *testing.F) {
	for _, seed := range []string{
		acceptedJSON, `{}`, `null`, `[]`, `{"backupJobId":7}`, `{"dataDate":"2026-02-30"}`, "\x00", `{"backupRequestId":"\ud800"}`,
		`{"backupRequestId":"a","backupJobId":"b","dataDate":"0001-01-01","preparedDataPathName":"c","statusTypeCode":"Accepted","receivedTimestamp":"0001-01-01T00:00:00+23:59","requesterId":"d"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var event backuprequest.BackupRequestAccepted
		if err := json.Unmarshal(data, &event); err != nil {
			require.Zero(t, event)
			return
		}
		var again backuprequest.BackupRequestAccepted
		require.NoError(t, json.Unmarshal([]byte(event.String()), &again))
		require.Equal(t, event, again)

		r, err := event.Object().BackupRequest()
		if err != nil {
			require.ErrorIs(t, err, backuprequest.ErrInvalid)
			return
		}
		require.NoError(t, r.Validate())
		back, err := backuprequest.NewBackupRequestAccepted(r).Object().BackupRequest()
		require.NoError(t, err)
		require.Equal(t, r, back)
	})
}

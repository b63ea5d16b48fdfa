package backuprequest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/backuprequest/backuprequesttest"
)

// console is a publisher that prints.
type console struct{}

func (console) Publish(_ context.Context, events ...adapter.Event) error {
	for _, e := range events {
		fmt.Println(e.TopicName(), e)
	}
	return nil
}

func ExampleAcceptBackupRequest() {
	accept := backuprequest.NewAcceptBackupRequest(console{})
	accept.Now = func() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }
	accept.NewID = func() string { return "request-1" }

	_, err := accept.Accept(context.Background(), backuprequest.Submission{
		BackupJobID:          "job-7",
		DataDate:             "2026-02-28",
		PreparedDataPathName: "/prepared/2026-02-28.tar",
		RequesterID:          "requester-3",
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// backup-request-accepted {"backupRequestId":"request-1","backupJobId":"job-7","dataDate":"2026-02-28","preparedDataPathName":"/prepared/2026-02-28.tar","statusTypeCode":"Accepted","receivedTimestamp":"2026-03-01T08:00:00Z","requesterId":"requester-3"}
}

func ExampleAcceptBackupRequest_badInput() {
	accept := backuprequest.NewAcceptBackupRequest(console{})
	_, err := accept.Accept(context.Background(), backuprequest.Submission{
		BackupJobID:          "job-7",
		DataDate:             "2026-02-30",
		PreparedDataPathName: "/prepared/2026-02-30.tar",
	})
	var invalid backuprequest.InvalidErrors
	if errors.As(err, &invalid) {
		for _, field := range invalid {
			fmt.Println(field)
		}
	}
	// Output:
	// dataDate: "2026-02-30" is not a day of the calendar: give it as YYYY-MM-DD
	// requesterId: is empty
}

func ExampleReceiveBackupRequest() {
	receive := backuprequest.NewReceiveBackupRequest(&backuprequesttest.Repository{}, console{})
	accepted := backuprequest.AcceptedObject{
		BackupRequestID:      "request-1",
		BackupJobID:          "job-7",
		DataDate:             "2026-02-28",
		PreparedDataPathName: "/prepared/2026-02-28.tar",
		StatusTypeCode:       "Accepted",
		ReceivedTimestamp:    "2026-03-01T08:00:00Z",
		RequesterID:          "requester-3",
	}
	for range 2 { // delivery is at least once
		receipt, err := receive.Receive(context.Background(), accepted)
		fmt.Println(receipt.Request.StatusTypeCode, receipt.New, err)
	}
	// Output:
	// backup-request-received {"backupRequestId":"request-1"}
	// Received true <nil>
	// backup-request-received {"backupRequestId":"request-1"}
	// Received false <nil>
}

func ExampleAcceptedHandler() {
	receive := backuprequest.NewReceiveBackupRequest(&backuprequesttest.Repository{}, console{})
	handler := backuprequest.NewAcceptedHandler(receive, slog.New(slog.DiscardHandler))

	result := handler.Handle(context.Background(), &adapter.Message{
		Topic: backuprequest.TopicBackupRequestAccepted,
		Value: []byte(`{"backupRequestId": 7}`),
	})
	fmt.Println(result.Type())
	// Output: reject
}

func ExampleIsUnavailable() {
	fmt.Println(backuprequest.IsUnavailable(fmt.Errorf("%w: the lock is held", backuprequest.ErrUnavailable)))
	fmt.Println(backuprequest.IsUnavailable(errors.New("table is missing")))
	// Output:
	// true
	// false
}

func ExampleParseDate() {
	date, err := backuprequest.ParseDate("2026-02-28")
	fmt.Println(date, err)
	_, err = backuprequest.ParseDate("2026-02-30")
	fmt.Println(err)
	// Output:
	// 2026-02-28 <nil>
	// date: "2026-02-30" is not a day of the calendar: give it as YYYY-MM-DD
}

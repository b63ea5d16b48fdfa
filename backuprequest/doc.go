// Package backuprequest is the domain of a small service that is driven by
// Kafka: requests to back up the data of a day are accepted, put on a topic,
// saved, and reported as received. It is for reading as much as for running:
// it shows what a service looks like when its handler is tested with real
// records, groups and retries.
//
// Two use cases and one handler are all there is. The package knows no client
// and no database: it asks for a Publisher and a Repository. The repository
// for SQLite is in the folder sqlite, the one for tests in backuprequesttest.
//
//	accept := backuprequest.NewAcceptBackupRequest(publisher)
//	request, err := accept.Accept(ctx, backuprequest.Submission{
//		BackupJobID:          "job-7",
//		DataDate:             "2026-02-28",
//		PreparedDataPathName: "/prepared/2026-02-28.tar",
//		RequesterID:          "requester-3",
//	})
//
//	receive := backuprequest.NewReceiveBackupRequest(repository, publisher)
//	handler := backuprequest.NewAcceptedHandler(receive, logger)
//	// subscribe handler to backuprequest.TopicBackupRequestAccepted
//
// # Delivery
//
// Delivery is at least once. The same Accepted may come again, after any
// failure at any point, and the outcome is the same: one saved request for an
// id, and at least one Received.
package backuprequest

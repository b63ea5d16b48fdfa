// Package sqlite keeps backup requests in a SQLite database: the
// backuprequest.Repository of the service. It needs no C compiler.
//
//	repository, err := sqlite.Open(ctx, "backup-requests.db")
//	if err != nil {
//		return err
//	}
//	defer repository.Close()
//
//	receive := backuprequest.NewReceiveBackupRequest(repository, publisher)
//	// ...
//	saved, err := repository.Count(ctx)
//
// # What a save survives
//
// The offset of a message is committed after its request is saved, and is then
// never read again. So what Save has returned must be there after a power cut,
// and each save waits for the disk (write-ahead log, synchronous FULL).
//
// # What other programs see
//
// Any number of processes may have the same file open, and any may read it. A
// process that holds the write lock makes the others wait, as long as their
// BusyTimeout. The file must be on a local disk: the write-ahead log needs
// shared memory.
package sqlite

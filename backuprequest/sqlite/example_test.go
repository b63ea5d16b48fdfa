package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"example.com/kafkatest/backuprequest/backuprequesttest"
	"example.com/kafkatest/backuprequest/sqlite"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	repository, err := sqlite.Open(ctx, filepath.Join(dir, "backup-requests.db"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = repository.Close() }()

	for range 2 {
		fmt.Println(repository.Save(ctx, backuprequesttest.Request("request-1")))
	}
	fmt.Println(repository.Count(ctx))
	// Output:
	// true <nil>
	// false <nil>
	// 1 <nil>
}

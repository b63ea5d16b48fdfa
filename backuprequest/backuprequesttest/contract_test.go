package backuprequesttest_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/kafkatest/backuprequest/backuprequesttest"
	"example.com/kafkatest/backuprequest/sqlite"
)

func TestRepository_memoryAndSQLiteKeepTheSameContract(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		backuprequesttest.TestRepository(t, func(*testing.T) backuprequesttest.Store {
			return &backuprequesttest.Repository{}
		})
	})
	t.Run("sqlite", func(t *testing.T) {
		backuprequesttest.TestRepository(t, func(t *testing.T) backuprequesttest.Store {
			r, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, r.Close()) })
			return r
		})
	})
}

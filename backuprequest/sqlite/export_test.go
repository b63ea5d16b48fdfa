package sqlite

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// Settings are the pragmas of the connection that r writes on.
func Settings(t *testing.T, r *Repository) (journal string, synchronous, busy int) {
	t.Helper()
	require.NoError(t, r.do(t.Context(), "read settings", func(ctx context.Context) error {
		return r.db.QueryRowContext(ctx, `SELECT journal_mode, synchronous, timeout
			FROM pragma_journal_mode, pragma_synchronous, pragma_busy_timeout`).Scan(&journal, &synchronous, &busy)
	}))
	return journal, synchronous, busy
}

// During runs f as an operation of r, and returns what the operation says.
func During(t *testing.T, r *Repository, f func()) error {
	t.Helper()
	return r.do(t.Context(), "test", func(context.Context) error {
		f()
		return nil
	})
}

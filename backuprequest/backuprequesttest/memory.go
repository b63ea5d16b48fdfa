package backuprequesttest

import (
	"context"
	"fmt"
	"sync"

	"example.com/kafkatest/backuprequest"
)

var _ Store = (*Repository)(nil)

// Repository is a backuprequest.Repository in memory. It waits for nothing and
// has no timers, so that it can be used in virtual time, inside and outside of
// a bubble. The zero Repository is empty and ready. It is safe for concurrent
// use, and must not be copied.
type Repository struct {
	mu       sync.Mutex
	requests map[string]backuprequest.BackupRequest
}

// Save implements backuprequest.Repository. Its only error is the context's.
func (r *Repository) Save(ctx context.Context, request backuprequest.BackupRequest) (created bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("save backup request: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.requests[request.BackupRequestID]; ok {
		return false, nil
	}
	if r.requests == nil {
		r.requests = make(map[string]backuprequest.BackupRequest)
	}
	request.ReceivedTimestamp = request.ReceivedTimestamp.UTC().Round(0) // as it comes back from a database
	r.requests[request.BackupRequestID] = request
	return true, nil
}

// Find implements backuprequest.Repository. Its only errors are one that wraps
// backuprequest.ErrNotFound, and the context's.
func (r *Repository) Find(ctx context.Context, id string) (backuprequest.BackupRequest, error) {
	if err := ctx.Err(); err != nil {
		return backuprequest.BackupRequest{}, fmt.Errorf("find backup request: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	request, ok := r.requests[id]
	if !ok {
		return backuprequest.BackupRequest{}, fmt.Errorf("find backup request: %w: %q", backuprequest.ErrNotFound, id)
	}
	return request, nil
}

// Count is how many requests are kept. Its only error is the context's.
func (r *Repository) Count(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("count backup requests: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests), nil
}

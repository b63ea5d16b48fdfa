package backuprequest_test

import (
	"context"
	"sync"
	"time"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/backuprequest/backuprequesttest"
)

// accepted is a request in which every field has a value of its own, so that
// no two can be mixed up unseen.
func accepted() backuprequest.BackupRequest {
	r := backuprequesttest.Request("request-1")
	r.StatusTypeCode = backuprequest.StatusAccepted
	return r
}

// received is accepted, one step on.
func received() backuprequest.BackupRequest { return backuprequesttest.Request("request-1") }

func acceptedObject() backuprequest.AcceptedObject {
	return backuprequest.NewBackupRequestAccepted(accepted()).Object()
}

func submission() backuprequest.Submission {
	r := accepted()
	return backuprequest.Submission{
		BackupRequestID:      r.BackupRequestID,
		BackupJobID:          r.BackupJobID,
		DataDate:             r.DataDate.String(),
		PreparedDataPathName: r.PreparedDataPathName,
		RequesterID:          r.RequesterID,
	}
}

func clock() time.Time { return accepted().ReceivedTimestamp }

// publisher keeps what is published. While next has functions, one answers
// each call in its place.
type publisher struct {
	mu        sync.Mutex
	published []adapter.Event
	next      []func(ctx context.Context) error
}

func (p *publisher) Publish(ctx context.Context, events ...adapter.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.next) > 0 {
		answer := p.next[0]
		p.next = p.next[1:]
		return answer(ctx)
	}
	p.published = append(p.published, events...)
	return nil
}

// repository is one in memory whose next calls can be made to fail.
type repository struct {
	backuprequesttest.Repository
	saveErr, findErr error
	saves            int
}

func (r *repository) Save(ctx context.Context, request backuprequest.BackupRequest) (bool, error) {
	r.saves++
	if r.saveErr != nil {
		return false, r.saveErr
	}
	return r.Repository.Save(ctx, request)
}

func (r *repository) Find(ctx context.Context, id string) (backuprequest.BackupRequest, error) {
	if r.findErr != nil {
		return backuprequest.BackupRequest{}, r.findErr
	}
	return r.Repository.Find(ctx, id)
}

func fails(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

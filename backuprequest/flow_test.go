package backuprequest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/backuprequest/backuprequesttest"
	"example.com/kafkatest/backuprequest/sqlite"
	"example.com/kafkatest/harness"
)

// The tests in this file run the service on a cluster: the real adapter, the
// real client, consumer groups and topics.

// consoleHandler writes what it is shown, a line a message, as a console consumer
// does.
type consoleHandler struct {
	mu    sync.Mutex
	lines []string
}

func (c *consoleHandler) Handle(_ context.Context, m *adapter.Message) adapter.Result {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf("%s %s", m.Key, m.Value))
	return adapter.Commit()
}

func subscribe(h *harness.Harness, topic, group string, handler adapter.Handler) {
	h.Subscribe(adapter.Subscription{Topics: []string{topic}, Group: group, Handler: handler})
}

func numbered(n int) backuprequest.Submission {
	s := submission()
	s.BackupRequestID = fmt.Sprintf("request-%d", n)
	return s
}

// onBothClocks runs a test in virtual and in real time.
func onBothClocks(t *testing.T, body func(t *testing.T, h *harness.Harness)) {
	t.Helper()
	t.Run("virtual time", func(t *testing.T) { harness.Run(t, body) })
	t.Run("real time", func(t *testing.T) { harness.RunRealTime(t, body) })
}

func TestFlow_aConsoleConsumerShowsWhatWasPublished(t *testing.T) {
	onBothClocks(t, func(t *testing.T, h *harness.Harness) {
		shown := &consoleHandler{}
		subscribe(h, backuprequest.TopicBackupRequestAccepted, "console", shown)
		accept := backuprequest.NewAcceptBackupRequest(h.Adapter())
		var want []string
		for i := range 3 {
			r, err := accept.Accept(t.Context(), numbered(i))
			require.NoError(t, err)
			want = append(want, r.BackupRequestID+" "+backuprequest.NewBackupRequestAccepted(r).String())
		}
		h.Settle()
		assert.Equal(t, want, shown.lines)

		key, value, _ := strings.Cut(shown.lines[0], " ")
		var data map[string]string
		require.NoError(t, json.Unmarshal([]byte(value), &data))
		assert.Equal(t, "request-0", key)
		assert.Equal(t, "request-0", data["backupRequestId"])
		assert.Equal(t, submission().BackupJobID, data["backupJobId"], "the job's id, not the request's")
	})
}

// consoleUseCase says what it is called with.
type consoleUseCase struct{ out bytes.Buffer }

func (c *consoleUseCase) Receive(_ context.Context, accepted backuprequest.AcceptedObject) (backuprequest.Receipt, error) {
	fmt.Fprintf(&c.out, "receive %+v\n", accepted)
	return backuprequest.Receipt{}, nil
}

func TestFlow_theHandlerCallsTheUseCaseWithWhatWasPublished(t *testing.T) {
	onBothClocks(t, func(t *testing.T, h *harness.Harness) {
		var useCase consoleUseCase
		handler := backuprequest.NewAcceptedHandler(&useCase, slog.New(slog.DiscardHandler))
		subscribe(h, backuprequest.TopicBackupRequestAccepted, "console", handler)
		rec := h.Publish(backuprequest.NewBackupRequestAccepted(accepted()))
		h.Settle()
		assert.Equal(t, fmt.Sprintf("receive %+v\n", acceptedObject()), useCase.out.String())
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
	})
}

// savedOK is a repository that says that it has saved, and keeps nothing.
type savedOK struct {
	harness.Spy[backuprequest.BackupRequest]
}

func (s *savedOK) Save(_ context.Context, r backuprequest.BackupRequest) (bool, error) {
	err := s.Call(r)
	return err == nil, err
}

func (s *savedOK) Find(context.Context, string) (backuprequest.BackupRequest, error) {
	return backuprequest.BackupRequest{}, backuprequest.ErrNotFound
}

// receiverSpy records the calls of the use case.
type receiverSpy struct {
	harness.Spy[backuprequest.AcceptedObject]
	next backuprequest.Receiver
}

func (r *receiverSpy) Receive(ctx context.Context, accepted backuprequest.AcceptedObject) (backuprequest.Receipt, error) {
	if err := r.Call(accepted); err != nil {
		return backuprequest.Receipt{}, err
	}
	return r.next.Receive(ctx, accepted)
}

func TestFlow_fromAcceptToReceived(t *testing.T) {
	onBothClocks(t, func(t *testing.T, h *harness.Harness) {
		publisher := &harness.PublisherSpy{Next: h.Adapter()}
		repository := &savedOK{}
		receive := &receiverSpy{next: backuprequest.NewReceiveBackupRequest(repository, publisher)}
		handler := &harness.HandlerSpy{Next: backuprequest.NewAcceptedHandler(receive, slog.New(slog.DiscardHandler))}
		shown := &consoleHandler{}
		h.CreateTopics(backuprequest.TopicBackupRequestAccepted+":3", backuprequest.TopicBackupRequestReceived+":3")
		subscribe(h, backuprequest.TopicBackupRequestAccepted, "backup-request", handler)
		subscribe(h, backuprequest.TopicBackupRequestReceived, "console", shown)

		accept := backuprequest.NewAcceptBackupRequest(publisher)
		accept.Now = clock
		_, err := accept.Accept(t.Context(), submission())
		require.NoError(t, err)
		h.Settle()

		assert.Equal(t, 2, publisher.Calls.Count(), "Accepted, then Received")
		assert.Equal(t, 1, handler.Calls.Count(), "the handler runs")
		assert.Equal(t, []backuprequest.AcceptedObject{acceptedObject()}, receive.Calls(), "Receive runs")
		assert.Equal(t, []backuprequest.BackupRequest{received()}, repository.Calls(), "save is called")
		assert.Equal(t, []string{`request-1 {"backupRequestId":"request-1"}`}, shown.lines, "the console shows the second topic")
	})
}

func TestFlow_membersOfAGroupShareTheWork(t *testing.T) {
	const n = 60
	onBothClocks(t, func(t *testing.T, h *harness.Harness) {
		repository := &backuprequesttest.Repository{}
		h.CreateTopics(backuprequest.TopicBackupRequestAccepted+":6", backuprequest.TopicBackupRequestReceived)
		var members []*harness.HandlerSpy
		for range 2 {
			a := h.NewAdapter()
			receive := backuprequest.NewReceiveBackupRequest(repository, a)
			spy := &harness.HandlerSpy{Next: backuprequest.NewAcceptedHandler(receive, slog.New(slog.DiscardHandler))}
			members = append(members, spy)
			_, err := a.Subscribe(t.Context(), adapter.Subscription{
				Topics: []string{backuprequest.TopicBackupRequestAccepted}, Group: "backup-request", Handler: spy,
			})
			require.NoError(t, err)
		}
		h.Settle() // both are in the group
		accept := backuprequest.NewAcceptBackupRequest(h.Adapter())
		for i := range n {
			_, err := accept.Accept(t.Context(), numbered(i))
			require.NoError(t, err)
		}
		h.Settle()
		assert.NotZero(t, members[0].Calls.Count())
		assert.NotZero(t, members[1].Calls.Count())
		assert.Equal(t, n, members[0].Calls.Count()+members[1].Calls.Count(), "each request once")
		count, err := repository.Count(t.Context())
		require.NoError(t, err)
		assert.Equal(t, n, count)
		assert.Len(t, h.Topic(backuprequest.TopicBackupRequestReceived).Records(), n)
	})
}

func TestFlow_aCrashBetweenSaveAndPublishIsMadeGoodByTheRedelivery(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		repository := &backuprequesttest.Repository{}
		h.CreateTopics(backuprequest.TopicBackupRequestAccepted, backuprequest.TopicBackupRequestReceived)

		// The first process saves, and dies where it would publish.
		died := make(chan struct{})
		publish := &dyingPublisher{died: died}
		first := h.NewAdapter()
		_, err := first.Subscribe(t.Context(), adapter.Subscription{
			Topics: []string{backuprequest.TopicBackupRequestAccepted}, Group: "backup-request",
			Handler: backuprequest.NewAcceptedHandler(backuprequest.NewReceiveBackupRequest(repository, publish), slog.New(slog.DiscardHandler)),
		})
		require.NoError(t, err)
		rec := h.Publish(backuprequest.NewBackupRequestAccepted(accepted()))
		<-died
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, first.Close(gone), "it has no time to end its handler")
		assert.Empty(t, h.Topic(backuprequest.TopicBackupRequestReceived).Records())

		receive := backuprequest.NewReceiveBackupRequest(repository, h.Adapter())
		subscribe(h, backuprequest.TopicBackupRequestAccepted, "backup-request", backuprequest.NewAcceptedHandler(receive, slog.New(slog.DiscardHandler)))
		h.Settle()
		f := h.Fate(rec)
		assert.Equal(t, harness.Committed, f.Kind)
		assert.Equal(t, 2, f.Deliveries)
		count, err := repository.Count(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, count)
		assert.Len(t, h.Topic(backuprequest.TopicBackupRequestReceived).Records(), 1)
	})
}

// dyingPublisher takes its process with it: nothing it was asked for happens,
// and nobody hears of it again.
type dyingPublisher struct {
	died chan struct{}
	once sync.Once
}

func (p *dyingPublisher) Publish(ctx context.Context, _ ...adapter.Event) error {
	p.once.Do(func() { close(p.died) })
	<-ctx.Done()
	return ctx.Err()
}

func TestFlow_aDatabaseThatIsAwayForAWhileLosesNothing(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		repository := &savedOK{}
		repository.FailNext(6, fmt.Errorf("%w: connection refused", backuprequest.ErrUnavailable))
		receive := backuprequest.NewReceiveBackupRequest(repository, h.Adapter())
		h.CreateTopics(backuprequest.TopicBackupRequestReceived)
		subscribe(h, backuprequest.TopicBackupRequestAccepted, "backup-request", backuprequest.NewAcceptedHandler(receive, slog.New(slog.DiscardHandler)))
		rec := h.Publish(backuprequest.NewBackupRequestAccepted(accepted()))
		start := time.Now()
		h.Settle()
		f := h.Fate(rec)
		assert.Equal(t, harness.Committed, f.Kind, f)
		assert.Equal(t, 7, f.Attempts)
		assert.Greater(t, time.Since(start), 6*time.Second, "it backs off")
		assert.Len(t, h.Topic(backuprequest.TopicBackupRequestReceived).Records(), 1)
	})
}

// raw is a value that no event of ours would have.
type raw struct{ value []byte }

func (raw) TopicName() string  { return backuprequest.TopicBackupRequestAccepted }
func (raw) MessageKey() string { return "key" }
func (r raw) MessageData() any { return r.value }
func (raw) MessageHeaders() []adapter.Header {
	return []adapter.Header{{Key: "source", Value: []byte("elsewhere")}}
}

func TestFlow_aBadValueIsKeptOnTheDeadLetterTopic(t *testing.T) {
	bad := received() // the wrong status for a request that is to be received
	wrongStatus, err := json.Marshal(backuprequest.NewBackupRequestAccepted(bad))
	require.NoError(t, err)
	for name, value := range map[string][]byte{
		"not JSON":      []byte("{\x00\xff"),
		"a tombstone":   nil,
		"other fields":  []byte(`{"order":7}`),
		"wrong status":  wrongStatus,
		"an empty text": {},
	} {
		t.Run(name, func(t *testing.T) {
			harness.Run(t, func(t *testing.T, h *harness.Harness) {
				repository := &backuprequesttest.Repository{}
				receive := backuprequest.NewReceiveBackupRequest(repository, h.Adapter())
				h.CreateTopics(backuprequest.TopicBackupRequestReceived)
				subscribe(h, backuprequest.TopicBackupRequestAccepted, "backup-request", backuprequest.NewAcceptedHandler(receive, slog.New(slog.DiscardHandler)))
				before := h.Publish(backuprequest.NewBackupRequestAccepted(accepted()))
				rec := h.Publish(raw{value})
				h.Settle()
				assert.Equal(t, harness.Committed, h.Fate(before).Kind)
				f := h.Fate(rec)
				assert.Equal(t, harness.DeadLettered, f.Kind, f)
				assert.Equal(t, 1, f.Attempts, "trying again cannot help")
				letters := h.Topic(adapter.DeadLetterTopic(backuprequest.TopicBackupRequestAccepted, "backup-request")).Records()
				require.Len(t, letters, 1)
				assert.Equal(t, value, letters[0].Value)
				assert.Equal(t, "key", string(letters[0].Key))
				assert.Equal(t, "elsewhere", letters[0].Header("source"))
				assert.NotEmpty(t, letters[0].Header(adapter.HeaderError))
			})
		})
	}
}

func TestFlow_withSQLite(t *testing.T) {
	onBothClocks(t, func(t *testing.T, h *harness.Harness) {
		repository, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "requests.db"))
		require.NoError(t, err)
		defer func() { assert.NoError(t, repository.Close()) }()
		receive := backuprequest.NewReceiveBackupRequest(repository, h.Adapter())
		h.CreateTopics(backuprequest.TopicBackupRequestReceived)
		subscribe(h, backuprequest.TopicBackupRequestAccepted, "backup-request", backuprequest.NewAcceptedHandler(receive, slog.New(slog.DiscardHandler)))
		rec := h.Publish(backuprequest.NewBackupRequestAccepted(accepted()))
		again := h.Publish(backuprequest.NewBackupRequestAccepted(accepted()))
		h.Settle()
		assert.Equal(t, harness.Committed, h.Fate(rec).Kind)
		assert.Equal(t, harness.Committed, h.Fate(again).Kind)
		saved, err := repository.Find(t.Context(), accepted().BackupRequestID)
		require.NoError(t, err)
		assert.Equal(t, received(), saved)
		count, err := repository.Count(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, count)
		assert.Len(t, h.Topic(backuprequest.TopicBackupRequestReceived).Records(), 2, "Received is published again")
	})
}

var errDown = errors.New("down")

func TestFlow_aReceivedThatCannotBePublishedIsPublishedLater(t *testing.T) {
	harness.Run(t, func(t *testing.T, h *harness.Harness) {
		repository := &backuprequesttest.Repository{}
		publisher := &harness.PublisherSpy{Next: h.Adapter()}
		publisher.Calls.FailNext(3, errDown)
		receive := backuprequest.NewReceiveBackupRequest(repository, publisher)
		h.CreateTopics(backuprequest.TopicBackupRequestReceived)
		subscribe(h, backuprequest.TopicBackupRequestAccepted, "backup-request", backuprequest.NewAcceptedHandler(receive, slog.New(slog.DiscardHandler)))
		rec := h.Publish(backuprequest.NewBackupRequestAccepted(accepted()))
		h.Settle()
		assert.Equal(t, 4, h.Fate(rec).Attempts)
		count, err := repository.Count(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, count, "saved by the first attempt, and by no other")
		assert.Len(t, h.Topic(backuprequest.TopicBackupRequestReceived).Records(), 1)
	})
}

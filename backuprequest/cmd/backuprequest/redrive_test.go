package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/backuprequest"
	"example.com/kafkatest/fakebroker"
)

func TestRedrive_interruptedTellsHowFarItCameAndGoesOnFromThere(t *testing.T) {
	broker := fakebroker.Run(t)
	address := strings.Join(broker.Addrs(), ",")
	require.NoError(t, broker.CreateTopic(fakebroker.Topic{Name: backuprequest.TopicBackupRequestAccepted}))
	a, err := adapter.New(adapter.Config{Brokers: broker.Addrs()})
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Close(context.Background())) }()
	rejected := make(chan struct{}, 2)
	_, err = a.Subscribe(t.Context(), adapter.Subscription{
		Topics: []string{backuprequest.TopicBackupRequestAccepted}, Group: "backup-request",
		Handler: adapter.HandlerFunc(func(context.Context, *adapter.Message) adapter.Result {
			rejected <- struct{}{}
			return adapter.Reject(assert.AnError)
		}),
	})
	require.NoError(t, err)
	require.Equal(t, 0, execute([]string{"produce", "--count", "2", "--brokers", address}, streams{nil, newTranscript(), newTranscript()}))
	<-rejected
	<-rejected
	letters := adapter.DeadLetterTopic(backuprequest.TopicBackupRequestAccepted, "backup-request")
	awaitRecords(t, address, letters, 2)

	topic := adapter.RedriveTopic(backuprequest.TopicBackupRequestAccepted, "backup-request")
	refuse := broker.Refuse(kerr.NotEnoughReplicas, fakebroker.Scope{APIs: []kmsg.Key{kmsg.Produce}, Topic: topic})
	p := launch(t, "backuprequest", "redrive", "--brokers", address, "--apply")
	require.Eventually(t, func() bool { return refuse.Hits() > 0 }, 30*time.Second, 10*time.Millisecond)
	p.signal(os.Interrupt)
	p.stderr.await(t, "interrupted: waiting for what is under way")
	refuse.Clear()
	assert.Equal(t, 1, p.wait())
	assert.Contains(t, p.stderr.String(), "interrupted: run it again to go on")
	assert.Contains(t, p.stdout.String(), "matched ")
	require.Equal(t, 0, execute([]string{"redrive", "--brokers", address, "--apply"}, streams{nil, newTranscript(), newTranscript()}))
	assert.Len(t, keys(t, address, topic), 2)
	records, err := broker.Records(topic)
	require.NoError(t, err)
	assert.Len(t, records, 2, "none was taken back twice")
}

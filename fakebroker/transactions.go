package fakebroker

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Transaction is a snapshot of a transactional id.
type Transaction struct {
	ID            string
	State         string // as Kafka says it: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort
	Coordinator   int32  // node id
	ProducerID    int64
	ProducerEpoch int16
	Timeout       time.Duration      // after which the coordinator aborts it
	Started       time.Time          // zero when none is open
	Partitions    map[string][]int32 // written to in the open one, by topic
}

// Transactions returns the transactional ids there are, sorted; nil when the
// broker is closed. It is safe for concurrent use.
func (b *Broker) Transactions() []Transaction {
	var out []Transaction
	for _, node := range b.nodes() {
		resp, err := b.ask(context.Background(), node, own(kmsg.NewPtrListTransactionsRequest()))
		if err != nil {
			return nil
		}
		for _, t := range resp.(*kmsg.ListTransactionsResponse).TransactionStates {
			inside, outside := b.place(coordinated{transactions, t.TransactionalID})
			if inside != node {
				continue
			}
			tx, err := b.transaction(node, t.TransactionalID)
			if err != nil {
				return nil
			}
			tx.Coordinator = b.id(outside)
			out = append(out, tx)
		}
	}
	slices.SortFunc(out, func(x, y Transaction) int { return cmp.Compare(x.ID, y.ID) })
	return out
}

func (b *Broker) transaction(coordinator int32, id string) (Transaction, error) {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{id}
	resp, err := b.ask(context.Background(), coordinator, own(req))
	if err != nil {
		return Transaction{}, err
	}
	tx := Transaction{ID: id}
	for _, t := range resp.(*kmsg.DescribeTransactionsResponse).TransactionStates {
		tx.State, tx.ProducerID, tx.ProducerEpoch = t.State, t.ProducerID, t.ProducerEpoch
		tx.Timeout = time.Duration(t.TimeoutMillis) * time.Millisecond
		if t.StartTimestamp >= 0 {
			tx.Started = time.UnixMilli(t.StartTimestamp)
		}
		for _, topic := range t.Topics {
			if tx.Partitions == nil {
				tx.Partitions = make(map[string][]int32)
			}
			slices.Sort(topic.Partitions)
			tx.Partitions[topic.Topic] = topic.Partitions
		}
	}
	return tx, nil
}

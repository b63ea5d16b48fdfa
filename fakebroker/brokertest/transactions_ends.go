package brokertest

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func transactionEndBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "transactions/committed records are read by who reads committed records",
			Source: "KIP-98: EndTxn, isolation_level",
			Run:    committedAreRead,
		},
		{
			Name:   "transactions/aborted records are not read by who reads committed records",
			Source: "KIP-98: EndTxn, aborted_transactions",
			Run:    abortedAreNotRead,
		},
		{
			Name:   "transactions/the end comes to all partitions",
			Source: "KIP-98: WriteTxnMarkers; TransactionMarkerChannelManager",
			Run:    endsEverywhere,
		},
		{
			Name:   "transactions/offsets become the group's with the commit",
			Source: "KIP-98: TxnOffsetCommit, EndTxn; KIP-447",
			Run:    func(t T, c Cluster) { offsetsOfTransaction(t, c, true) },
		},
		{
			Name:   "transactions/offsets do not become the group's with the abort",
			Source: "KIP-98: TxnOffsetCommit, EndTxn; KIP-447",
			Run:    func(t T, c Cluster) { offsetsOfTransaction(t, c, false) },
		},
		{
			Name:   "transactions/a second producer with the id aborts what the first left open",
			Source: "KIP-98: InitProducerId; TransactionMetadata.prepareFenceProducerEpoch",
			Run:    secondAborts,
		},
		{
			Name:   "transactions/a commit of a zombie is refused and commits nothing",
			Source: "KIP-98, KIP-588: EndTxn: PRODUCER_FENCED, INVALID_PRODUCER_EPOCH",
			Run:    zombieCommits,
		},
		{
			Name:   "transactions/records of one that times out are aborted",
			Source: "KIP-98: transaction.timeout.ms; TransactionCoordinator.abortTimedOutTransactions",
			Run:    timesOut,
		},
		{
			Name:   "transactions/a timeout above the broker's limit is refused",
			Source: "transaction.max.timeout.ms; TransactionCoordinator.handleInitProducerId: INVALID_TRANSACTION_TIMEOUT",
			Run:    timeoutTooLong,
		},
	}
}

// transacting is a client with a transactional id of its own.
func transacting(t T, c Cluster, id string) *kgo.Client {
	t.Helper()
	return newClient(t, c, kgo.TransactionalID(id), kgo.TransactionTimeout(time.Minute))
}

// inTransaction begins a transaction and writes records in it.
func inTransaction(t T, cl *kgo.Client, topic string, values ...string) {
	t.Helper()
	noError(t, cl.BeginTransaction())
	produce(t, cl, topic, values...)
	awaitTopics(t, cl)
}

// awaitTopics returns when the client has stored the topics that it has heard of. Before
// that it may find no partition in a transaction, and aborts that in place of committing
// it, without an error.
func awaitTopics(t T, cl *kgo.Client) {
	t.Helper()
	noError(t, cl.AbortBufferedRecords(within(t))) // looks for those that are not known; there are none
}

func committedAreRead(t T, c Cluster) {
	cl := transacting(t, c, name("transaction"))
	topic := newTopic(t, cl, 1)
	for _, value := range []string{"a", "b"} {
		inTransaction(t, cl, topic, value)
		noError(t, cl.EndTransaction(within(t), kgo.TryCommit))
	}
	equal(t, "records", valuesOf(t, c, topic, 2, kgo.FetchIsolationLevel(kgo.ReadCommitted())), []string{"a", "b"})
}

func abortedAreNotRead(t T, c Cluster) {
	cl := transacting(t, c, name("transaction"))
	topic := newTopic(t, cl, 1)
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		value := "aborted"
		if end == kgo.TryCommit {
			value = "committed"
		}
		inTransaction(t, cl, topic, value)
		noError(t, cl.EndTransaction(within(t), end))
	}
	equal(t, "records", valuesOf(t, c, topic, 2, kgo.FetchIsolationLevel(kgo.ReadCommitted())), []string{"committed", "committed"})
	equal(t, "all records", valuesOf(t, c, topic, 4), []string{"aborted", "committed", "aborted", "committed"})
}

func endsEverywhere(t T, c Cluster) {
	cl := transacting(t, c, name("transaction"))
	topics := []string{newTopic(t, cl, 1), newTopic(t, cl, 1), newTopic(t, cl, 1)}
	noError(t, cl.BeginTransaction())
	for _, topic := range topics {
		produce(t, cl, topic, "a")
	}
	awaitTopics(t, cl)
	noError(t, cl.EndTransaction(within(t), kgo.TryCommit))
	for _, topic := range topics {
		equal(t, "records", valuesOf(t, c, topic, 1, kgo.FetchIsolationLevel(kgo.ReadCommitted())), []string{"a"})
		equal(t, "the end with the marker", offsetAt(t, cl, topic, latest).Offset, 2)
	}
}

func offsetsOfTransaction(t T, c Cluster, commit bool) {
	topic := newTopicOf(t, newClient(t, c), 2)
	group := name("group")
	commits(t, c, group, topic, 0, 9)
	before := []offset{bare(0, 0), bare(1, 9)}
	p := newProducer(t, c)
	code(t, "group", p.addGroup(3, group), nil)
	code(t, "offset", p.commitOffset(c, 3, group, topic.name), nil)
	equal(t, "offsets while it is open", committedIn(t, c, group, topic), before)
	code(t, "end", p.end(4, commit).ErrorCode, nil)
	want := before
	if commit {
		want = []offset{bare(0, 1), bare(1, 9)}
	}
	// Stable ones: those that no transaction may change still.
	var got []offset
	eventually(t, "stable offsets", func() bool {
		got = offsetsIn(t, 8, askIn[*kmsg.OffsetFetchResponse](t, c, 8, offsetsOf(8, true, &topic, group)), group)
		return got[0].code == 0
	})
	equal(t, "offsets", got, want)
}

// twoOfOneID are two producers of one transactional id, the later of which has begun a
// transaction while one of the first was open, on the same topic.
func twoOfOneID(t T, c Cluster) (first, second *kgo.Client, topic string) {
	t.Helper()
	id := name("transaction")
	first = transacting(t, c, id)
	topic = newTopic(t, first, 1)
	inTransaction(t, first, topic, "of the first")
	second = transacting(t, c, id)
	inTransaction(t, second, topic, "of the second")
	return first, second, topic
}

// secondCommits commits the second one's, of which alone there is anything then.
func secondCommits(t T, c Cluster, second *kgo.Client, topic string) {
	t.Helper()
	noError(t, second.EndTransaction(within(t), kgo.TryCommit))
	equal(t, "records", valuesOf(t, c, topic, 1, kgo.FetchIsolationLevel(kgo.ReadCommitted())), []string{"of the second"})
}

func secondAborts(t T, c Cluster) {
	_, second, topic := twoOfOneID(t, c)
	secondCommits(t, c, second, topic)
}

// fenced reports an error by which a producer learns that there is a later one.
func fenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}

func zombieCommits(t T, c Cluster) {
	zombie, second, topic := twoOfOneID(t, c)
	if err := zombie.EndTransaction(within(t), kgo.TryCommit); !fenced(err) {
		t.Errorf("commit of the zombie: %v, want %v or %v", err, kerr.ProducerFenced, kerr.InvalidProducerEpoch)
	}
	secondCommits(t, c, second, topic)
}

func timesOut(t T, c Cluster) {
	cl := newClient(t, c)
	topic := newTopicOf(t, cl, 1)
	p := &producer{id: name("transaction"), timeout: time.Second}
	p.raw = coordinator(t, c, p.id)
	p.begin().writes(cl, topic.name, 0, "too late")
	produce(t, cl, topic.name, "in none")
	equal(t, "records", valuesOf(t, c, topic.name, 1, kgo.FetchIsolationLevel(kgo.ReadCommitted())), []string{"in none"})
	equal(t, "the end with the marker", offsetAt(t, cl, topic.name, latest).Offset, 3)
}

func timeoutTooLong(t T, c Cluster) {
	p := &producer{id: name("transaction")}
	p.raw = coordinator(t, c, p.id)
	const limit = 15 * time.Minute // by default
	p.timeout = limit + time.Millisecond
	resp := p.init(4, -1, -1)
	code(t, "above the limit", resp.ErrorCode, kerr.InvalidTransactionTimeout)
	equal(t, "producer id", resp.ProducerID, -1)
	p.timeout = limit
	code(t, "at the limit", p.init(4, -1, -1).ErrorCode, nil)
}

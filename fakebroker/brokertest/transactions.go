package brokertest

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func transactionBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "transactions/a producer of an earlier epoch is refused as its version has it",
			Source: "KIP-588; TransactionCoordinator.handleEndTransaction, KafkaApis.handleEndTxnRequest",
			Run:    staleEpoch,
		},
		{
			Name:   "transactions/the transactional id has to be that of the producer id",
			Source: "TransactionCoordinator: INVALID_PRODUCER_ID_MAPPING",
			Run:    othersProducerID,
		},
		{
			Name:   "transactions/a producer continues its own epoch only",
			Source: "KIP-360; TransactionMetadata.prepareIncrementProducerEpoch",
			Run:    continuesOwnEpoch,
		},
		{
			Name:   "transactions/what has not begun cannot end",
			Source: "TransactionCoordinator.endTransaction; KIP-890 for aborts since v5",
			Run:    endOfNothing,
		},
		{
			Name:   "transactions/partitions are added for several transactions at once",
			Source: "KIP-890: AddPartitionsToTxn v4",
			Run:    addsInBatches,
		},
		{
			Name:   "transactions/offsets go to a group of the transaction",
			Source: "KIP-447, KIP-890: TxnOffsetCommit",
			Run:    offsetsOfNoTransaction,
		},
		{
			Name:   "transactions/a fenced producer cannot write",
			Source: "Produce: INVALID_PRODUCER_EPOCH; KIP-890, KIP-588",
			Run:    fencedProducerWrites,
		},
		{
			Name:   "transactions/how the last one ended is told",
			Source: "KIP-664; TransactionState",
			Run:    tellsHowItEnded,
		},
		{
			Name:   "transactions/a producer whose transaction timed out continues its epoch",
			Source: "KIP-588; TransactionCoordinator.abortTimedOutTransactions",
			Run:    continuesAfterTimeout,
		},
		{
			Name:   "transactions/a later producer fences the one whose transaction it ends",
			Source: "KIP-98, KIP-360; TransactionMetadata.prepareFenceProducerEpoch",
			Run:    endsEarlier,
		},
		{
			Name:   "transactions/a broker lists those that it coordinates",
			Source: "KIP-664; TransactionStateManager.listTransactionStates",
			Needs:  Needs{Brokers: 3},
			Run:    listsItsOwn,
		},
		{
			Name:   "transactions/the list is filtered by state and pattern",
			Source: "KIP-664, KIP-1152",
			Run:    filtersList,
		},
	}
}

// producer is a transactional producer, by the connection to its coordinator.
type producer struct {
	*raw
	id    string
	pid   int64
	epoch int16

	timeout time.Duration // of its transactions; zero means a minute
}

// coordinator connects to the coordinator of a transactional id.
func coordinator(t T, c Cluster, id string) *raw {
	t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	const transaction = 1
	req.CoordinatorKey, req.CoordinatorType = id, transaction
	var conn *raw
	eventually(t, "the coordinator of "+id, func() bool {
		resp, ok := dial(t, c.Options).ask(2, req).(*kmsg.FindCoordinatorResponse)
		if !ok || resp.ErrorCode != 0 {
			return false
		}
		conn = dial(t, append(slices.Clone(c.Options), kgo.SeedBrokers(address(resp.Host, resp.Port))))
		return true
	})
	return conn
}

// newProducer begins with a transactional id of a new name, whose epoch is 1 so
// that there is an earlier one.
func newProducer(t T, c Cluster) *producer {
	t.Helper()
	id := name("transaction")
	p := &producer{raw: coordinator(t, c, id), id: id}
	p.begin()
	return p.begin()
}

// begin has the coordinator fence who uses the transactional id.
func (p *producer) begin() *producer {
	p.t.Helper()
	resp := p.init(4, -1, -1)
	code(p.t, "begin", resp.ErrorCode, nil)
	p.pid, p.epoch = resp.ProducerID, resp.ProducerEpoch
	return p
}

// concluded asks until the coordinator has done what it is doing.
func concluded[R kmsg.Response](p *raw, version int16, req kmsg.Request, codeOf func(R) int16) R {
	p.t.Helper()
	var out R
	eventually(p.t, "an answer", func() bool {
		resp, ok := p.ask(version, req).(R)
		if !ok {
			p.t.Errorf("%s v%d: no answer", kmsg.NameForKey(req.Key()), version)
			p.t.FailNow()
		}
		out = resp
		switch codeOf(resp) {
		case kerr.ConcurrentTransactions.Code, kerr.CoordinatorLoadInProgress.Code, kerr.CoordinatorNotAvailable.Code:
			return false
		}
		return true
	})
	return out
}

func (p *producer) init(version int16, pid int64, epoch int16) *kmsg.InitProducerIDResponse {
	p.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	timeout := cmp.Or(p.timeout, time.Minute)
	req.TransactionalID, req.TransactionTimeoutMillis = &p.id, int32(timeout.Milliseconds())
	req.ProducerID, req.ProducerEpoch = pid, epoch
	return concluded(p.raw, version, req, func(r *kmsg.InitProducerIDResponse) int16 { return r.ErrorCode })
}

func (p *producer) end(version int16, commit bool) *kmsg.EndTxnResponse {
	p.t.Helper()
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = p.id, p.pid, p.epoch, commit
	return concluded(p.raw, version, req, func(r *kmsg.EndTxnResponse) int16 { return r.ErrorCode })
}

func (p *producer) addPartition(version int16, topic string) int16 {
	p.t.Helper()
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = p.id, p.pid, p.epoch
	rt := kmsg.NewAddPartitionsToTxnRequestTopic()
	rt.Topic, rt.Partitions = topic, []int32{0}
	req.Topics = append(req.Topics, rt)
	codeOf := func(r *kmsg.AddPartitionsToTxnResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode }
	return codeOf(concluded(p.raw, version, req, codeOf))
}

func (p *producer) addGroup(version int16, group string) int16 {
	p.t.Helper()
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = p.id, p.pid, p.epoch, group
	codeOf := func(r *kmsg.AddOffsetsToTxnResponse) int16 { return r.ErrorCode }
	return codeOf(concluded(p.raw, version, req, codeOf))
}

func (p *producer) commitOffset(c Cluster, v int16, group, topic string) int16 {
	p.t.Helper()
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group, req.Generation = p.id, p.pid, p.epoch, group, -1
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset = 1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	cl := newClient(p.t, c, version(kmsg.TxnOffsetCommit, v))
	return ask[*kmsg.TxnOffsetCommitResponse](p.t, cl, req).Topics[0].Partitions[0].ErrorCode
}

func (p *producer) write(c Cluster, version int16, topic string) int16 {
	p.t.Helper()
	const transactional = 1 << 4
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID, req.Acks, req.TimeoutMillis = &p.id, -1, int32(patience.Milliseconds())
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	now := time.Now().UnixMilli()
	rp.Records = encode(kmsg.RecordBatch{
		Attributes: transactional, ProducerID: p.pid, ProducerEpoch: p.epoch, FirstTimestamp: now, MaxTimestamp: now,
	}, "value")
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	cl := newClient(p.t, c)
	node := partition(p.t, cl, topic).Leader
	for _, b := range ask[*kmsg.MetadataResponse](p.t, cl, kmsg.NewPtrMetadataRequest()).Brokers {
		if b.NodeID == node {
			conn := dial(p.t, append(slices.Clone(c.Options), kgo.SeedBrokers(address(b.Host, b.Port))))
			resp, ok := conn.ask(version, req).(*kmsg.ProduceResponse)
			if !ok {
				p.t.Errorf("produce v%d: no answer", version)
				p.t.FailNow()
			}
			return resp.Topics[0].Partitions[0].ErrorCode
		}
	}
	p.t.Errorf("the leader, %d, is no broker", node)
	p.t.FailNow()
	return 0
}

// earlier is the producer that a later one has fenced.
func (p *producer) earlier() *producer {
	q := *p
	q.epoch--
	return &q
}

// later is a producer that there never was.
func (p *producer) later() *producer {
	q := *p
	q.epoch++
	return &q
}

func staleEpoch(t T, c Cluster) {
	cl := newClient(t, c)
	topic, group := newTopic(t, cl, 1), name("group")
	p := newProducer(t, c)
	code(t, "add", p.addPartition(3, topic), nil)
	for what, q := range map[string]*producer{"earlier": p.earlier(), "later": p.later()} {
		for v := int16(0); v <= 5; v++ {
			code(t, what+" EndTxn v"+number(int32(v)), q.end(v, true).ErrorCode, since(2, v))
		}
		for v := int16(0); v <= 3; v++ {
			code(t, what+" AddPartitionsToTxn v"+number(int32(v)), q.addPartition(v, topic), since(2, v))
		}
		for v := int16(0); v <= 4; v++ {
			code(t, what+" AddOffsetsToTxn v"+number(int32(v)), q.addGroup(v, group), since(2, v))
		}
	}
	code(t, "end", p.end(3, false).ErrorCode, nil)
	for v := int16(3); v <= 5; v++ {
		resp := p.init(v, p.pid, p.epoch+1)
		code(t, "later InitProducerId v"+number(int32(v)), resp.ErrorCode, since(4, v))
		equal(t, "epoch", resp.ProducerEpoch, int16(-1))
	}
}

// since is the error that fences a producer, which older versions do not know.
func since(first, version int16) *kerr.Error {
	if version < first {
		return kerr.InvalidProducerEpoch
	}
	return kerr.ProducerFenced
}

func othersProducerID(t T, c Cluster) {
	cl := newClient(t, c)
	topic, group := newTopic(t, cl, 1), name("group")
	p, other := newProducer(t, c), newProducer(t, c)
	code(t, "add", other.addPartition(3, topic), nil)
	mine := *p
	mine.pid, mine.epoch = other.pid, other.epoch
	nobody := mine
	nobody.id = name("transaction")
	nobody.raw = coordinator(t, c, nobody.id)
	for what, q := range map[string]*producer{"somebody else's id": &mine, "nobody's id": &nobody} {
		for v := int16(0); v <= 5; v++ {
			code(t, what+": EndTxn v"+number(int32(v)), q.end(v, true).ErrorCode, kerr.InvalidProducerIDMapping)
		}
		for v := int16(0); v <= 3; v++ {
			code(t, what+": AddPartitionsToTxn v"+number(int32(v)), q.addPartition(v, topic), kerr.InvalidProducerIDMapping)
		}
		for v := int16(0); v <= 4; v++ {
			code(t, what+": AddOffsetsToTxn v"+number(int32(v)), q.addGroup(v, group), kerr.InvalidProducerIDMapping)
		}
	}
	for v := int16(0); v <= 5; v++ {
		code(t, "TxnOffsetCommit v"+number(int32(v)), mine.commitOffset(c, v, group, topic), kerr.InvalidProducerIDMapping)
	}
	nobody.id = ""
	for v := int16(0); v <= 5; v++ {
		code(t, "EndTxn of no id v"+number(int32(v)), nobody.end(v, true).ErrorCode, kerr.InvalidRequest)
	}
	code(t, "the other's transaction still ends", other.end(3, true).ErrorCode, nil)
}

func continuesOwnEpoch(t T, c Cluster) {
	for v := int16(3); v <= 5; v++ {
		p := newProducer(t, c)
		resp := p.init(v, p.pid, p.epoch)
		code(t, "own epoch", resp.ErrorCode, nil)
		equal(t, "epoch", resp.ProducerEpoch, p.epoch+1)
		resp = p.init(v, p.pid, p.epoch)
		code(t, "asked again", resp.ErrorCode, nil)
		equal(t, "epoch when asked again", resp.ProducerEpoch, p.epoch+1)
		resp = p.init(v, p.pid, p.epoch+1)
		code(t, "next epoch", resp.ErrorCode, nil)
		equal(t, "next epoch", resp.ProducerEpoch, p.epoch+2)
		resp = p.init(v, p.pid, p.epoch)
		code(t, "an earlier epoch", resp.ErrorCode, since(4, v))
		equal(t, "producer of an error", resp.ProducerID, int64(-1))
		equal(t, "epoch of an error", resp.ProducerEpoch, int16(-1))

		p.begin()
		code(t, "the epoch before another began", p.init(v, p.pid, p.epoch-1).ErrorCode, since(4, v))
		other := newProducer(t, c)
		code(t, "somebody else's producer id", p.init(v, other.pid, other.epoch).ErrorCode, since(4, v))
		code(t, "a producer id without an epoch", p.init(v, p.pid, -1).ErrorCode, kerr.InvalidRequest)
		code(t, "an epoch without a producer id", p.init(v, -1, 0).ErrorCode, kerr.InvalidRequest)

		unknown := &producer{id: name("transaction")}
		unknown.raw = coordinator(t, c, unknown.id)
		resp = unknown.init(v, math.MaxInt64, 7)
		code(t, "an id that has expired", resp.ErrorCode, nil)
		equal(t, "epoch of a new one", resp.ProducerEpoch, int16(0))
	}
}

func endOfNothing(t T, c Cluster) {
	topic := newTopic(t, newClient(t, c), 1)
	for v := int16(0); v <= 5; v++ {
		p := newProducer(t, c)
		code(t, "commit v"+number(int32(v)), p.end(v, true).ErrorCode, kerr.InvalidTxnState)
		if v < 5 {
			code(t, "abort v"+number(int32(v)), p.end(v, false).ErrorCode, kerr.InvalidTxnState)
		} else {
			resp := p.end(v, false)
			code(t, "abort v5", resp.ErrorCode, nil)
			equal(t, "epoch", resp.ProducerEpoch, p.epoch+1)
		}
		// The transaction before belongs to a producer that is gone.
		p.begin()
		code(t, "add", p.addPartition(3, topic), nil)
		code(t, "commit", p.end(3, true).ErrorCode, nil)
		code(t, "commit again", p.end(min(v, 4), true).ErrorCode, nil)
		code(t, "abort what is committed", p.end(min(v, 4), false).ErrorCode, kerr.InvalidTxnState)
		p.begin()
		code(t, "commit of a new producer v"+number(int32(v)), p.end(v, true).ErrorCode, kerr.InvalidTxnState)
	}
}

func addsInBatches(t T, c Cluster) {
	topic := newTopic(t, newClient(t, c), 1)
	for v := int16(4); v <= 5; v++ {
		p := newProducer(t, c)
		for what, tt := range map[string]struct {
			q    *producer
			want *kerr.Error
		}{"fenced": {p.earlier(), kerr.ProducerFenced}, "right": {p, nil}} {
			req := kmsg.NewPtrAddPartitionsToTxnRequest()
			tx := kmsg.NewAddPartitionsToTxnRequestTransaction()
			tx.TransactionalID, tx.ProducerID, tx.ProducerEpoch = tt.q.id, tt.q.pid, tt.q.epoch
			rt := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
			rt.Topic, rt.Partitions = topic, []int32{0}
			tx.Topics = append(tx.Topics, rt)
			req.Transactions = append(req.Transactions, tx)
			resp, ok := p.ask(v, req).(*kmsg.AddPartitionsToTxnResponse)
			if !ok || len(resp.Transactions) != 1 || len(resp.Transactions[0].Topics) != 1 {
				t.Errorf("%s v%d: want an answer with the transaction in it, have %+v", what, v, resp)
				continue
			}
			got := resp.Transactions[0]
			equal(t, what+" id", got.TransactionalID, p.id)
			equal(t, what+" topic", got.Topics[0].Topic, topic)
			code(t, what, got.Topics[0].Partitions[0].ErrorCode, tt.want)
		}
		code(t, "end", p.end(3, false).ErrorCode, nil)
	}
}

func offsetsOfNoTransaction(t T, c Cluster) {
	topic, group := newTopic(t, newClient(t, c), 1), name("group")
	p := newProducer(t, c)
	for v := int16(0); v <= 4; v++ {
		want := kerr.InvalidTxnState
		if v == 4 {
			want = kerr.TransactionAbortable
		}
		code(t, "group not added v"+number(int32(v)), p.commitOffset(c, v, group, topic), want)
	}
	code(t, "add", p.addGroup(3, group), nil)
	for v := int16(0); v <= 5; v++ {
		code(t, "fenced v"+number(int32(v)), p.earlier().commitOffset(c, v, group, topic), kerr.InvalidProducerEpoch)
		code(t, "right v"+number(int32(v)), p.commitOffset(c, v, group, topic), nil)
	}
	code(t, "end", p.end(3, true).ErrorCode, nil)
}

func fencedProducerWrites(t T, c Cluster) {
	topic := newTopic(t, newClient(t, c), 1)
	for _, v := range []int16{3, 8, 11, 12} {
		p := newProducer(t, c)
		code(t, "not added, fenced, v"+number(int32(v)), p.earlier().write(c, v, topic), kerr.InvalidProducerEpoch)
		switch v {
		case 11:
			code(t, "not added v11", p.write(c, v, topic), kerr.TransactionAbortable)
		case 3, 8:
			code(t, "not added v"+number(int32(v)), p.write(c, v, topic), kerr.InvalidTxnState)
		}
		code(t, "add", p.addPartition(3, topic), nil)
		code(t, "added v"+number(int32(v)), p.write(c, v, topic), nil)
		code(t, "added, fenced, v"+number(int32(v)), p.earlier().write(c, v, topic), kerr.InvalidProducerEpoch)
		code(t, "end", p.end(3, true).ErrorCode, nil)
	}
}

// state asks what the coordinator says of the producer's transactional id.
func (p *producer) state() kmsg.DescribeTransactionsResponseTransactionState {
	p.t.Helper()
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{p.id}
	resp := concluded(p.raw, 0, req, func(r *kmsg.DescribeTransactionsResponse) int16 { return r.TransactionStates[0].ErrorCode })
	return resp.TransactionStates[0]
}

func tellsHowItEnded(t T, c Cluster) {
	topic := newTopic(t, newClient(t, c), 1)
	p := newProducer(t, c)
	equal(t, "state at first", p.state().State, "Empty")
	equal(t, "start at first", p.state().StartTimestamp, int64(-1))
	for _, commit := range []bool{true, false} {
		code(t, "add", p.addPartition(3, topic), nil)
		now := p.state()
		equal(t, "state", now.State, "Ongoing")
		code(t, "end", p.end(3, commit).ErrorCode, nil)
		want := "CompleteAbort"
		if commit {
			want = "CompleteCommit"
		}
		eventually(t, want, func() bool { return p.state().State == want })
		equal(t, "start", p.state().StartTimestamp, now.StartTimestamp)
		equal(t, "topics", len(p.state().Topics), 0)
	}
	p.begin()
	equal(t, "state of the next producer", p.state().State, "Empty")

	unknown := &producer{id: name("transaction")}
	unknown.raw = coordinator(t, c, unknown.id)
	code(t, "unknown id", unknown.state().ErrorCode, kerr.TransactionalIDNotFound)
	unknown.id = ""
	code(t, "empty id", unknown.state().ErrorCode, kerr.InvalidRequest)
}

func filtersList(t T, c Cluster) {
	topic := newTopic(t, newClient(t, c), 1)
	p := newProducer(t, c)
	listed := func(v int16, fill func(*kmsg.ListTransactionsRequest)) (string, []string) {
		t.Helper()
		req := kmsg.NewPtrListTransactionsRequest()
		fill(req)
		resp := concluded(p.raw, v, req, func(r *kmsg.ListTransactionsResponse) int16 { return r.ErrorCode })
		for _, s := range resp.TransactionStates {
			if s.TransactionalID == p.id {
				return s.TransactionState, resp.UnknownStateFilters
			}
		}
		return "", resp.UnknownStateFilters
	}
	states := func(want ...string) func(*kmsg.ListTransactionsRequest) {
		return func(r *kmsg.ListTransactionsRequest) { r.StateFilters = want }
	}
	check := func(what string, v int16, want string, fill func(*kmsg.ListTransactionsRequest)) {
		t.Helper()
		got, _ := listed(v, fill)
		equal(t, what, got, want)
	}
	code(t, "add", p.addPartition(3, topic), nil)
	check("ongoing", 0, "Ongoing", states("Ongoing"))
	check("ongoing among the complete", 0, "", states("CompleteCommit", "CompleteAbort", "Empty"))
	code(t, "end", p.end(3, true).ErrorCode, nil)
	eventually(t, "the commit", func() bool { got, _ := listed(0, states()); return got == "CompleteCommit" })
	check("committed", 0, "CompleteCommit", states("CompleteCommit"))
	check("committed among the empty", 0, "", states("Empty", "Ongoing"))

	_, unknown := listed(0, states("ongoing", "Empty"))
	equal(t, "unknown filters", unknown, []string{"ongoing"})
	check("only unknown filters", 0, "", states("ongoing"))

	pattern := func(s string) func(*kmsg.ListTransactionsRequest) {
		return func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = &s }
	}
	check("pattern of the whole id", 2, "CompleteCommit", pattern("transaction-.*"))
	check("pattern of a part", 2, "", pattern("transaction-"))
	check("alternatives that are parts", 2, "", pattern("transaction-|x"))
	check("no pattern", 2, "CompleteCommit", pattern(""))
	age := func(d time.Duration) func(*kmsg.ListTransactionsRequest) {
		return func(r *kmsg.ListTransactionsRequest) { r.DurationFilterMillis = d.Milliseconds() }
	}
	check("older than an hour", 1, "", age(time.Hour))
}

// Kafka looks every ten seconds for transactions that are over.
func continuesAfterTimeout(t T, c Cluster) {
	topic := newTopic(t, newClient(t, c), 1)
	p := &producer{id: name("transaction"), timeout: time.Second}
	p.raw = coordinator(t, c, p.id)
	p.begin()
	code(t, "add", p.addPartition(3, topic), nil)
	eventually(t, "the end of the transaction", func() bool { return p.state().State == "CompleteAbort" })
	equal(t, "epoch", p.state().ProducerEpoch, p.epoch+1)
	code(t, "add too late", p.addPartition(3, topic), kerr.ProducerFenced)
	code(t, "end too late", p.end(3, true).ErrorCode, kerr.ProducerFenced)
	resp := p.init(4, p.pid, p.epoch)
	code(t, "continue", resp.ErrorCode, nil)
	equal(t, "epoch", resp.ProducerEpoch, p.epoch+1)
}

// endsEarlier has a producer begin while the transaction of the one before it is
// open: the epoch goes up to fence that one, and again for the new one.
func endsEarlier(t T, c Cluster) {
	cl := newClient(t, c)
	topic, group := newTopic(t, cl, 1), name("group")
	for v := int16(0); v <= 5; v++ {
		p := newProducer(t, c)
		code(t, "add", p.addPartition(3, topic), nil)
		q := *p
		q.begin()
		equal(t, "epoch of the later one", q.epoch, p.epoch+2)
		for _, commit := range []bool{true, false} {
			code(t, "EndTxn v"+number(int32(v))+" of the earlier one", p.end(v, commit).ErrorCode, since(2, v))
			code(t, "EndTxn v"+number(int32(v))+" between the two", q.earlier().end(v, commit).ErrorCode, since(2, v))
		}
		code(t, "AddPartitionsToTxn of the earlier one", p.addPartition(3, topic), kerr.ProducerFenced)
		code(t, "AddOffsetsToTxn of the earlier one", p.addGroup(3, group), kerr.ProducerFenced)
		equal(t, "state", q.state().State, "Empty")
		equal(t, "start", q.state().StartTimestamp, int64(-1))
	}
	for v := int16(0); v <= 5; v++ {
		p := newProducer(t, c)
		for _, commit := range []bool{true, false} {
			code(t, "EndTxn v"+number(int32(v))+" of one that began nothing", p.earlier().end(v, commit).ErrorCode, since(2, v))
		}
	}
	for v := int16(3); v <= 5; v++ {
		p := newProducer(t, c)
		code(t, "add", p.addPartition(3, topic), nil)
		for _, what := range []string{"a producer that ends its own", "asked again"} {
			resp := p.init(v, p.pid, p.epoch)
			code(t, what, resp.ErrorCode, nil)
			equal(t, "epoch of "+what, resp.ProducerEpoch, p.epoch+1)
		}
	}
}

// listsItsOwn has some transactional ids, and asks every broker for a list.
func listsItsOwn(t T, c Cluster) {
	const ids = 8
	where := make(map[string]int32)
	cl := newClient(t, c)
	for range ids {
		p := newProducer(t, c)
		find := kmsg.NewPtrFindCoordinatorRequest()
		const transaction = 1
		find.CoordinatorType, find.CoordinatorKey, find.CoordinatorKeys = transaction, p.id, []string{p.id}
		where[p.id] = anyBroker[*kmsg.FindCoordinatorResponse](t, cl, find).Coordinators[0].NodeID
	}
	for _, b := range ask[*kmsg.MetadataResponse](t, cl, kmsg.NewPtrMetadataRequest()).Brokers {
		got, want := []string{}, []string{}
		for id, node := range where {
			if node == b.NodeID {
				want = append(want, id)
			}
		}
		var resp *kmsg.ListTransactionsResponse
		eventually(t, "a list of broker "+number(b.NodeID), func() bool { // which may still be loading what it coordinates
			resp = askOf[*kmsg.ListTransactionsResponse](t, cl, b.NodeID, kmsg.NewPtrListTransactionsRequest())
			return resp.ErrorCode != kerr.CoordinatorLoadInProgress.Code
		})
		code(t, "list", resp.ErrorCode, nil)
		for _, s := range resp.TransactionStates {
			if _, ours := where[s.TransactionalID]; ours {
				got = append(got, s.TransactionalID)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		equal(t, "transactional ids listed by broker "+number(b.NodeID), got, want)
	}
}

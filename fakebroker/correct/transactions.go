package correct

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func transacts(c Cluster) []Correction {
	t := &transactions{c: c, courses: make(map[string]course), verified: make(map[string]verified)}
	written := &epochs{c: c, of: make(map[int64]int16)}
	const upstream = "txns.go "
	return []Correction{
		{
			Rule: wire.Rule{
				Name:  "AddPartitionsToTxn v4 adds for the transaction in the batch",
				Keys:  wire.Keys(kmsg.AddPartitionsToTxn),
				Wants: func(h wire.Header) bool { return h.Version >= firstBatched },
				Request: asked(func(x *wire.Exchange, req *kmsg.AddPartitionsToTxnRequest) {
					unbatch(x, req)
				}),
				Answer: answered(batch),
			},
			Restores:  "KIP-890: v4 has the transactions in a list, and so has its answer",
			Upstream:  upstream + "looks for them where v3 has them, and adds none",
			Behaviour: "transactions/partitions are added for several transactions at once",
		},
		{
			Rule: wire.Rule{
				Name:    "a transactional id goes with its producer id",
				Keys:    wire.Keys(kmsg.EndTxn, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit),
				Request: asked(t.comparesID),
				Answer:  answered(refusesNoID),
			},
			Restores:  "error 49 when the transactional id has another producer id, or is not known",
			Upstream:  upstream + "finds the transaction by the producer id alone, and so ends those of others",
			Behaviour: "transactions/the transactional id has to be that of the producer id",
		},
		{
			Rule: wire.Rule{
				Name:   "older versions know a fenced producer by its epoch",
				Keys:   wire.Keys(kmsg.InitProducerID, kmsg.EndTxn, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit),
				Answer: amended(fencedByVersion),
			},
			Restores:  "KIP-588: PRODUCER_FENCED since EndTxn, AddPartitionsToTxn and AddOffsetsToTxn v2 and InitProducerId v4, INVALID_PRODUCER_EPOCH before and for offsets",
			Upstream:  upstream + "answers 90 to every version",
			Behaviour: "transactions/a producer of an earlier epoch is refused as its version has it",
		},
		{
			Rule: wire.Rule{
				Name:    "InitProducerId continues the present epoch only",
				Keys:    wire.Keys(kmsg.InitProducerID),
				Request: asked(t.continues),
				Answer:  answered(t.begins),
			},
			Restores:  "KIP-360: the epoch goes up by one when it is the present one, stays when asked again, and everybody else is fenced",
			Upstream:  upstream + "takes any epoch up to the present one, of any transactional id",
			Behaviour: "transactions/a producer continues its own epoch only",
		},
		{
			Rule: wire.Rule{
				Name:    "InitProducerId fences whose transaction it ends",
				Keys:    wire.Keys(kmsg.InitProducerID),
				Request: asked(t.looksAtBegin),
				Answer:  answered(t.fences),
			},
			Restores:  "KIP-98: the epoch goes up to fence the earlier producer, and once more for the later one",
			Upstream:  upstream + "has it go up once, so that the earlier one seems to ask again for its end",
			Behaviour: "transactions/a later producer fences the one whose transaction it ends",
		},
		{
			Rule: wire.Rule{
				Name:    "EndTxn v5 of an earlier producer is refused",
				Keys:    wire.Keys(kmsg.EndTxn),
				Wants:   func(h wire.Header) bool { return h.Version >= firstRaising },
				Request: asked(t.outlives),
			},
			Restores:  "KIP-890: only an end that raised the epoch can be asked for again with the one before",
			Upstream:  upstream + "takes every end with the epoch before the present one for such",
			Behaviour: "transactions/a later producer fences the one whose transaction it ends",
		},
		{
			Rule: wire.Rule{
				Name:    "EndTxn ends what has begun",
				Keys:    wire.Keys(kmsg.EndTxn),
				Request: asked(t.looksAtEnd),
				Answer:  answered(t.ends),
			},
			Restores:  "error 48 when there is no transaction, unless the answer to the same end was lost",
			Upstream:  upstream + "remembers the end of a transaction across producers, and takes none for an abort",
			Behaviour: "transactions/what has not begun cannot end",
		},
		{
			Rule: wire.Rule{
				Name:   "TxnOffsetCommit v4 says that the transaction can be aborted",
				Keys:   wire.Keys(kmsg.TxnOffsetCommit),
				Wants:  func(h wire.Header) bool { return h.Version == firstAbortable },
				Answer: answered(abortable),
			},
			Restores:  "KIP-890: TRANSACTION_ABORTABLE since v4",
			Upstream:  upstream + "answers 48",
			Behaviour: "transactions/offsets go to a group of the transaction",
		},
		{
			Rule: wire.Rule{
				Name:   "DescribeTransactions tells how the last one ended",
				Keys:   wire.Keys(kmsg.DescribeTransactions),
				Answer: answered(t.describes),
			},
			Restores:  "KIP-664: CompleteCommit and CompleteAbort, and when it began",
			Upstream:  upstream + "forgets a transaction that has ended",
			Behaviour: "transactions/how the last one ended is told",
		},
		{
			Rule: wire.Rule{
				Name:   "ListTransactions lists what the broker coordinates",
				Keys:   wire.Keys(kmsg.ListTransactions),
				Wants:  func(wire.Header) bool { return len(c.Nodes()) > 1 },
				Answer: answered(t.listsOwn),
			},
			Restores:  "KIP-664: a coordinator lists its own transactional ids, and a client asks every broker",
			Upstream:  upstream + "lists those of all brokers on each",
			Behaviour: "transactions/a broker lists those that it coordinates",
		},
		{
			Rule: wire.Rule{
				Name:    "ListTransactions filters by all states and whole ids",
				Keys:    wire.Keys(kmsg.ListTransactions),
				Request: asked(t.asksForAll),
				Answer:  answered(t.filters),
			},
			Restores:  "KIP-664, KIP-1152: states that are not known are named, the pattern is of the whole id",
			Upstream:  upstream + "knows two states, names none, and finds the pattern anywhere",
			Behaviour: "transactions/the list is filtered by state and pattern",
		},
		{
			Rule: wire.Rule{
				Name:    verifying,
				Keys:    wire.Keys(kmsg.Produce),
				Request: asked(t.verifies),
				Answer:  completed(verifying, func(_ *wire.Exchange, v verdict, resp *kmsg.ProduceResponse) { addRefused(resp, v.refused) }),
			},
			Restores:  "KIP-890: the coordinator is asked whether records are by the producer of their transactional id, in its present epoch, before a transaction begins in a partition",
			Upstream:  "00_produce.go finds the transaction by the producer id alone, and begins one for a producer that is fenced",
			Behaviour: "transactions/records go with the transactional id of their producer",
		},
		{
			Rule: wire.Rule{
				Name:    raising,
				Keys:    wire.Keys(kmsg.Produce),
				Request: asked(written.guards),
				Answer:  written.answered,
			},
			Restores:  "ProducerAppendInfo: what is refused changes nothing for the producer",
			Upstream:  "00_produce.go takes the epoch for the present one before it looks at the sequence",
			Behaviour: "produce/a refused batch does not raise the epoch of its producer",
		},
	}
}

const (
	firstBatched   = 4 // AddPartitionsToTxn
	firstAbortable = 4 // TxnOffsetCommit
)

// transactions knows of transactional ids what kfake forgets. Like kfake it
// keeps them all.
type transactions struct {
	c Cluster

	mu       sync.Mutex
	courses  map[string]course
	verified map[string]verified

	changes atomic.Uint64 // how often producers were told an epoch
}

// course is what became of a transactional id since its producer began.
type course struct {
	granted   int16  // the epoch that the producer was told, -1 when that was before the start
	continued int16  // the one that it was asked for with, -1 when it was with none
	ongoing   bool   // there was a transaction when its end was asked for
	begun     int64  // when that was, in milliseconds; the next fields are of it too
	ended     string // empty when it has not
}

const (
	ongoing   = "Ongoing"
	committed = "CompleteCommit"
	aborted   = "CompleteAbort"
)

func (t *transactions) course(id string) course {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.courses[id]
	if !ok {
		c.granted, c.continued = -1, -1
	}
	return c
}

// timedOut reports that a transaction ran into its timeout, which fences the
// producer by an epoch that nobody asked for.
func (c course) timedOut(epoch int16) bool { return c.granted >= 0 && epoch == c.granted+1 }

func (t *transactions) note(id string, c course) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.courses[id] = c
}

// find asks for a transactional id; false when nobody says anything. The state
// of one that there is not has an error.
func (t *transactions) find(x *wire.Exchange, id string) (state kmsg.DescribeTransactionsResponseTransactionState, ok bool) {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{id}
	for _, node := range t.nodes(x) {
		resp, err := t.c.Ask(x.Context(), node, req)
		if err != nil {
			return state, false
		}
		d, is := resp.(*kmsg.DescribeTransactionsResponse)
		if !is || len(d.TransactionStates) != 1 {
			return state, false
		}
		if state = d.TransactionStates[0]; state.ErrorCode != kerr.NotCoordinator.Code {
			return state, true
		}
	}
	return state, false
}

// nodes are the brokers to look for a coordinator on, which is another than the
// one that was asked when that one stands in for it.
func (t *transactions) nodes(x *wire.Exchange) []int32 {
	return append([]int32{x.Node}, slices.DeleteFunc(slices.Clone(t.c.Nodes()), func(n int32) bool { return n == x.Node })...)
}

// comparesID has the broker look for a producer that there is not when the
// producer is not that of the transactional id. So whoever may not use the id is
// told that first.
func (t *transactions) comparesID(x *wire.Exchange, req kmsg.Request) {
	var id string
	var pid *int64
	switch r := req.(type) {
	case *kmsg.EndTxnRequest:
		id, pid = r.TransactionalID, &r.ProducerID
	case *kmsg.AddPartitionsToTxnRequest:
		id, pid = r.TransactionalID, &r.ProducerID
	case *kmsg.AddOffsetsToTxnRequest:
		id, pid = r.TransactionalID, &r.ProducerID
	case *kmsg.TxnOffsetCommitRequest:
		id, pid = r.TransactionalID, &r.ProducerID
	}
	if pid == nil || *pid < 0 {
		return
	}
	if state, ok := t.find(x, id); ok && (state.ErrorCode != 0 || state.ProducerID != *pid) {
		*pid = -1
		x.SetRequest(req)
	}
}

func refusesNoID(_ *wire.Exchange, req *kmsg.EndTxnRequest, resp *kmsg.EndTxnResponse) bool {
	denied := resp.ErrorCode == kerr.TransactionalIDAuthorizationFailed.Code
	if req.TransactionalID != "" || resp.ErrorCode == 0 || denied {
		return false
	}
	resp.ErrorCode = kerr.InvalidRequest.Code
	return true
}

// fencedByVersion translates PRODUCER_FENCED for versions that do not have it.
func fencedByVersion(x *wire.Exchange, resp kmsg.Response) (changed bool) {
	first := map[kmsg.Key]int16{kmsg.InitProducerID: 4, kmsg.EndTxn: 2, kmsg.AddPartitionsToTxn: 2, kmsg.AddOffsetsToTxn: 2}
	if since, ok := first[x.Key]; ok && x.Version >= since {
		return false
	}
	translate := func(code *int16) {
		if *code == kerr.ProducerFenced.Code {
			*code, changed = kerr.InvalidProducerEpoch.Code, true
		}
	}
	switch r := resp.(type) {
	case *kmsg.InitProducerIDResponse:
		translate(&r.ErrorCode)
	case *kmsg.EndTxnResponse:
		translate(&r.ErrorCode)
	case *kmsg.AddOffsetsToTxnResponse:
		translate(&r.ErrorCode)
	case *kmsg.AddPartitionsToTxnResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				translate(&r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	case *kmsg.TxnOffsetCommitResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				translate(&r.Topics[i].Partitions[j].ErrorCode)
			}
		}
	}
	return changed
}

func (t *transactions) continues(x *wire.Exchange, req *kmsg.InitProducerIDRequest) {
	if req.TransactionalID == nil || (req.ProducerID < 0 && req.ProducerEpoch < 0) {
		return
	}
	reply := func(code int16, pid int64, epoch int16) {
		resp := kmsg.NewPtrInitProducerIDResponse()
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = code, pid, epoch
		x.Reply(resp)
	}
	if req.ProducerID < 0 || req.ProducerEpoch < 0 {
		reply(kerr.InvalidRequest.Code, -1, -1)
		return
	}
	now, ok := t.find(x, *req.TransactionalID)
	is := t.course(*req.TransactionalID)
	mayContinue := is.continued // KIP-588: also the one that timed out
	if is.granted < 0 || is.timedOut(now.ProducerEpoch) {
		mayContinue = now.ProducerEpoch - 1
	}
	switch {
	case !ok:
	case now.ErrorCode == kerr.TransactionalIDNotFound.Code:
		req.ProducerID, req.ProducerEpoch = -1, -1 // it has expired: this is a new one
		x.SetRequest(req)
	case now.ErrorCode != 0 || (now.ProducerID == req.ProducerID && now.ProducerEpoch == req.ProducerEpoch):
	case now.ProducerID == req.ProducerID && mayContinue == req.ProducerEpoch:
		reply(0, now.ProducerID, now.ProducerEpoch)
	default:
		reply(kerr.ProducerFenced.Code, -1, -1)
	}
}

func (t *transactions) begins(_ *wire.Exchange, req *kmsg.InitProducerIDRequest, resp *kmsg.InitProducerIDResponse) bool {
	if resp.ErrorCode != 0 {
		resp.ProducerID, resp.ProducerEpoch = -1, -1
		return true
	}
	if req.TransactionalID != nil {
		t.forget(*req.TransactionalID)
		t.note(*req.TransactionalID, course{granted: resp.ProducerEpoch, continued: req.ProducerEpoch})
	}
	return false
}

// begun is the key of whether a producer began while there was a transaction.
type begun struct{}

func (t *transactions) looksAtBegin(x *wire.Exchange, req *kmsg.InitProducerIDRequest) {
	if req.TransactionalID == nil || req.ProducerID >= 0 || req.ProducerEpoch >= 0 {
		return // who ends its own goes on with the next epoch
	}
	if now, ok := t.find(x, *req.TransactionalID); ok && now.State == ongoing {
		x.Keep(begun{}, true)
	}
}

// fences has the epoch go up again: the broker, which has ended the transaction,
// sees the producer that it has just begun go on.
func (t *transactions) fences(x *wire.Exchange, req *kmsg.InitProducerIDRequest, resp *kmsg.InitProducerIDResponse) bool {
	if x.Kept(begun{}) == nil || resp.ErrorCode != 0 {
		return false
	}
	again := kmsg.NewPtrInitProducerIDRequest()
	again.Version = again.MaxVersion()
	again.TransactionalID, again.TransactionTimeoutMillis = req.TransactionalID, req.TransactionTimeoutMillis
	again.ProducerID, again.ProducerEpoch = resp.ProducerID, resp.ProducerEpoch
	for _, node := range t.nodes(x) {
		a, err := t.c.Ask(x.Context(), node, again)
		if raised, is := a.(*kmsg.InitProducerIDResponse); err == nil && is && raised.ErrorCode == 0 {
			resp.ProducerID, resp.ProducerEpoch = raised.ProducerID, raised.ProducerEpoch
			t.note(*req.TransactionalID, course{granted: resp.ProducerEpoch, continued: -1})
			return true
		}
	}
	return false
}

// outlives refuses the producer before the one that has begun nothing yet.
func (t *transactions) outlives(x *wire.Exchange, req *kmsg.EndTxnRequest) {
	now, ok := t.find(x, req.TransactionalID)
	if !ok || now.ErrorCode != 0 || now.ProducerID != req.ProducerID || now.ProducerEpoch != req.ProducerEpoch+1 {
		return
	}
	is := t.course(req.TransactionalID)
	if now.State != ongoing && is.granted == now.ProducerEpoch && is.continued != req.ProducerEpoch {
		resp := kmsg.NewPtrEndTxnResponse()
		resp.ErrorCode = kerr.ProducerFenced.Code
		x.Reply(resp)
	}
}

func (t *transactions) looksAtEnd(x *wire.Exchange, req *kmsg.EndTxnRequest) {
	now, ok := t.find(x, req.TransactionalID)
	if !ok || now.ErrorCode != 0 {
		return
	}
	is := t.course(req.TransactionalID)
	if is.ongoing = now.State == ongoing; is.ongoing {
		is.begun, is.ended = now.StartTimestamp, ""
	}
	t.note(req.TransactionalID, is)
}

func (t *transactions) ends(_ *wire.Exchange, req *kmsg.EndTxnRequest, resp *kmsg.EndTxnResponse) bool {
	if resp.ErrorCode != 0 {
		return false
	}
	t.forget(req.TransactionalID)
	is := t.course(req.TransactionalID)
	as := aborted
	if req.Commit {
		as = committed
	}
	if is.ongoing {
		if is.ongoing, is.ended = false, as; req.Version >= firstRaising {
			is.granted, is.continued = resp.ProducerEpoch, req.ProducerEpoch
		}
		t.note(req.TransactionalID, is)
		return false
	}
	again := is.ended == as
	if req.Version >= firstRaising {
		again = resp.ProducerID >= 0 // with an epoch that it has gone up to, or of an empty transaction
	}
	if !again {
		resp.ErrorCode = kerr.InvalidTxnState.Code
		return true
	}
	if resp.ProducerID >= 0 && resp.ProducerEpoch != is.granted { // an abort of nothing
		is.granted, is.continued = resp.ProducerEpoch, req.ProducerEpoch
		t.note(req.TransactionalID, is)
	}
	return false
}

func abortable(_ *wire.Exchange, _ *kmsg.TxnOffsetCommitRequest, resp *kmsg.TxnOffsetCommitResponse) (changed bool) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if p := &resp.Topics[i].Partitions[j]; p.ErrorCode == kerr.InvalidTxnState.Code {
				p.ErrorCode, changed = kerr.TransactionAbortable.Code, true
			}
		}
	}
	return changed
}

func (t *transactions) describes(_ *wire.Exchange, _ *kmsg.DescribeTransactionsRequest, resp *kmsg.DescribeTransactionsResponse) (changed bool) {
	for i := range resp.TransactionStates {
		s := &resp.TransactionStates[i]
		switch is := t.course(s.TransactionalID); {
		case s.TransactionalID == "" && (s.ErrorCode == kerr.TransactionalIDNotFound.Code || s.ErrorCode == kerr.NotCoordinator.Code):
			s.ErrorCode, changed = kerr.InvalidRequest.Code, true
		case s.State != "Empty":
		case is.timedOut(s.ProducerEpoch):
			s.State, changed = aborted, true
		case is.ended != "":
			s.State, s.StartTimestamp, changed = is.ended, is.begun, true
		}
	}
	return changed
}

// listing is the key of what a request for transactions asked for.
type listing struct{}

// asksForAll has the broker list all states: it does not know those of
// transactions that have ended.
func (t *transactions) asksForAll(x *wire.Exchange, req *kmsg.ListTransactionsRequest) {
	x.Keep(listing{}, req.StateFilters)
	req.StateFilters = nil
	if p := req.TransactionalIDPattern; p != nil && *p != "" {
		req.TransactionalIDPattern = kmsg.StringPtr("^(?:" + *p + ")$")
	}
	x.SetRequest(req)
}

func (t *transactions) filters(x *wire.Exchange, req *kmsg.ListTransactionsRequest, resp *kmsg.ListTransactionsResponse) bool {
	states, _ := x.Kept(listing{}).([]string)
	for i := range resp.TransactionStates {
		s := &resp.TransactionStates[i]
		if is := t.course(s.TransactionalID); s.TransactionState == "Empty" && is.ended != "" {
			s.TransactionState = is.ended
		}
	}
	resp.UnknownStateFilters = nil
	for _, s := range states {
		if !slices.Contains(transactionStates(), s) {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, s)
		}
	}
	now := time.Now().UnixMilli()
	resp.TransactionStates = slices.DeleteFunc(resp.TransactionStates, func(s kmsg.ListTransactionsResponseTransactionState) bool {
		is := t.course(s.TransactionalID)
		tooNew := is.ended != "" && req.DurationFilterMillis >= 0 && now-is.begun <= req.DurationFilterMillis
		return (len(states) > 0 && !slices.Contains(states, s.TransactionState)) || tooNew
	})
	return true
}

// transactionStates are Kafka's names of them.
func transactionStates() []string {
	return []string{"Empty", ongoing, "PrepareCommit", "PrepareAbort", committed, aborted, "Dead", "PrepareEpochFence"}
}

// unbatch asks as v3 does. Only brokers batch several transactions, or verify
// that partitions were added.
func unbatch(x *wire.Exchange, req *kmsg.AddPartitionsToTxnRequest) {
	if len(req.Transactions) != 1 || req.Transactions[0].VerifyOnly {
		return
	}
	only := req.Transactions[0]
	single := kmsg.NewPtrAddPartitionsToTxnRequest()
	single.Version = firstBatched - 1
	single.TransactionalID, single.ProducerID, single.ProducerEpoch = only.TransactionalID, only.ProducerID, only.ProducerEpoch
	for _, t := range only.Topics {
		st := kmsg.NewAddPartitionsToTxnRequestTopic()
		st.Topic, st.Partitions = t.Topic, t.Partitions
		single.Topics = append(single.Topics, st)
	}
	x.SetRequest(single)
}

func batch(_ *wire.Exchange, req *kmsg.AddPartitionsToTxnRequest, resp *kmsg.AddPartitionsToTxnResponse) bool {
	if req.Version >= firstBatched {
		return false
	}
	only := kmsg.NewAddPartitionsToTxnResponseTransaction()
	only.TransactionalID = req.TransactionalID
	for _, t := range resp.Topics {
		ot := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
		ot.Topic = t.Topic
		for _, p := range t.Partitions {
			op := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
			op.Partition, op.ErrorCode = p.Partition, p.ErrorCode
			ot.Partitions = append(ot.Partitions, op)
		}
		only.Topics = append(only.Topics, ot)
	}
	resp.Topics, resp.Transactions = nil, append(resp.Transactions, only)
	return true
}

// listsOwn leaves out the transactional ids that another broker coordinates.
func (t *transactions) listsOwn(x *wire.Exchange, _ *kmsg.ListTransactionsRequest, resp *kmsg.ListTransactionsResponse) bool {
	resp.TransactionStates = slices.DeleteFunc(resp.TransactionStates, func(s kmsg.ListTransactionsResponseTransactionState) bool {
		return t.c.TransactionCoordinator(s.TransactionalID) != x.Node
	})
	return true
}

package adapter_test

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/harness"
)

// chaosSeed names the seed of a run of the tests below, to be had again. What
// goroutines do at once stays theirs to decide.
const chaosSeed = "KAFKATEST_SEED"

// chaos is 10,000 records of 200 keys, 5 % of whose attempts fail, on their way
// through a group whose members come and go.
type chaos struct {
	sub adapter.Subscription
	// records is how many; zero means 10,000.
	records int
	// brokers is how many; zero means one.
	brokers int
	// moves is what the members do, in order, a word each: see crowd.
	moves []string
	// fault breaks something for the time of a step, and returns what is to be
	// cleared.
	fault func(h *harness.Harness, rnd *rand.Rand) []*fakebroker.Fault
	// exactly says that nothing is handled twice.
	exactly bool
	// expire expires the session of a member in each step, and overlap says that
	// it may be late to know.
	expire, overlap bool
	// options are of members' clients, and limit is harness.Config's.
	options []kgo.Opt
	limit   time.Duration
}

// comeAndGo are what the members do that are not told otherwise.
var comeAndGo = []string{"join", "join", "stop", "join", "kill", "join", "freeze", "join", "kill", "join"}

// stay is what members do whose work must not be repeated whatever breaks.
var stay = []string{"join", "nothing", "nothing"}

// chaosOrders are the subscriptions that a group has in chaos.
func chaosOrders() map[string]adapter.Subscription {
	s := adapter.Subscription{Topics: []string{"t"}, Group: "g"}
	s.Retry.Attempts, s.Retry.MaxBackoff = 4, 10*time.Second
	byPartition, unordered, hop := s, s, s
	byPartition.Order = adapter.ByPartition
	unordered.Order = adapter.Unordered
	unordered.Retry.Tiers, unordered.Retry.InPlace = []time.Duration{time.Minute, 10 * time.Minute}, 1
	hop.Retry.Tiers, hop.OnHeldLimit, hop.MaxHeldRecords = []time.Duration{time.Minute}, adapter.Hop, 10
	return map[string]adapter.Subscription{"ByKey": s, "ByPartition": byPartition, "Unordered with tiers": unordered, "ByKey that hops": hop}
}

// chaosModes are subscriptions in modes other than a classic group's.
func chaosModes() map[string]adapter.Subscription {
	orders := chaosOrders()
	serverSide, hops, both, share := orders["ByKey"], orders["Unordered with tiers"], orders["Unordered with tiers"], orders["ByKey"]
	serverSide.Mode, both.Mode, share.Mode = adapter.ServerSide, adapter.ServerSide, adapter.ShareGroup
	hops.ExactlyOnceHops, both.ExactlyOnceHops = true, true
	share.Order = adapter.Unordered
	tiered := share
	tiered.Retry.Tiers, tiered.Retry.InPlace = hops.Retry.Tiers, 1
	return map[string]adapter.Subscription{
		"ServerSide": serverSide, "ExactlyOnceHops": hops, "ExactlyOnceHops and ServerSide": both,
		"ShareGroup": share, "ShareGroup with tiers": tiered,
	}
}

func (c chaos) run(t *testing.T) {
	needsTag(t)
	c.runOn(t, harness.Config.Run, time.Second, func(h *harness.Harness, w *witness) { w.observe(h.Broker()) })
}

// runOn runs it on a kind of cluster, where a unit of time is a second or less.
func (c chaos) runOn(t *testing.T, run func(harness.Config, *testing.T, func(*testing.T, *harness.Harness)), unit time.Duration, watch func(*harness.Harness, *witness)) {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv(chaosSeed); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	defer func() {
		if t.Failed() {
			t.Logf("again: %s=%d go test -tags synctests -run '^%s$' ./adapter", chaosSeed, seed, t.Name())
		}
	}()
	w := newWitness(c.sub, func(number string, attempt int) decision { return decide(seed, number, attempt, unit) })
	w.faulty, w.options = c.fault != nil || c.expire, c.options
	if c.overlap {
		w.overlaps = func(string) bool { return true }
	}
	cfg := harness.Config{Partitions: 6, Broker: fakebroker.Config{Brokers: c.brokers}, Adapter: w.config, MaxEvents: -1, Limit: c.limit}
	run(cfg, t, func(t *testing.T, h *harness.Harness) {
		watch(h, w)
		w.fate, w.records = h.Fate, func(topic string) []harness.Record { return h.Topic(topic).Records(harness.ReadCommitted()) }
		rnd := rand.New(rand.NewPCG(seed, 0))
		upTo := func(units int64) time.Duration { return time.Duration(rnd.Int64N(units * int64(unit))) }
		h.CreateTopics("t")
		crowd := &crowd{h: h, w: w, rnd: rnd}
		crowd.do("join")
		h.Settle()
		var recs []harness.Record
		struck := 0
		for _, move := range append(c.moves, "nothing") {
			var faults []*fakebroker.Fault
			if c.fault != nil {
				faults = c.fault(h, rnd)
			}
			var es []adapter.Event
			for range cmp.Or(c.records, 10_000) / (len(c.moves) + 1) {
				es = append(es, event{"t", fmt.Sprint("k", rnd.IntN(200)), fmt.Sprint(len(recs) + len(es))})
			}
			recs = append(recs, h.PublishAll(es...)...)
			h.Advance(upTo(2))
			if c.expire { // some of the handlers take 30 seconds
				struck += h.Broker().ExpireSession(fakebroker.Scope{Group: "g", Nth: 1 + rnd.IntN(2), Count: 1}).Hits()
			}
			crowd.do(move)
			h.Advance(upTo(5 * 60))
			for _, f := range faults {
				f.Clear()
				struck += f.Hits()
			}
		}
		h.Settle()
		var repeats func(_, _ *handling) bool
		if !c.exactly && c.sub.Mode != adapter.ShareGroup { // whose attempts are deliveries
			repeats = func(_, _ *handling) bool { return true }
		}
		assert.NoError(t, w.verdict(recs, repeats))
		assert.True(t, c.fault == nil && !c.expire || struck > 0, "the faults have struck nothing")
		t.Log(w.repeated(), "of", len(recs), "records were handled to an end more than once")
	})
}

// decide is what becomes of an attempt of a record: 5 % fail, and a few records
// fail always.
func decide(seed uint64, number string, attempt int, unit time.Duration) decision {
	draw := func(what string, n int) uint64 {
		hash := fnv.New64a()
		_, _ = fmt.Fprint(hash, seed, what, number, " ", n)
		return hash.Sum64() / 7919
	}
	d := decision{result: adapter.Commit()}
	switch draw("record", 0) % 500 {
	case 0:
		d.result = adapter.Reject(errDown)
		return d
	case 1:
		d.result = adapter.Retry(errDown)
		return d
	}
	switch n := draw("attempt", attempt) % 1000; {
	case n < 5:
		d.panics = true
	case n < 10:
		d.result = adapter.RetryAfter(errDown, 40*unit)
	case n < 50:
		d.result = adapter.Retry(errDown)
	}
	switch n := draw("time", attempt) % 1000; {
	case n < 2:
		d.takes = 30 * unit
	case n < 20:
		d.takes = time.Duration(n) * unit / 100
	}
	return d
}

// crowd is the members of a group.
type crowd struct {
	h     *harness.Harness
	w     *witness
	rnd   *rand.Rand
	alive []*harness.Member
}

// pick takes one of the members at random out of the crowd.
func (c *crowd) pick() *harness.Member {
	i := c.rnd.IntN(len(c.alive))
	m := c.alive[i]
	c.alive = append(c.alive[:i], c.alive[i+1:]...)
	return m
}

func (c *crowd) do(move string) {
	switch move {
	case "join":
		c.alive = append(c.alive, c.h.Start(c.w.service))
	case "stop":
		c.h.Group("g").WaitAssigned()
		c.pick().Stop()
	case "kill": // not one that joins: the fake broker might wait for it for ever
		c.h.Group("g").WaitAssigned()
		c.w.kill(c.pick())
	case "freeze": // for so long that the grace is over when another one joins
		m := c.pick()
		thaw := m.Freeze()
		c.do("join")
		time.Sleep(10 * time.Minute)
		thaw()
		c.alive = append(c.alive, m)
	}
}

// each runs a chaos with each order, or with any one of them where that takes too
// long.
func (c chaos) each(t *testing.T) {
	t.Helper()
	c.of(t, chaosOrders())
}

// of is each, with these subscriptions.
func (c chaos) of(t *testing.T, subscriptions map[string]adapter.Subscription) {
	t.Helper()
	// The fake broker expels a member that waits for the others to join for longer
	// than its session, as Kafka does not.
	c.options = []kgo.Opt{kgo.RebalanceTimeout(2 * time.Minute), kgo.HeartbeatInterval(30 * time.Second)}
	one := (testing.Short() || raceDetector) && os.Getenv(chaosSeed) == ""
	for name, s := range subscriptions { // in any order
		t.Run(name, func(t *testing.T) {
			c.sub = s
			c.run(t)
		})
		if one {
			return
		}
	}
}

func TestChaos_membersComeAndGo(t *testing.T) {
	chaos{moves: comeAndGo}.each(t)
}

func TestChaos_membersComeAndGoInOtherModes(t *testing.T) {
	chaos{moves: comeAndGo}.of(t, chaosModes())
}

// Not those of share groups: there a fetch whose answer is lost uses up deliveries, and
// who is disconnected loses its records to others while it works on them (KIP-932).
func withoutShares() map[string]adapter.Subscription {
	modes := chaosModes()
	maps.DeleteFunc(modes, func(_ string, s adapter.Subscription) bool { return s.Mode == adapter.ShareGroup })
	return modes
}

func TestChaos_connectionsCutBeforeTheBrokerActedInOtherModes(t *testing.T) {
	chaos{moves: comeAndGo, records: 4000, fault: cuts((*fakebroker.Broker).DropBefore, ofModes...)}.of(t, withoutShares())
}

func TestChaos_connectionsCutAfterTheBrokerActedInOtherModes(t *testing.T) {
	chaos{moves: comeAndGo, records: 4000, fault: cuts((*fakebroker.Broker).DropAfter, ofModes...)}.of(t, withoutShares())
}

// Without a crash and without a fault, nothing is handled twice.
func TestChaos_aGracefulMoveRepeatsNothing(t *testing.T) {
	chaos{moves: []string{"join", "join", "stop", "join", "stop", "stop"}, exactly: true}.each(t)
}

// hops are the topics that records are moved to.
func hops() []string {
	return []string{"t.g.dlt", "t.g.retry.1m", "t.g.retry.10m"}
}

func TestChaos_theBrokerRefusesTheHop(t *testing.T) {
	chaos{moves: comeAndGo, fault: refuseHops}.each(t)
}

func TestChaos_theBrokerRefusesTheHopOfMembersThatStay(t *testing.T) {
	chaos{moves: stay, records: 4000, exactly: true, fault: refuseHops}.each(t)
}

func refuseHops(h *harness.Harness, _ *rand.Rand) (faults []*fakebroker.Fault) {
	for _, topic := range hops() {
		faults = append(faults, h.Broker().Refuse(kerr.NotEnoughReplicas, produceTo(topic)))
	}
	return faults
}

// cuts are connections of members that are cut now and then, at any request.
func cuts(drop func(*fakebroker.Broker, fakebroker.Scope) *fakebroker.Fault, apis ...kmsg.Key) func(*harness.Harness, *rand.Rand) []*fakebroker.Fault {
	return func(h *harness.Harness, rnd *rand.Rand) (faults []*fakebroker.Fault) {
		for _, api := range apis {
			for range 2 {
				faults = append(faults, drop(h.Broker(), fakebroker.Scope{APIs: []kmsg.Key{api}, Nth: 1 + rnd.IntN(4), Count: 1 + rnd.IntN(3)}))
			}
		}
		return faults
	}
}

// What a group does not lose its members by.
var ofWork = []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.OffsetCommit, kmsg.Metadata}

var ofGroups = []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.LeaveGroup, kmsg.FindCoordinator}

// What members in other modes ask for, too.
var ofModes = append([]kmsg.Key{
	kmsg.ConsumerGroupHeartbeat,
	kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn,
}, ofGroups...)

func TestChaos_connectionsCutBeforeTheBrokerActed(t *testing.T) {
	chaos{moves: comeAndGo, fault: cuts((*fakebroker.Broker).DropBefore, ofGroups...)}.each(t)
}

func TestChaos_connectionsCutBeforeTheBrokerActedOfMembersThatStay(t *testing.T) {
	chaos{moves: stay, records: 4000, exactly: true, fault: cuts((*fakebroker.Broker).DropBefore, ofWork...)}.each(t)
}

func TestChaos_connectionsCutAfterTheBrokerActed(t *testing.T) {
	chaos{moves: comeAndGo, fault: cuts((*fakebroker.Broker).DropAfter, ofGroups...)}.each(t)
}

func TestChaos_connectionsCutAfterTheBrokerActedOfMembersThatStay(t *testing.T) {
	chaos{moves: stay, records: 4000, exactly: true, fault: cuts((*fakebroker.Broker).DropAfter, ofWork...)}.each(t)
}

func TestChaos_theCoordinatorMovesDuringACommit(t *testing.T) {
	chaos{moves: comeAndGo, brokers: 3, fault: moveCoordinator}.each(t)
}

func TestChaos_theCoordinatorMovesDuringACommitOfMembersThatStay(t *testing.T) {
	chaos{moves: stay, records: 4000, exactly: true, brokers: 3, fault: moveCoordinator}.each(t)
}

// moveCoordinator moves it while the answers to commits are late.
func moveCoordinator(h *harness.Harness, rnd *rand.Rand) []*fakebroker.Fault {
	late := commitsOfG()
	late.Count = 3
	return []*fakebroker.Fault{
		h.Broker().Delay(3*time.Second, late),
		h.Broker().MoveCoordinator("g", int32(rnd.IntN(3))),
	}
}

// The one whose session expires does not hear of it before its next heartbeat.
func TestChaos_theSessionExpiresInAHandler(t *testing.T) {
	chaos{moves: comeAndGo, expire: true, overlap: true}.each(t)
}

// The same on a Kafka that is there already: see package integration. What its
// brokers hear of commits is not known there.
func TestRunOnKafka_membersComeAndGo(t *testing.T) {
	c := chaos{
		records: 2000, moves: []string{"join", "join", "kill", "join", "stop"}, limit: 3 * time.Minute,
		// The least that a broker allows a session by default is 6 seconds.
		options: []kgo.Opt{kgo.SessionTimeout(6 * time.Second), kgo.RebalanceTimeout(6 * time.Second)},
	}
	all := chaosOrders()
	maps.Copy(all, chaosModes())
	for name, s := range all {
		s.Retry.MinBackoff, s.Retry.MaxBackoff = 10*time.Millisecond, 100*time.Millisecond
		s.Retry.Tiers = slices.Clone(s.Retry.Tiers)
		for i := range s.Retry.Tiers {
			s.Retry.Tiers[i] /= 100
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := c
			c.sub = s
			c.runOn(t, harness.Config.RunOnKafka, 10*time.Millisecond, func(_ *harness.Harness, w *witness) { w.ask = 50 })
		})
	}
}

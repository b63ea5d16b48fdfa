//go:build protections

package adapter_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// protections are what keeps records from being lost, from being handled out of
// order, and from being handled again: without each, its test must fail.
//
//	go test -tags protections -run '^TestProtections$' ./adapter
var protections = []struct {
	name, file string
	line, by   string // what is put in place of what
	test       string
}{
	{"the fence of a result", "outcome.go",
		"if l.fenceUp || t.m.cut != l.cut {\n\t\tl.mu.Unlock()\n\t\treturn\n\t}\n\tl.ledger.settle", "if t.m.cut != l.cut {\n\t\tl.mu.Unlock()\n\t\treturn\n\t}\n\tl.ledger.settle",
		"TestLane_aFencedTaskSettlesNothing"},
	{"the fence of a run", "scheduler.go",
		"case s.l.fenceUp:\n\t\t\ts.cutOff = append(s.cutOff, &it.m)\n\t\t\tcontinue\n\t\t}", "}",
		"TestLane_aFencedRunSettlesNothing"},
	{"the fence of a commit", "commit.go",
		"if !ok || c.lane.isFenced() {", "if !ok {",
		"TestFenceCommit_takesOutWhatWasTakenAway"},
	{"a key's turn", "keys.go",
		"if b.more != nil || b.at > 0 && b.run != into {", "if b.more != nil {",
		"TestOrder_holdsUnderEverythingAtOnce"},
	{"what waits behind a task", "outcome.go",
		"\tif t.keyed {\n\t\ts.keys.hold(t.key, t)\n\t}\n\treturn t", "\treturn t",
		"TestOrder_byKeyAFailingKeyDelaysNoOther"},
	{"the rest of a run behind a failure", "outcome.go",
		"\ts.giveBack(r) // some of it may have to wait\n", "",
		"TestOrder_holdsUnderEverythingAtOnce"},
	{"a partition's turn", "scheduler.go",
		"|| s.order == ByPartition && (len(s.open) > 0 || len(s.runs) > 0) {", "{",
		"TestOrder_holdsUnderEverythingAtOnce"},
	{"the limit of what is held", "held.go",
		"case s.heldRecords() >= sub.MaxHeldRecords:", "case s.heldRecords() < 0 && sub != nil:",
		"TestHeld_atTheLimitNoOtherRecordIsStarted"},
	{"the limit of how long something is held", "held.go",
		"case s.isTooOld(now):\n\t\treturn errHeldTooLong\n", "",
		"TestHeld_forTooLong"},
	{"the room in a commit's metadata", "held.go",
		"case s.room() < runCost:\n\t\treturn errNoRoom\n", "",
		"TestHeld_whatIsKnownOfThemAlwaysFitsIntoACommit"},
	{"the metadata of a commit", "commit.go",
		"p.Metadata = &c.metadata", "_ = p",
		"TestResume_afterAKillNothingSettledRunsAgainAndAttemptsGoOn"},
	{"the metadata that comes with a partition", "subscribe.go",
		"\t\tkgo.OnOffsetsFetched(c.restore),\n", "",
		"TestResume_afterAKillNothingSettledRunsAgainAndAttemptsGoOn"},
	{"the checksum of metadata", "ledgertext.go",
		"if binary.BigEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {", "if len(sum) == 0 {",
		"TestLedger_foreignAndDamagedMetadataIsIgnored"},
	{"the offset that metadata belongs to", "ledgertext.go",
		"if offset := r.natural(); !r.bad && offset != committed {", "if r.natural() < 0 {",
		"TestLedger_foreignAndDamagedMetadataIsIgnored"},
	{"a log that was made anew", "ledger.go",
		"if offset < max(l.next, l.from) {", "if offset < l.next {",
		"TestLedger_aLogThatStartsBeforeWhatWasCommittedIsAnotherOne"},
	{"a log that was cut", "lane.go",
		"return m.cut == l.cut && l.ledger.settle(m.Offset)", "return l.ledger.settle(m.Offset)",
		"TestLane_aLogThatWasCutSettlesNothingOfTheNewOne"},
	{"an attempt that is counted before it runs", "scheduler.go",
		"if s.l.c.sub.CountBeforeRun && !s.count(a.m) {", "if false {",
		"TestCountBeforeRun_aRecordThatEndsTheProcessIsGivenUp"},
	{"the gate before a run", "scheduler.go",
		"known := s.l.c.gate.await(s.l.draining)", "known := true",
		"TestGate_closedNoHandlerRunsAndFetchingPauses"},
	{"the attempt that an unavailable dependency does not use", "outcome.go",
		"if result.Unavailable() && l.c.gate.isClosedNow(l.draining) {", "if false {",
		"TestGate_anUnavailableDependencyUsesNoAttemptWhileItIsClosed"},
	{"the age that stops while the gate is closed", "outcome.go",
		"return t.idle + g.closedFor() - t.closed", "return 0",
		"TestGate_closedARecordDoesNotAge"},
	{"the result of a handler that took too long", "attempt.go",
		"if a.watch.end(l) {", "if a.watch.end(l) && false {",
		"TestHandlerTimeout_cancelsAndTriesAgain"},
	{"the turn of a partition that comes back", "lane.go",
		"case l.turn <- struct{}{}:\n\t\tl.runner.run()\n\t\t<-l.turn\n", "default:\n\t\tl.runner.run()\n",
		"TestRebalance_aPartitionThatComesBackWaitsForItsFencedHandler"},
	{"the end of a drain", "consumer.go",
		"\tc.drain(ctx, lanes)\n\tcancel()\n", "\tcancel()\n",
		"TestRebalance_aRunningHandlerDrainsAndItsResultCounts"},
	{"the home that has a record before it is settled", "outcome.go",
		"\tif err == nil {\n\t\ts.settle(t)\n\t\treturn\n\t}\n\tif l.isFenced()", "\tif true {\n\t\ts.settle(t)\n\t\treturn\n\t}\n\tif l.isFenced()",
		"TestDeadLetter_isHeldWhilePublishingFails"},
	{"the time that a record spends on a retry topic", "take.go",
		"if due := l.due(rec); due.After(time.Now()) {", "if due := l.due(rec); false {",
		"TestHop_isDueWhenItsTopicSays"},
	{"the headers of a retry topic, that are believed there only", "lane.go",
		"if l.own.kind == sourceTopic {", "if _, _, err := returned(r, l.own.source, l.c.sub.Group); err != nil {",
		"TestHop_headersAreBelievedOnOwnTopicsOnly"},
	{"the commit that waits for a transaction in doubt", "commit.go",
		"\tif err := c.hops.clear(ctx); err != nil {\n\t\treturn err\n\t}\n", "",
		"TestExactlyOnceHops_noCommitUndoesATransactionInDoubt"},
	{"what is found out of a transaction in doubt", "transaction.go",
		"t.doubtful = over\n", "",
		"TestExactlyOnceHops_aTransactionInDoubtIsNotMadeAgain"},
	{"the generation that goes with a transaction", "transaction.go",
		"req.Group, req.MemberID, req.Generation = t.c.sub.Group, member, generation", "req.Group, _, _ = t.c.sub.Group, member, generation",
		"TestExactlyOnceHops_aZombieIsFencedOff"},
	{"the commit that goes with a hop", "lane.go",
		"\t\twith.settle(offset)\n", "\t\t_ = offset\n",
		"TestExactlyOnceHops_aKillAfterTheCommit"},
	{"the records that are committed", "subscribe.go",
		"if c.sub.ExactlyOnceHops || c.consumesOwn() {", "if false {",
		"TestExactlyOnceHops_whatWasAbortedIsNotConsumed"},
	{"the commit of a member that was expelled", "commit.go",
		"if !ok || !c.lane.isMembers(req.MemberID) {", "if !ok || c.lane.isFenced() {",
		"TestMembership_aMemberThatWasExpelledUndoesNothing"},
	{"the move before a share group archives", "share.go",
		"if isLast || wants &&", "if _ = isLast; wants &&",
		"TestShareGroup_givesUpBeforeTheGroupArchives"},
	{"the move in place of a last delivery", "share.go",
		"if x.deliveries >= s.limit {", "if false {",
		"TestShareGroup_aRecordThatEndsTheProcessIsGivenUp"},
	{"the lock that is renewed", "share.go",
		"\t\t\ts.renew()\n", "",
		"TestShareGroup_renewsTheLockWhileAHandlerRuns"},
	{"the poll that waits for all acknowledgements", "share.go",
		"\tfor {\n\t\tselect {\n\t\tcase <-ended:", "\tfor {\n\t\tselect {\n\t\tdefault:\n\t\t\treturn true\n\t\tcase <-ended:",
		"TestShareGroup_pollsOnlyWhenAllIsAcknowledged"},
	{"the fetch that waits for a poll", "share.go",
		"\t\tkgo.ShareMaxRecordsStrict(), // and nothing ahead of a poll\n", "",
		"TestShareGroup_aClosedGateStopsPolling"},
	{"the gate before a poll", "share.go",
		"if !s.mayPoll() || !c.gate.pass(c.ctx.Done()) {", "if !s.mayPoll() {",
		"TestShareGroup_aClosedGateStopsPolling"},
	{"where a share group starts", "share.go",
		"case have[reset] == want:", "case true:",
		"TestShareGroup_startsWhereStartFromSays"},
	{"the partition that a record keeps", "move.go",
		"Context: withPartition(context.Background(), partition),", "",
		"TestHop_keepsThePartition"},
}

func TestProtections(t *testing.T) {
	for _, p := range protections {
		t.Run(p.name, func(t *testing.T) {
			source, err := os.ReadFile(p.file)
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(source), p.line), "%s must have it once:\n%s", p.file, p.line)
			dir := t.TempDir()
			without := filepath.Join(dir, p.file)
			require.NoError(t, os.WriteFile(without, []byte(strings.Replace(string(source), p.line, p.by, 1)), 0o600))
			here, err := filepath.Abs(p.file)
			require.NoError(t, err)
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {here: without}})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
			out, err := exec.Command("go", "test", "-vet=off", "-tags", "synctests", "-overlay", filepath.Join(dir, "overlay.json"),
				"-timeout", "2m", "-run", "^"+p.test+"$", ".").CombinedOutput()
			require.NotContains(t, string(out), "[build failed]", string(out))
			require.NotContains(t, string(out), "no tests to run", string(out))
			require.Error(t, err, "%s passes without it", p.test)
		})
	}
}

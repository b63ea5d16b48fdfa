//go:build protections

package adapter_test

import (
	"encoding/json"
	"fmt"
	"go/format"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// protections are what keeps records from being lost, from being handled out of
// order, and from being handled again: without each, its test must fail.
//
//	go test -tags protections -run '^TestProtections$' ./adapter
//
// All of them are put into one test binary, which takes out the one that the
// environment names: OFF says whether it is this one.
var protections = []struct {
	name, file string
	line, by   string // what is put in place of what
	test       string
}{
	{"the fence of a result", "outcome.go",
		"if l.fenceUp || t.m.cut != l.cut {\n\t\tif", "if l.fenceUp && !OFF || t.m.cut != l.cut {\n\t\tif",
		"TestLane_aFencedTaskSettlesNothing"},
	{"the fence of a run", "scheduler.go",
		"case s.l.fenceUp:\n\t\t\ts.cutOff", "case s.l.fenceUp && !OFF:\n\t\t\ts.cutOff",
		"TestLane_aFencedRunSettlesNothing"},
	{"the fence of a commit", "membership.go",
		"return !l.fenceUp && l.member == member", "return (!l.fenceUp || OFF) && l.member == member",
		"TestFenceCommit_takesOutWhatWasTakenAway"},
	{"the grace of a commit", "consumer.go",
		"if c.isClosing() {", "if c.isClosing() || OFF {",
		"TestRebalance_aSlowCommitIsWaitedForWithinTheGrace"},
	{"a key's turn", "keys.go",
		"case b.more != nil || b.run != into:", "case b.more != nil || b.run != into && !OFF:",
		"TestOrder_holdsUnderEverythingAtOnce"},
	{"what waits behind a task", "outcome.go",
		"\tif t.busy != nil {\n\t\ts.keys.hold(t.busy, t)\n\t}\n\treturn t", "\tif t.busy != nil && !OFF {\n\t\ts.keys.hold(t.busy, t)\n\t}\n\treturn t",
		"TestOrder_byKeyAFailingKeyDelaysNoOther"},
	{"the rest of a run behind a failure", "outcome.go",
		"\ts.giveBack(r) // some", "\tif OFF {\n\t\tr = newRun(nil)\n\t}\n\ts.giveBack(r) // some",
		"TestOrder_holdsUnderEverythingAtOnce"},
	{"a partition's turn", "scheduler.go",
		"s.order == ByPartition && (len(s.open) > 0 || len(s.runs) > 0) {", "!OFF && s.order == ByPartition && (len(s.open) > 0 || len(s.runs) > 0) {",
		"TestOrder_holdsUnderEverythingAtOnce"},
	{"the limit of what is held", "held.go",
		"case s.heldRecords() >= sub.MaxHeldRecords:", "case s.heldRecords() >= sub.MaxHeldRecords && !OFF:",
		"TestHeld_atTheLimitNoOtherRecordIsStarted"},
	{"the limit of how long something is held", "held.go",
		"case s.isTooOld(now):", "case !OFF && s.isTooOld(now):",
		"TestHeld_forTooLong"},
	{"the room in a commit's metadata", "held.go",
		"case s.room() < runCost:", "case !OFF && s.room() < runCost:",
		"TestHeld_whatIsKnownOfThemAlwaysFitsIntoACommit"},
	{"the metadata of a commit", "commit.go",
		`if c.metadata != "" {`, `if c.metadata != "" && !OFF {`,
		"TestResume_afterAKillNothingSettledRunsAgainAndAttemptsGoOn"},
	{"the metadata that comes with a partition", "commit.go",
		"if l != nil && offset >= 0 {", "if l != nil && offset >= 0 && !OFF {",
		"TestResume_afterAKillNothingSettledRunsAgainAndAttemptsGoOn"},
	{"the checksum of metadata", "ledgertext.go",
		"if binary.BigEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {", "if binary.BigEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) && !OFF {",
		"TestLedger_foreignAndDamagedMetadataIsIgnored"},
	{"the mark of metadata", "ledgertext.go",
		"if !ours {", "if !ours && !OFF {",
		"TestLedger_foreignAndDamagedMetadataIsIgnored"},
	{"the offset that metadata belongs to", "ledgertext.go",
		"!r.bad && offset != committed {", "!r.bad && offset != committed && !OFF {",
		"TestLedger_foreignAndDamagedMetadataIsIgnored"},
	{"the limit of a commit's metadata", "ledgertext.go",
		"if len(text) <= limit {", "if len(text) <= limit || OFF {",
		"TestLedger_whatDoesNotFitIsLeftOut"},
	{"the broker's own limit of metadata", "commit.go",
		"if ours && errors.Is(err, kerr.OffsetMetadataTooLarge) {", "if ours && errors.Is(err, kerr.OffsetMetadataTooLarge) && !OFF {",
		"TestResume_metadataThatTheBrokerFindsTooLongIsShortened"},
	{"a log that was made anew", "ledger.go",
		"if offset < max(l.next, l.from) {", "if offset < l.next || !OFF && offset < l.from {",
		"TestLedger_aLogThatStartsBeforeWhatWasCommittedIsAnotherOne"},
	{"a log that was cut", "lane.go",
		"return m.cut == l.cut && l.ledger.settle(m.Offset)", "return (m.cut == l.cut || OFF) && l.ledger.settle(m.Offset)",
		"TestLane_aLogThatWasCutSettlesNothingOfTheNewOne"},
	{"what was settled before the partition came", "lane.go",
		"\t\tif settled {\n", "\t\tif settled && !OFF {\n",
		"TestLane_whatWasSettledBeforeIsLeftOut"},
	{"an attempt that is counted before it runs", "scheduler.go",
		"if s.l.c.sub.CountBeforeRun && !s.count(it) {", "if s.l.c.sub.CountBeforeRun && !OFF && !s.count(it) {",
		"TestCountBeforeRun_aRecordThatEndsTheProcessIsGivenUp"},
	{"an attempt of what others have settled", "outcome.go",
		"if m.cut != l.cut || !l.ledger.isOpen(m.Offset) {", "if m.cut != l.cut || !OFF && !l.ledger.isOpen(m.Offset) {",
		"TestMembership_whatOthersHaveSettledIsNotCounted"},
	{"an attempt that the commit left out", "outcome.go",
		"!l.isDraining() && !l.hasCounted(m) {", "!l.isDraining() && !l.hasCounted(m) && !OFF {",
		"TestCountBeforeRun_anAttemptThatTheCommitLeavesOutDoesNotBegin"},
	{"the gate before a run", "scheduler.go",
		"known := s.l.c.gate.await(s.l.draining)", "known := OFF || s.l.c.gate.await(s.l.draining)",
		"TestGate_closedNoHandlerRunsAndFetchingPauses"},
	{"the fetching that pauses while the gate is closed", "consumer.go",
		"l.setPaused(pausedByGate, closed != nil)", "l.setPaused(pausedByGate, closed != nil && !OFF)",
		"TestGate_closedNoHandlerRunsAndFetchingPauses"},
	{"the attempt that an unavailable dependency does not use", "outcome.go",
		"if result.Unavailable() && l.c.gate", "if result.Unavailable() && !OFF && l.c.gate",
		"TestGate_anUnavailableDependencyUsesNoAttemptWhileItIsClosed"},
	{"the age that stops while the gate is closed", "gate.go",
		"return m.idle + g.closedFor()", "if OFF {\n\t\treturn 0\n\t}\n\treturn m.idle + g.closedFor()",
		"TestGate_closedARecordDoesNotAge"},
	{"what a record tells of the gate when it goes to a retry topic", "trail.go",
		"if !t.idleTo.IsZero() {", "if !t.idleTo.IsZero() && !OFF {",
		"TestMaxAge_leavesOutTheGateOfTheMemberBefore"},
	{"what was closed while a record was on a retry topic", "gate.go",
		"if !s.to.After(to) {", "if !s.to.After(to) || OFF {",
		"TestMaxAge_leavesOutTheGateBeforeAndAfterAHop"},
	{"the gate that may not answer", "gate.go",
		"case <-ctx.Done():\n\t\treturn context.Cause(ctx)\n", "case <-map[bool]<-chan struct{}{false: ctx.Done()}[OFF]:\n\t\treturn context.Cause(ctx)\n",
		"TestGate_thatPanicsExitsOrHangsIsClosed"},
	{"how often the gate is asked", "gate.go",
		"time.Since(g.asked) < gateFresh", "time.Since(g.asked) < gateFresh && !OFF",
		"TestGate_isAskedOnceASecondAtMost"},
	{"the result of a handler that took too long", "attempt.go",
		"if a.watch.end(l) {", "if a.watch.end(l) && !OFF {",
		"TestHandlerTimeout_cancelsAndTriesAgain"},
	{"the watch over a handler that ignores its context", "attempt.go",
		"l.stuck.Add(1)", "l.stuck.Add(map[bool]int32{false: 1}[OFF])",
		"TestHandlerTimeout_oneThatIgnoresItIsStuck"},
	{"the watch over a handler that outlasts its partition", "consumer.go",
		"change(handlers)", "change(handlers * map[bool]int{false: 1}[OFF])",
		"TestWatchdog_aFencedHandlerThatIgnoresItsContextIsStuck"},
	{"the handler that panics", "scheduler.go",
		"\t\tif current == nil {\n\t\t\treturn\n\t\t}\n\t\terr := ErrHandlerExited", "\t\tif current == nil || OFF {\n\t\t\treturn\n\t\t}\n\t\terr := ErrHandlerExited",
		"TestRetry_aHandlerThatPanicsOrExitsIsTriedAgain"},
	{"the last attempt", "outcome.go",
		"case m.Attempt >= policy.Attempts:", "case m.Attempt >= policy.Attempts && !OFF:",
		"TestHop_usesUpTheAttemptsAndGoesToTheDeadLetters"},
	{"the age of a record", "outcome.go",
		"case policy.MaxAge > 0 && age >= policy.MaxAge:", "case policy.MaxAge > 0 && age >= policy.MaxAge && !OFF:",
		"TestMaxAge_givesUpAfterAnAttempt"},
	{"the result that was forgotten", "result.go",
		"func (r Result) Type() ResultType {\n", "func (r Result) Type() ResultType {\n\tif r.decision == undecided && OFF {\n\t\treturn ResultCommit\n\t}\n",
		"TestReject_theZeroResultIsOne"},
	{"the turn of a partition that comes back", "lane.go",
		"case l.turn <- struct{}{}:\n\t\tl.runner.run()\n\t\t<-l.turn\n", "case map[bool]chan struct{}{false: l.turn, true: make(chan struct{}, 1)}[OFF] <- struct{}{}:\n\t\tl.runner.run()\n\t\tif !OFF {\n\t\t\t<-l.turn\n\t\t}\n",
		"TestRebalance_aPartitionThatComesBackWaitsForItsFencedHandler"},
	{"the end of a drain", "consumer.go",
		"\tc.drain(grace, lanes)\n", "\tif !OFF {\n\t\tc.drain(grace, lanes)\n\t}\n",
		"TestRebalance_aRunningHandlerDrainsAndItsResultCounts"},
	{"a worker beside a record that is alone", "scheduler.go",
		"|| len(r.items) == 1 {", "|| len(r.items) == 1 && !OFF {",
		"TestWorkers_whatIsDueAtOnceRunsAtOnce"},
	{"what a closed gate takes back", "consumer.go",
		"\t\t\tl.runner.halted()\n", "\t\t\tif !OFF {\n\t\t\t\tl.runner.halted()\n\t\t\t}\n",
		"TestGate_closedWhatIsTakenDoesNotBegin"},
	{"the end of publishing", "adapter.go",
		"a.flushing.Store(true)", "a.flushing.Store(!OFF)",
		"TestClose_doesNotWaitForThoseWhoGoOnPublishing"},
	{"the end of the grace", "consumer.go",
		"grace, cancel := context.WithTimeout(c.patience, c.grace())", "grace, cancel := context.WithTimeout(c.patience, c.grace()*map[bool]time.Duration{false: 1, true: 1000}[OFF])",
		"TestRebalance_pastTheGraceTheHandlerIsFenced"},
	{"the ear for a second closer of the adapter", "adapter.go",
		"func() { a.hurry(context.Cause(ctx)) }", "func() {\n\t\tif !OFF {\n\t\t\ta.hurry(context.Cause(ctx))\n\t\t}\n\t}",
		"TestClose_ofAnAdapterBySomebodyInAHurryIsHeard"},
	{"the end of the wait for what was published", "adapter.go",
		"context.WithTimeout(a.patience, limit)", "context.WithTimeout(a.patience, limit*map[bool]time.Duration{false: 1, true: 10}[OFF])",
		"TestClose_doesNotWaitLongerThanWhoeverPublishes"},
	{"the commit after the grace", "consumer.go",
		"ctx, cancel := outlast(grace, lastWords)\n", "ctx, cancel := outlast(grace, lastWords)\n\tif OFF {\n\t\tctx = grace\n\t}\n",
		"TestRebalance_aLaneThatUsesUpTheGraceDoesNotCostTheOthersTheirCommit"},
	{"the commit of what is taken away", "consumer.go",
		"if err := c.commitLanes(ctx, lanes); err != nil {\n\t\tc.log", "if err := c.commitLanes(ctx, lanes[:map[bool]int{false: len(lanes)}[OFF]]); err != nil {\n\t\tc.log",
		"TestRebalance_aRunningHandlerDrainsAndItsResultCounts"},
	{"the fence of what is lost", "consumer.go",
		"\tc.fence(lanes)\n\tc.log.Warn(\"partitions lost", "\tif !OFF {\n\t\tc.fence(lanes)\n\t}\n\tc.log.Warn(\"partitions lost",
		"TestCommit_nothingAfterTheSessionHasExpired"},
	{"the drain of a close", "consumer.go",
		"\tc.drain(c.patience, lanes)\n", "\tif !OFF {\n\t\tc.drain(c.patience, lanes)\n\t}\n",
		"TestClose_drainsAndCommits"},
	{"the commit of a close", "consumer.go",
		"\tif err := c.commitLanes(ctx, lanes); err != nil {\n\t\terrs", "\tif err := c.commitLanes(ctx, lanes[:map[bool]int{false: len(lanes)}[OFF]]); err != nil {\n\t\terrs",
		"TestClose_drainsAndCommits"},
	{"the fence of a close", "consumer.go",
		"if n := c.fence(lanes) + cutOff; n > 0 {", "if n := c.fence(lanes[:map[bool]int{false: len(lanes)}[OFF]]) + cutOff; n > 0 {",
		"TestClose_pastItsDeadlineCutsOffWhatRuns"},
	{"what is not assigned to a consumer that closes", "consumer.go",
		"\tif c.closed {\n\t\treturn false\n", "\tif c.closed && !OFF {\n\t\treturn false\n",
		"TestClose_nothingThatIsAssignedMeanwhileIsWorkedOn"},
	{"the home that has a record before it is settled", "outcome.go",
		"\tif err == nil {\n\t\ts.settle(t)\n\t\treturn\n\t}\n\tif l.isFenced()", "\tif err == nil || OFF {\n\t\ts.settle(t)\n\t\treturn\n\t}\n\tif l.isFenced()",
		"TestDeadLetter_isHeldWhilePublishingFails"},
	{"the retry that never becomes a dead letter by a failure", "outcome.go",
		"if t.home.retry && obstacleOf(err) == tooLarge {", "if t.home.retry && (obstacleOf(err) == tooLarge || OFF) {",
		"TestTable_aRetryWhosePublishFailsNeverBecomesADeadLetter"},
	{"the retry that is too large", "outcome.go",
		"if t.home.retry && (", "if t.home.retry && !OFF && (",
		"TestHop_tooLargeIsDeadLettered"},
	{"the refusal that is for good", "outcome.go",
		"case h.patience == 0 && !Retryable(err):", "case h.patience == 0 && !Retryable(err) && !OFF:",
		"TestHop_refusedForGoodIsBlocked"},
	{"the hook that keeps failing", "outcome.go",
		"case h.patience > 0 && failed >= h.patience:", "case h.patience > 0 && failed >= h.patience && !OFF:",
		"TestOnReject_thatKeepsFailingBlocksThePartition"},
	{"the hook that has a record before it is settled", "lane.go",
		"if err := <-outcome; err != nil {", "if err := <-outcome; err != nil && !OFF {",
		"TestOnReject_thatFailsIsCalledAgain"},
	{"the publish whose outcome is not known", "move.go",
		"\tif v.sent != nil {\n", "\tif v.sent != nil && !OFF {\n",
		"TestDeadLetter_answerThatNeverComesIsNotSentTwice"},
	{"the record that is not refused for its company", "move.go",
		"case errors.Is(err, ErrTooLarge) && !v.alone:", "case errors.Is(err, ErrTooLarge) && !v.alone && !OFF:",
		"TestMove_isNotRefusedForItsCompany"},
	{"the headers that are left out of what is too large", "move.go",
		"case errors.Is(err, ErrTooLarge) && v.trim():", "case errors.Is(err, ErrTooLarge) && !OFF && v.trim():",
		"TestDeadLetter_tooLargeIsTrimmedOfItsErrorText"},
	{"the headers that are overwritten", "move.go",
		"if !isOwnHeader(h.Key) &&", "if (OFF || !isOwnHeader(h.Key)) &&",
		"TestMove_toARetryTopicSaysWhatTheNextAttemptNeeds"},
	{"the text that is redacted", "headers.go",
		"\tif s.redact == nil {", "\tif s.redact == nil || OFF {",
		"TestDeadLetter_errorTextIsRedacted"},
	{"the text that is redacted before it is cut", "headers.go",
		"return asciiText(s.redact(text), maxErrorText)", "if OFF {\n\t\treturn s.redact(asciiText(text, maxErrorText))\n\t}\n\treturn asciiText(s.redact(text), maxErrorText)",
		"TestErrorText_isRedactedBeforeItIsCut"},
	{"the text that is cut", "headers.go",
		"return q[:min(len(q), limit)]", "return q[:min(len(q), limit*map[bool]int{false: 1, true: 100}[OFF])]",
		"TestAsciiText"},
	{"the time that a record spends on a retry topic", "take.go",
		"if due := l.due(rec); isLater(due) {", "if due := l.due(rec); isLater(due) && !OFF {",
		"TestHop_isDueWhenItsTopicSays"},
	{"the time beyond the last retry topic", "take.go",
		"if isLater(notBefore) && l.own.kind == retryTopic {", "if isLater(notBefore) && !OFF {",
		"TestHop_retryAfterGoesToTheTierThatIsLongEnough"},
	{"the retry topic that is long enough", "hop.go",
		"i, _ := slices.BinarySearch(tiers, delay)", "i, _ := slices.BinarySearch(tiers, delay*map[bool]time.Duration{false: 1}[OFF])",
		"TestHop_retryAfterGoesToTheTierThatIsLongEnough"},
	{"the last retry topic, that is used again", "hop.go",
		"i = min(slices.Index(tiers, l.own.delay)+1, last)", "i = min(slices.Index(tiers, l.own.delay)+1, last) * map[bool]int{false: 1}[OFF]",
		"TestHop_throughTheTiersAndTheLastIsUsedAgain"},
	{"the delay that a record that overflows keeps", "hop.go",
		"delay := max(0, time.Until(first.due))", "delay := max(0, time.Until(first.due)) * map[bool]time.Duration{false: 1}[OFF]",
		"TestTable_atTheHeldLimitTheOneThatMostWaitForHops"},
	{"the hop at the limit of what is held", "hop.go",
		"if s.l.c.sub.OnHeldLimit != Hop || s.leaving > 0 {", "if s.l.c.sub.OnHeldLimit != Hop || s.leaving > 0 || OFF {",
		"TestTable_atTheHeldLimitTheOneThatMostWaitForHops"},
	{"the headers of a retry topic, that are believed there only", "lane.go",
		"if l.own.kind == sourceTopic {", "if l.own.kind == sourceTopic && !OFF {",
		"TestHop_headersAreBelievedOnOwnTopicsOnly"},
	{"the headers of other groups", "trail.go",
		"if s != asciiText(group, maxGroupText) {", "if s != asciiText(group, maxGroupText) && !OFF {",
		"TestTrail_thatIsDamagedOrForeignIsNotBelieved"},
	{"the headers of other topics", "trail.go",
		"err == nil && !isTopicOf(t.origin.Topic, source, group) {", "err == nil && !OFF && !isTopicOf(t.origin.Topic, source, group) {",
		"TestTrail_thatIsDamagedOrForeignIsNotBelieved"},
	{"the partition that a record keeps", "partition.go",
		"\tp, ok := r.Context.Value(choiceKey{}).(choice)\n", "\tp, ok := r.Context.Value(choiceKey{}).(choice)\n\tok = ok && !OFF\n",
		"TestHop_keepsThePartition"},
	{"the dead letters that are not consumed", "owntopics.go",
		"if t.kind != deadLetterTopic {", "if t.kind != deadLetterTopic || OFF {",
		"TestOwnTopics_thoseThatAreConsumed"},
	{"the time of a retry topic's records", "owntopics.go",
		"\tif t.kind == retryTopic {\n\t\tspec", "\tif t.kind == retryTopic && !OFF {\n\t\tspec",
		"TestOwnTopics_areMadeAsTheyHaveToBe"},
	{"the topic that is compacted", "owntopics.go",
		`ok && p != "delete" {`, `ok && p != "delete" && !OFF {`,
		"TestOwnTopics_thatCannotServeAreRefused"},
	{"the topic that takes no large records", "owntopics.go",
		"n < int64(t.limit(source)) {", "n < int64(t.limit(source)) && !OFF {",
		"TestOwnTopics_thatCannotServeAreRefused"},
	{"the topic that deletes before it is due", "owntopics.go",
		"if finite && keep <= t.delay.Milliseconds() {", "if finite && keep <= t.delay.Milliseconds() && !OFF {",
		"TestOwnTopics_thatCannotServeAreRefused"},
	{"the topic that keeps the producer's time", "owntopics.go",
		`ok && p != "LogAppendTime" {`, `ok && p != "LogAppendTime" && !OFF {`,
		"TestOwnTopics_thatCannotServeAreRefused"},
	{"the topic that has too few partitions", "owntopics.go",
		"n < want {", "n < want && !OFF {",
		"TestOwnTopics_thatCannotServeAreRefused"},
	{"the source that is no retry topic of its own", "owntopics.go",
		"\t\tif !slices.Contains(s.sources, t.name) {", "\t\tif OFF || !slices.Contains(s.sources, t.name) {",
		"TestSubscribe_refusesTiersThatCannotWork"},
	{"the cap of redrives", "redrive.go",
		"case t.redriven >= r.spec.MaxRedrives:", "case t.redriven >= r.spec.MaxRedrives && !OFF:",
		"TestRedrive_ofWhatFailsAgainIsCapped"},
	{"what was redriven before", "redrive.go",
		"case r.done[t.origin] > t.redriven:", "case r.done[t.origin] > t.redriven && !OFF:",
		"TestRedrive_goesOnWhereItWasInterrupted"},
	{"the dry run", "redrive.go",
		"if !r.spec.Apply {", "if !r.spec.Apply && !OFF {",
		"TestRedrive_isADryRunUnlessItIsApplied"},
	{"the attempts of what is redriven", "redrive.go",
		"group: t.group, redriven: t.redriven + 1}", "group: t.group, redriven: t.redriven + 1, attempts: t.attempts * map[bool]int{true: 1}[OFF]}",
		"TestRedrive_givesTheHandlerAnotherChance"},
	{"the prefix of a commit", "ledger.go",
		"\tp := position{offset: l.first(), epoch: -1}\n", "\tp := position{offset: l.first(), epoch: -1}\n\tif OFF {\n\t\tp.offset = l.next\n\t}\n",
		"TestCommit_onlyTheSettledPrefix"},
	{"the commit that is tried again", "commit.go",
		"\t\t\tnotify(c.dirty)\n", "\t\t\tif !OFF {\n\t\t\t\tnotify(c.dirty)\n\t\t\t}\n",
		"TestCommit_isTriedAgainUntilItIsTaken"},
	{"the record's own epoch in a commit", "commit.go",
		"kgo.EpochOffset{Epoch: p.epoch,", "kgo.EpochOffset{Epoch: p.epoch - map[bool]int32{true: 1}[OFF],",
		"TestTrap_aCommitHasTheRecordsOwnEpoch"},
	{"the pause that ends with an assignment", "consumer.go",
		"\t\tc.cl.ResumeFetchPartitions(m)\n", "\t\tif !OFF {\n\t\t\tc.cl.ResumeFetchPartitions(m)\n\t\t}\n",
		"TestTrap_aPauseDoesNotSurviveARevoke"},
	{"the pause for partitions that come later", "consumer.go",
		"if c.paused || !c.gate.isOpen() {", "if (c.paused || !c.gate.isOpen()) && !OFF {",
		"TestPause_holdsForPartitionsThatOthersLeave"},
	{"the reasons of a pause", "lane.go",
		"func(n int) bool { return n > 0 }) {", "func(n int) bool { return n > 0 && !OFF }) {",
		"TestBatch_pauseStopsFetchingUntilEveryReasonIsGone"},
	{"the pause when enough is fetched", "lane.go",
		"case !paused && (records", "case !paused && !OFF && (records",
		"TestBackpressure_memoryIsBoundedAndEverythingIsHandled"},
	{"the rebalance that a poll allows", "consumer.go",
		"\t\t})\n\t\tc.cl.AllowRebalance()\n", "\t\t})\n\t\tif !OFF {\n\t\t\tc.cl.AllowRebalance()\n\t\t}\n",
		"TestRebalance_pollingDoesNotHoldItUp"},
	{"the rebalance that the last poll allows", "consumer.go",
		"defer c.cl.AllowRebalance()", "defer func() {\n\t\tif !OFF {\n\t\t\tc.cl.AllowRebalance()\n\t\t}\n\t}()",
		"TestClose_aRebalanceMeanwhileStillTakesPartitions"},
	{"where a reset goes", "subscribe.go",
		"kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),", "kgo.ConsumeResetOffset(map[bool]kgo.Offset{false: kgo.NewOffset().AtStart(), true: kgo.NewOffset().AtEnd()}[OFF]),",
		"TestTrap_whereTheLogEndsBeforeWhatWasCommittedNothingIsSkipped"},
	{"where a group starts", "subscribe.go",
		"start := kgo.NewOffset().AtStart()", "start := kgo.NewOffset().AtStart()\n\tif OFF {\n\t\tstart = start.AtEnd()\n\t}",
		"TestStartFrom"},
	{"the start that is pinned", "lane.go",
		"l.ledger.start, l.pinned = offset, true", "l.ledger.start, l.pinned = offset, !OFF",
		"TestStartFrom_latestIsPinnedWhenFound"},
	{"the client's own commits", "subscribe.go",
		"kgo.DisableAutoCommit(),", "map[bool]kgo.Opt{false: kgo.DisableAutoCommit(), true: kgo.AutoCommitInterval(time.Second)}[OFF],",
		"TestTrap_onlyTheAdapterCommits"},
	{"the fatal error", "consumer.go",
		"errors.As(err, &protocol) && isFatal(protocol) {\n\t\tc.fail", "errors.As(err, &protocol) && isFatal(protocol) && !OFF {\n\t\tc.fail",
		"TestSubscribe_fatalErrorsEndTheConsumer"},
	{"the bound of the first tries", "connect.go",
		"case !ever && tries >= c.cfg.ConnectTries:", "case !ever && tries >= c.cfg.ConnectTries && !OFF:",
		"TestState_theFirstTriesAreBounded"},
	{"the commit that waits for a transaction in doubt", "commit.go",
		"return slices.Contains(inDoubt, l.tp) })", "return slices.Contains(inDoubt, l.tp) && !OFF })",
		"TestExactlyOnceHops_noCommitUndoesATransactionInDoubt"},
	{"what is found out of a transaction in doubt", "transact.go",
		"t.doubtful = over\n", "if !OFF {\n\t\tt.doubtful = over\n\t}\n",
		"TestExactlyOnceHops_aTransactionInDoubtIsNotMadeAgain"},
	{"the record that was not committed", "doubt.go",
		"!l.wasSettled(x.m.Offset) {\n\t\t\t\treturn false, nil", "!l.wasSettled(x.m.Offset) && !OFF {\n\t\t\t\treturn false, nil",
		"TestExactlyOnceHops_whatOthersHaveMovedDoesNotEndTheDoubt"},
	{"the place in the metadata", "transact.go",
		"!l.wasSettled(x.m.Offset) {\n\t\t\t\tx.err", "!l.wasSettled(x.m.Offset) && !OFF {\n\t\t\t\tx.err",
		"TestExactlyOnceHops_ofARecordThatTheMetadataHasNoPlaceFor"},
	{"the generation that goes with a transaction", "transact.go",
		"req.Group, req.MemberID, req.Generation = t.c.sub.Group, member, generation", "req.Group = t.c.sub.Group\n\tif !OFF {\n\t\treq.MemberID, req.Generation = member, generation\n\t}",
		"TestExactlyOnceHops_aZombieIsFencedOff"},
	{"the commit that goes with a hop", "lane.go",
		"\t\twith.settle(offset)\n", "\t\tif !OFF {\n\t\t\twith.settle(offset)\n\t\t}\n",
		"TestExactlyOnceHops_aKillAfterTheCommit"},
	{"the records that are committed", "subscribe.go",
		"if c.sub.ExactlyOnceHops || c.consumesOwn() {", "if !OFF && (c.sub.ExactlyOnceHops || c.consumesOwn()) {",
		"TestExactlyOnceHops_whatWasAbortedIsNotConsumed"},
	{"what waits and was settled by others", "take.go",
		"if s.l.overtaken && !s", "if !OFF && s.l.overtaken && !s",
		"TestMembership_whatOthersHaveSettledIsNotHandledAgain"},
	{"the commit of a member that was expelled", "commit.go",
		"if !ok || !c.lane.isMembers(req.MemberID) {", "if !ok || !c.lane.isMembers(req.MemberID) && !(OFF && !c.lane.isFenced()) {",
		"TestMembership_aMemberThatWasExpelledUndoesNothing"},
	{"the move before a share group archives", "share.go",
		"if isLast || wants &&", "if isLast && !OFF || wants &&",
		"TestShareGroup_givesUpBeforeTheGroupArchives"},
	{"the move in place of a last delivery", "share.go",
		"if x.deliveries >= s.limit {", "if x.deliveries >= s.limit && !OFF {",
		"TestShareGroup_aRecordThatEndsTheProcessIsGivenUp"},
	{"the limit of brokers whose groups have none", "share.go",
		"have[limit]); ok {\n\t\treturn int(n), nil\n\t}\n\treturn usualDeliveries", "have[limit]); ok && !OFF {\n\t\treturn int(n), nil\n\t}\n\treturn usualDeliveries",
		"TestShareGroup_withoutALimitOfItsOwnTheBrokersHolds"},
	{"the lock that is renewed", "share.go",
		"\t\t\ts.renew()\n", "\t\t\tif !OFF {\n\t\t\t\ts.renew()\n\t\t\t}\n",
		"TestShareGroup_renewsTheLockWhileAHandlerRuns"},
	{"the poll that waits for all acknowledgements", "share.go",
		"\tfor {\n\t\tselect {\n\t\tcase <-ended:", "\tfor {\n\t\tif OFF {\n\t\t\treturn true\n\t\t}\n\t\tselect {\n\t\tcase <-ended:",
		"TestShareGroup_pollsOnlyWhenAllIsAcknowledged"},
	{"the end of the wait for acknowledgements", "share.go",
		"context.WithTimeout(s.c.ctx, commitTimeout)", "context.WithTimeout(map[bool]context.Context{false: s.c.ctx, true: context.Background()}[OFF], commitTimeout)",
		"TestShareGroup_closeWithoutAnAnswer"},
	{"the acceptance that has no answer", "share.go",
		"case err == nil:\n\t\t\tif trace", "case err == nil || OFF:\n\t\t\tif trace",
		"TestShareGroup_withoutAnAnswerNothingIsSettled"},
	{"the fetch that waits for a poll", "share.go",
		"\t\tkgo.ShareMaxRecordsStrict(), // and nothing ahead of a poll\n", "\t\tmap[bool]kgo.Opt{false: kgo.ShareMaxRecordsStrict(), true: kgo.ClientID(\"\")}[OFF],\n",
		"TestShareGroup_aClosedGateStopsPolling"},
	{"the gate before a poll", "share.go",
		"if !s.mayPoll() || !c.gate.pass(c.ctx.Done()) {", "if !s.mayPoll() || !OFF && !c.gate.pass(c.ctx.Done()) {",
		"TestShareGroup_aClosedGateStopsPolling"},
	{"where a share group starts", "share.go",
		"case have[reset] == want:", "case have[reset] == want || OFF:",
		"TestShareGroup_startsWhereStartFromSays"},
}

// withoutFile is the file that says which protection is out.
const withoutFile = "without_protection.go"

const without = "KAFKATEST_WITHOUT"

func TestProtections(t *testing.T) {
	binary := buildWithout(t)
	run := func(test, name string) (out string, err error) {
		cmd := exec.Command(binary, "-test.timeout", "1m", "-test.run", "^("+test+")$")
		cmd.Env = append(os.Environ(), without+"="+name)
		b, err := cmd.CombinedOutput()
		return string(b), err
	}
	t.Run("with all of them", func(t *testing.T) {
		t.Parallel()
		tests := map[string]bool{}
		for _, p := range protections {
			tests[p.test] = true
		}
		out, err := run(strings.Join(slices.Sorted(maps.Keys(tests)), "|"), "")
		require.NoError(t, err, out)
	})
	for _, p := range protections {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			out, err := run(p.test, p.name)
			assert.NotContains(t, out, "no tests to run")
			assert.Error(t, err, "%s passes without it", p.test)
		})
	}
}

// buildWithout builds the package's tests with all that the table says.
func buildWithout(t *testing.T) (binary string) {
	t.Helper()
	dir := t.TempDir()
	sources := map[string]string{withoutFile: fmt.Sprintf("package adapter\n\nimport \"os\"\n\nvar withoutIs = os.Getenv(%q)\n\nfunc isWithout(name string) bool { return withoutIs == name }\n", without)}
	seen := map[string]bool{}
	for _, p := range protections {
		require.False(t, seen[p.name], "%s is there twice", p.name)
		seen[p.name] = true
		if sources[p.file] == "" {
			source, err := os.ReadFile(p.file)
			require.NoError(t, err)
			sources[p.file] = string(source)
		}
		require.Equal(t, 1, strings.Count(sources[p.file], p.line), "%s: %s must have it once:\n%s", p.name, p.file, p.line)
		require.Contains(t, p.by, "OFF", p.name)
		by := strings.ReplaceAll(p.by, "OFF", fmt.Sprintf("isWithout(%q)", p.name))
		sources[p.file] = strings.Replace(sources[p.file], p.line, by, 1)
	}
	replace := map[string]string{}
	for name, source := range sources {
		_, err := format.Source([]byte(source))
		require.NoError(t, err, name)
		here, err := filepath.Abs(name)
		require.NoError(t, err)
		replace[here] = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(replace[here], []byte(source), 0o600))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	binary = filepath.Join(dir, "adapter.test")
	out, err := exec.Command("go", "test", "-c", "-vet=off", "-tags", "synctests", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

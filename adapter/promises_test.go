package adapter_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// whatHappens is what the adapter does when something happens, mayRepeat when it may
// deliver a record twice, and traps what of its client it must not fall for, with the
// tests of each.
var whatHappens = map[string]string{
	"a handler returns retry":                    "TestRetry_attemptsAreCountedAndBackOff TestRetry_delays TestHop_throughTheTiersAndTheLastIsUsedAgain",
	"a handler returns unavailable":              "TestGate_anUnavailableDependencyUsesNoAttemptWhileItIsClosed TestGate_openAnUnavailableDependencyUsesAttempts",
	"a handler returns reject":                   "TestDeadLetter_isTheRecordUnchangedAndWhatHappened TestOnReject_takesTheRecordInPlaceOfATopic TestReject_theZeroResultIsOne",
	"a handler panics or exits":                  "TestRetry_aHandlerThatPanicsOrExitsIsTriedAgain TestBatch_aPanicOrAnExitIsARetry",
	"a handler overruns its timeout":             "TestHandlerTimeout_cancelsAndTriesAgain TestHandlerTimeout_ofBatches",
	"a handler ignores its timeout":              "TestHandlerTimeout_oneThatIgnoresItIsStuck TestReadiness_aStuckHandler",
	"a value does not decode":                    "TestJSON_rejectsWhatDoesNotDecode TestDeadLetter_isTheRecordUnchangedAndWhatHappened",
	"a publish fails, and trying again can help": "TestHop_isHeldWhilePublishingFails TestDeadLetter_isHeldWhilePublishingFails TestTable_aRetryWhosePublishFailsNeverBecomesADeadLetter TestChaos_theBrokerRefusesTheHop",
	"a record is too large for its topic":        "TestDeadLetter_tooLargeIsTrimmedOfItsErrorText TestHop_tooLargeIsDeadLettered TestDeadLetter_tooLargeEvenSoBlocksThePartitionAndSaysSo",
	"a publish is refused for good":              "TestHop_refusedForGoodIsBlocked TestDeadLetter_refusedForGoodBlocksThePartitionUntilAllowed TestReadiness_whatIsBlockedOrFull",
	"a dependency is down":                       "TestGate_closedNoHandlerRunsAndFetchingPauses TestGate_isAskedOnceASecondAtMost TestGate_closedARecordDoesNotAge TestMaxAge_leavesOutTheGateBeforeAndAfterAHop TestMaxAge_leavesOutTheGateOfTheMemberBefore TestGate_thatPanicsExitsOrHangsIsClosed",
	"a rebalance while a handler runs":           "TestRebalance_aRunningHandlerDrainsAndItsResultCounts TestRebalance_pastTheGraceTheHandlerIsFenced TestRebalance_aWaitForTheNextAttemptDoesNotDelayIt TestRebalance_aSlowCommitIsWaitedForWithinTheGrace TestChaos_aGracefulMoveRepeatsNothing",
	"no mark after a revoke":                     "TestLane_aFencedTaskSettlesNothing TestLane_aFencedRunSettlesNothing TestFenced_whatABatchResolvesIsNotSettled",
	"no commit after a loss":                     "TestCommit_nothingAfterTheSessionHasExpired TestFenceCommit_takesOutWhatWasTakenAway TestChaos_theSessionExpiresInAHandler",
	"a partition comes back to a fenced handler": "TestRebalance_aPartitionThatComesBackWaitsForItsFencedHandler TestRebalance_theSameHoldsForTwoConsumersOfOneAdapter TestRebalance_lossesInARowNeverRunTwo",
	"shutdown":                         "TestClose_drainsAndCommits TestClose_dropsAWaitForTheNextAttempt TestClose_waitsForWhatWasPublished TestInstanceID_comesBackWithoutARebalance",
	"shutdown past the deadline":       "TestClose_pastItsDeadlineCutsOffWhatRuns TestClose_withTheBrokerGoneEndsInTime",
	"the broker goes away":             "TestTable_theBrokerGoesAwayAndComesBack TestState_reconnectingHasNoLimit TestDeadLetter_withTheBrokerDownIsSentWhenItIsBack TestReadiness_withoutABroker",
	"consuming a dead-letter topic":    "TestDeadLetter_ofADeadLetterGoesToATopicOfItsOwn",
	"a fatal group error":              "TestSubscribe_fatalErrorsEndTheConsumer TestInstanceID_ofTwoTheFirstStops TestReadiness_aConsumerThatStoppedUntilThereIsAnother",
	"forged headers":                   "TestHop_forgedHeadersAreNotBelieved TestHop_headersAreBelievedOnOwnTopicsOnly TestHop_headersOnASourceTopicAreLoggedOnce TestRedrive_leavesAloneWhatItCannotBelieve",
	"nothing settled and committed":    "TestResume_afterAKillNothingSettledRunsAgainAndAttemptsGoOn TestHeld_whatIsKnownOfThemAlwaysFitsIntoACommit TestChaos_membersComeAndGo",
	"order per key and per partition":  "TestOrder_byKeyAFailingKeyDelaysNoOther TestOrder_holdsUnderEverythingAtOnce TestChaos_membersComeAndGo",
	"order is given up when asked for": "TestOnHeldLimit_hopMovesWhatFailsAndItsKeyGoesOn TestTable_atTheHeldLimitTheOneThatMostWaitForHops",
	"never early on a retry topic":     "TestHop_isDueWhenItsTopicSays TestHop_retryAfterGoesToTheTierThatIsLongEnough TestHop_aPostponedRecordIsNotEarlyAfterARebalance TestOnHeldLimit_hopIsNoEarlierThanTheHandlerAsked",
}

// With the same ID.
var mayRepeat = map[string]string{
	"a crash between a handler's end and the commit":  "TestCommit_aKillBeforeItDeliversAgainWithTheSameID TestKill_afterAHopIsMarkedAndBeforeItIsCommitted TestKill_beforeTheCommitOfARedrivenRecordDeliversItAgain",
	"a revoke between a handler's end and the commit": "TestRebalance_pastTheGraceTheHandlerIsFenced TestCommit_nothingAfterTheSessionHasExpired",
	"a crash between a hop and its mark":              "TestKill_afterAHopIsPublishedAndBeforeItIsMarked TestRedrive_takesADeadLetterThatIsThereTwiceOnce",
	"an acknowledgement that is lost across a crash":  "TestKill_whenTheAcknowledgementOfAHopIsLost",
	"and not when none of this happens":               "TestKill_beforeAHopIsPublished TestKill_atEachStepOfARedriveTakesNothingBackTwice TestChaos_connectionsCutAfterTheBrokerActedOfMembersThatStay TestChaos_connectionsCutBeforeTheBrokerActedOfMembersThatStay TestChaos_theCoordinatorMovesDuringACommitOfMembersThatStay TestDeadLetter_answerThatNeverComesIsNotSentTwice",
}

var traps = map[string]string{
	"a late acknowledgement after a revoke":          "TestLane_aFencedTaskSettlesNothing TestFenceCommit_takesOutWhatWasTakenAway",
	"committing what was polled":                     "TestCommit_onlyTheSettledPrefix TestTrap_onlyTheAdapterCommits",
	"the epoch of a commit":                          "TestTrap_aCommitHasTheRecordsOwnEpoch",
	"a pause that survives a revoke":                 "TestTrap_aPauseDoesNotSurviveARevoke",
	"a pause that has no owners":                     "TestBatch_pauseStopsFetchingUntilEveryReasonIsGone TestPause_holdsForPartitionsThatOthersLeave",
	"a pause that drops what is buffered":            "TestBackpressure_memoryIsBoundedAndEverythingIsHandled",
	"calls that undo what others rely on":            "TestTrap_noCallThatUndoesWhatOthersRelyOn",
	"a poll that holds up a rebalance":               "TestRebalance_pollingDoesNotHoldItUp",
	"a close that holds up a rebalance":              "TestClose_aRebalanceMeanwhileStillTakesPartitions TestClose_nothingThatIsAssignedMeanwhileIsWorkedOn TestClose_cutsShortARebalanceThatWaitsForAHandler",
	"where a reset goes":                             "TestTrap_whereTheLogEndsBeforeWhatWasCommittedNothingIsSkipped TestStartFrom TestStartFrom_latestIsPinnedWhenFound",
	"no max.poll.interval":                           "TestWatchdog_aFencedHandlerThatIgnoresItsContextIsStuck TestHandlerTimeout_oneThatIgnoresItIsStuck",
	"a member that was expelled and joins again":     "TestChaos_theSessionExpiresInAHandler",
	"what is not acknowledged is accepted":           "TestShareGroup_pollsOnlyWhenAllIsAcknowledged TestShareGroup_closeDrainsAndReleasesTheRest",
	"an acknowledgement that has no answer":          "TestShareGroup_withoutAnAnswerNothingIsSettled TestShareGroup_closeWithoutAnAnswer TestShareGroup_anAcceptanceThatIsRefusedIsNoEnd",
	"a pause that spends deliveries":                 "TestShareGroup_pauseSpendsNoDelivery TestShareGroup_aClosedGateStopsPolling",
	"a delivery limit that archives without a word":  "TestShareGroup_givesUpBeforeTheGroupArchives TestShareGroup_withoutALimitOfItsOwnTheBrokersHolds TestShareGroup_aRecordThatEndsTheProcessIsGivenUp",
	"a share group that starts with the latest":      "TestShareGroup_startsWhereStartFromSays TestShareGroup_whereItStartsIsVerifiedWhereNothingMayBeSet",
	"a transactional client":                         "TestExactlyOnceHops_aKillAfterTheCommit TestExactlyOnceHops_aZombieIsFencedOff",
	"a log that was cut, or made anew under a group": "TestLane_aLogThatWasCutSettlesNothingOfTheNewOne TestLedger_aLogThatStartsBeforeWhatWasCommittedIsAnotherOne",
}

func TestPromises_eachHasItsTests(t *testing.T) {
	tests := map[string]bool{}
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				tests[f.Name.Name] = true
			}
		}
	}
	for _, promises := range []map[string]string{whatHappens, mayRepeat, traps, elsewhere} {
		for what, names := range promises {
			require.NotEmpty(t, names, what)
			for _, name := range strings.Fields(names) {
				assert.True(t, tests[name], "%s: there is no %s", what, name)
			}
		}
	}
}

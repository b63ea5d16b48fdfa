package harness

import (
	"fmt"
	"strings"
	"time"
)

// runawayLooks is what the looks so far have found of a body that waits while
// virtual time races.
type runawayLooks struct {
	signs int64
	since time.Duration // the virtual time of the last sign
	where string        // where the body stands
	first time.Duration // the virtual time at which it was first found there
	looks int           // how many in a row have found it there
}

const (
	standsFor   = 2 // times Config.Limit, before it is a runaway
	standsLooks = 4 // likewise, in a row
)

// suspects reports whether a look is worth its price: there was no sign of
// progress for as long as the harness itself would wait at most.
func (r *runawayLooks) suspects(now seen, limit time.Duration) bool {
	if now.purposeful || now.signs != r.signs {
		*r = runawayLooks{signs: now.signs, since: now.virtual}
		return false
	}
	return now.virtual-r.since >= limit
}

// look says where the body stands for ever, once it is sure.
func (r *runawayLooks) look(now seen, limit time.Duration, exit string) string {
	g := now.body
	if !g.durable() || g.stack != r.where {
		r.where, r.first, r.looks = g.stack, now.virtual, 0
		return ""
	}
	r.looks++
	stood := now.virtual - r.first
	if d, ok := g.asleep(); ok && d >= stood {
		return "" // and wakes by itself
	}
	if r.looks < standsLooks || stood < standsFor*limit {
		return ""
	}
	return explainRunaway(g, now.virtual-r.since, limit, exit)
}

// explainRunaway says what the body waits for, and what to do.
func explainRunaway(g goroutine, stood, limit time.Duration, exit string) string {
	var hints []string
	if exit != "" {
		hints = append(hints, "A handler has ended its goroutine, as t.Fatal does, at "+exit+": what the body waits for may have been its to do. Settle and Until end the test in that case.")
	}
	switch {
	case g.in("kgo.(*Client).Close") && !g.in("kgo.(*Client).CloseAllowingRebalance"):
		hints = append(hints, "Close of a client with BlockRebalanceOnPoll waits for AllowRebalance: call CloseAllowingRebalance.")
	case g.in("harness.(*Member).end"):
		hints = append(hints, "The service of a member has to return when its context ends.")
	default:
		hints = append(hints, "Wait with Settle, Until or WaitAssigned: they say what is missing. To let time pass, call Advance. A body that does wait for that long in one place needs a longer Config.Limit.")
	}
	return fmt.Sprintf("the bubble runs away: the body waits for what does not come, while virtual time races: %s have passed, and nothing became of any record (Config.Limit is %v).\n\t%s\n%s",
		days(stood), limit, g, strings.Join(hints, "\n"))
}

// days is a long time as people say it.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

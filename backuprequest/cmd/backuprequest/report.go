package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
)

// maxNamed is how many missing ids are named.
const maxNamed = 10

// reporter tells people what happens, and keeps count.
type reporter struct {
	console         *console
	outcomes        *outcomes
	deadLetterTopic string
	json            bool
	retryTold       sync.Once
}

func newReporter(s streams, json bool) *reporter {
	return &reporter{console: newConsole(s), outcomes: newOutcomes(), json: json}
}

// trace tells about retries.
func (r *reporter) trace() *adapter.Trace {
	return &adapter.Trace{
		Returned: func(m *adapter.Message, result adapter.Result, _ time.Duration) {
			if result.Type() == adapter.ResultRetry && r.outcomes.ours(string(m.Key)) {
				r.retryTold.Do(func() {
					r.console.notef("trying again: %s (said once; --log-level warn tells about every record)", oneLine(result.Err()))
				})
			}
		},
		Delivered: func(ctx context.Context, m *adapter.Message) context.Context {
			if m.Attempt > 1 {
				r.outcomes.retried(string(m.Key), m.ID())
			}
			return ctx
		},
	}
}

// see looks at a record of one of the watched topics. Records with ids that are
// not this run's are other programs' business.
func (r *reporter) see(record *kgo.Record) {
	id := string(record.Key)
	if record.Topic == r.deadLetterTopic {
		if line, ours := r.outcomes.deadLettered(id); ours {
			r.console.notef("line %d: dead letter: %s at %s[%d]@%d: %s", line, printable(id),
				record.Topic, record.Partition, record.Offset, printable(reason(record)))
		}
		return
	}
	if line, again, ours := r.outcomes.received(id); ours {
		text := fmt.Sprintf("received %s line %d partition %d offset %d", printable(id), line, record.Partition, record.Offset)
		if again {
			text += " again"
		}
		r.console.result(text)
	}
}

// reason is why a record was dead-lettered.
func reason(record *kgo.Record) string {
	for _, h := range record.Headers {
		if h.Key == adapter.HeaderError {
			return string(h.Value)
		}
	}
	return "no reason given"
}

// finish tells what failed and what is missing, and closes with the tally. Its
// error is an exitError.
func (r *reporter) finish(failure error) error {
	t := r.outcomes.tally()
	if failure != nil {
		r.console.notef("%s", oneLine(failure))
	}
	if t.Lost > 0 {
		r.console.notef("%s", missingLine(r.outcomes.missing()))
	}
	if r.json {
		r.console.last(t.JSON())
	} else {
		r.console.last(t.String())
	}
	exit := exitError{t.status()}
	if failure != nil || r.console.broken() != nil {
		exit.status = statusFailed
	}
	if exit.status == statusOK {
		return nil
	}
	return exit
}

// missingLine names ids that have neither a Received nor a dead letter.
func missingLine(ids []missing) string {
	var b strings.Builder
	fmt.Fprintf(&b, "lost, having neither a Received nor a dead letter: %d of the accepted ids: ", len(ids))
	for i, m := range ids {
		if i == maxNamed {
			fmt.Fprintf(&b, ", and %d more", len(ids)-maxNamed)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (line %d)", printable(m.id), m.line)
	}
	return b.String()
}

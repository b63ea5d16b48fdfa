package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// tally is what became of the lines of a run.
//
//	Lines    = Accepted + Rejected
//	Accepted = Received + Duplicates + DeadLettered + Lost
type tally struct {
	Lines    int `json:"lines"`    // that were taken and are not blank
	Accepted int `json:"accepted"` // those that were right
	Rejected int `json:"rejected"`

	Received     int `json:"received"`     // ids
	Duplicates   int `json:"duplicates"`   // lines with an id that an earlier line had
	DeadLettered int `json:"deadLettered"` // ids
	Lost         int `json:"lost"`         // ids with neither

	Retried int `json:"retried"` // records
}

// status is the exit status of a run in which nothing failed but what the tally
// tells.
func (t tally) status() status {
	switch {
	case t.Lost > 0:
		return statusFailed
	case t.DeadLettered > 0:
		return statusDeadLettered
	}
	return statusOK
}

// JSON is the tally as one object on one line.
func (t tally) JSON() string {
	data, err := json.Marshal(t)
	if err != nil { // numbers only
		return err.Error()
	}
	return string(data)
}

// String is the tally for people, as equations.
func (t tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lines    %6d = %d accepted + %d rejected\n", t.Lines, t.Accepted, t.Rejected)
	fmt.Fprintf(&b, "accepted %6d = %d received + %d duplicates + %d dead-lettered + %d lost\n",
		t.Accepted, t.Received, t.Duplicates, t.DeadLettered, t.Lost)
	fmt.Fprintf(&b, "retried  %6d", t.Retried)
	return b.String()
}

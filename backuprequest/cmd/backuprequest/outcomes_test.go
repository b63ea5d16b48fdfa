package main

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func holds(t *testing.T, have tally) {
	t.Helper()
	assert.Equal(t, have.Lines, have.Accepted+have.Rejected)
	assert.Equal(t, have.Accepted, have.Received+have.Duplicates+have.DeadLettered+have.Lost)
}

func TestOutcomes_equationsHoldAtEveryStep(t *testing.T) {
	o := newOutcomes()
	for _, step := range []struct {
		name    string
		do      func()
		want    tally
		settled bool
	}{
		{"rejected", o.reject, tally{Lines: 1, Rejected: 1}, true},
		{"accepted", func() { o.accept("a", 2) }, tally{Lines: 2, Rejected: 1, Accepted: 1, Lost: 1}, true},
		{"published", func() { o.published("a") }, tally{Lines: 2, Rejected: 1, Accepted: 1, Lost: 1}, false},
		{"duplicate", func() { o.accept("a", 3); o.published("a") }, tally{Lines: 3, Rejected: 1, Accepted: 2, Duplicates: 1, Lost: 1}, false},
		{"received", func() { o.received("a") }, tally{Lines: 3, Rejected: 1, Accepted: 2, Duplicates: 1, Received: 1}, false},
		{"received again", func() { o.received("a") }, tally{Lines: 3, Rejected: 1, Accepted: 2, Duplicates: 1, Received: 1}, true},
		{"redelivered", func() { o.received("a") }, tally{Lines: 3, Rejected: 1, Accepted: 2, Duplicates: 1, Received: 1}, true},
		{"dead letter", func() { o.deadLettered("a") }, tally{Lines: 3, Rejected: 1, Accepted: 2, Duplicates: 1, DeadLettered: 1}, true},
		{"outcome first", func() { o.accept("b", 4); o.received("b"); o.published("b") }, tally{Lines: 4, Rejected: 1, Accepted: 3, Duplicates: 1, DeadLettered: 1, Received: 1}, true},
		{"of others", func() { o.received("x"); o.deadLettered("x"); o.retried("x", "r") }, tally{Lines: 4, Rejected: 1, Accepted: 3, Duplicates: 1, DeadLettered: 1, Received: 1}, true},
		{"retried twice", func() { o.retried("a", "r"); o.retried("a", "r") }, tally{Lines: 4, Rejected: 1, Accepted: 3, Duplicates: 1, DeadLettered: 1, Received: 1, Retried: 1}, true},
	} {
		step.do()
		assert.Equal(t, step.want, o.tally(), step.name)
		assert.Equal(t, step.settled, o.settled(), step.name)
		holds(t, o.tally())
	}
}

func TestOutcomes_awaitEndsWithTheCause(t *testing.T) {
	o := newOutcomes()
	assert.NoError(t, o.await(context.Background()))
	o.accept("a", 1)
	o.published("a")
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("why")
	cancel(why)
	assert.ErrorIs(t, o.await(ctx), why)
	assert.Equal(t, []missing{{"a", 1}}, o.missing())
}

func TestTally_status(t *testing.T) {
	assert.Equal(t, statusOK, tally{Rejected: 1, Retried: 1}.status())
	assert.Equal(t, statusDeadLettered, tally{DeadLettered: 1}.status())
	assert.Equal(t, statusFailed, tally{DeadLettered: 1, Lost: 1}.status())
}

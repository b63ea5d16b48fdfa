package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// start is where reading begins, in every partition.
type start struct {
	end    bool
	offset int64     // unless end or at
	at     time.Time // the first record from then on; zero for none
}

// parseStart reads beginning, end, an offset, or a time.
func parseStart(s string) (start, error) {
	switch s {
	case "beginning":
		return start{}, nil
	case "end":
		return start{end: true}, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return start{offset: n}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return start{at: t}, nil
	}
	return start{}, usagef("--from is %q: give beginning, end, an offset, or a time such as 2026-02-28T12:00:00Z", s)
}

// span is what there was to read of a partition when reading began.
type span struct{ from, to int64 }

// spans are those of every partition of a topic. An offset that is not there is
// brought to the nearest that is.
func (s start) spans(ctx context.Context, admin *kadm.Client, topic string) (map[int32]span, error) {
	list := func(offsets kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
		if err == nil {
			err = offsets.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("find the offsets of topic %q: %w", topic, err)
		}
		return offsets, nil
	}
	begins, err := list(admin.ListStartOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	ends, err := list(admin.ListEndOffsets(ctx, topic))
	if err != nil {
		return nil, err
	}
	var times kadm.ListedOffsets
	if !s.at.IsZero() {
		if times, err = list(admin.ListOffsetsAfterMilli(ctx, s.at.UnixMilli(), topic)); err != nil {
			return nil, err
		}
	}
	spans := map[int32]span{}
	ends.Each(func(end kadm.ListedOffset) {
		from := s.offset
		if s.end {
			from = end.Offset
		} else if at, ok := times.Lookup(topic, end.Partition); ok {
			from = at.Offset
		}
		if begin, ok := begins.Lookup(topic, end.Partition); ok {
			from = max(from, begin.Offset)
		}
		spans[end.Partition] = span{from: min(from, end.Offset), to: end.Offset}
	})
	return spans, nil
}

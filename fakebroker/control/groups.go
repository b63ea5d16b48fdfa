package control

import (
	"fmt"
	"net/http"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control/controlclient"
)

func (a *api) groups(*http.Request) (int, any, error) {
	out := []controlclient.Group{}
	for _, g := range a.broker.Groups() {
		out = append(out, asGroup(g))
	}
	return http.StatusOK, struct {
		Groups []controlclient.Group `json:"groups"`
	}{out}, nil
}

func (a *api) group(r *http.Request) (int, any, error) {
	name := r.PathValue("group")
	g, ok := a.broker.Group(name)
	if !ok {
		return 0, nil, problemf(http.StatusNotFound, "", "there is no group %q", name)
	}
	return http.StatusOK, asGroup(g), nil
}

func asGroup(g fakebroker.Group) controlclient.Group {
	out := controlclient.Group{
		Name: g.Name, Type: g.Type, State: g.State, Epoch: g.Epoch,
		Members: []controlclient.Member{}, Offsets: []controlclient.GroupOffset{},
	}
	for _, m := range g.Members {
		member := controlclient.Member(m)
		if member.Topics == nil {
			member.Topics = []string{}
		}
		if member.Assignment == nil {
			member.Assignment = map[string][]int32{}
		}
		out.Members = append(out.Members, member)
	}
	for _, o := range g.Offsets {
		offset := controlclient.GroupOffset{
			Topic: o.Topic, Partition: o.Partition, Committed: o.Committed, LeaderEpoch: o.LeaderEpoch,
			Metadata: o.Metadata, End: o.End, Lag: o.Lag,
		}
		if !o.At.IsZero() {
			at := o.At.UTC()
			offset.At = &at
		}
		out.Offsets = append(out.Offsets, offset)
	}
	return out
}

func (a *api) reset(r *http.Request) (int, any, error) {
	var in controlclient.Reset
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	reset := fakebroker.Reset{Topic: in.Topic, Partitions: in.Partitions}
	switch in.To {
	case controlclient.Earliest:
		reset.To = fakebroker.Earliest
	case controlclient.Latest:
		reset.To = fakebroker.Latest
	case controlclient.AtOffset:
		if in.Offset == nil || *in.Offset < 0 {
			return 0, nil, bad("offset", "an offset that is not negative is needed")
		}
		reset.To, reset.Offset = fakebroker.AtOffset, *in.Offset
	case controlclient.AtTimestamp:
		if in.Timestamp == nil {
			return 0, nil, bad("timestamp", "a time is needed, such as 2006-01-02T15:04:05Z")
		}
		reset.To, reset.Time = fakebroker.AtTime, *in.Timestamp
	default:
		return 0, nil, bad("to", "%q is not earliest, latest, offset or timestamp", in.To)
	}
	switch {
	case in.Offset != nil && in.To != controlclient.AtOffset:
		return 0, nil, bad("offset", "does not go with to %s", in.To)
	case in.Timestamp != nil && in.To != controlclient.AtTimestamp:
		return 0, nil, bad("timestamp", "does not go with to %s", in.To)
	}
	if err := a.checkPartitions(in); err != nil {
		return 0, nil, err
	}
	name := r.PathValue("group")
	if g, there := a.broker.Group(name); there && in.Topic == "" && len(g.Offsets) == 0 {
		return 0, nil, problemf(http.StatusConflict, "topic", "group %q has no offsets to move; name a topic to give it some", name)
	}
	if _, err := a.broker.ResetOffsets(name, reset); err != nil {
		return 0, nil, err
	}
	g, _ := a.broker.Group(name)
	return http.StatusOK, asGroup(g), nil
}

// checkPartitions checks the topic of a reset, if it names one.
func (a *api) checkPartitions(in controlclient.Reset) error {
	if in.Topic == "" {
		return nil
	}
	parts, err := a.broker.Partitions(in.Topic)
	if err != nil {
		return inField("topic", err)
	}
	for i, n := range in.Partitions {
		if n < 0 || int(n) >= len(parts) {
			return bad(fmt.Sprintf("partitions[%d]", i), "topic %s has no partition %d, only %d partitions", in.Topic, n, len(parts))
		}
	}
	return nil
}

package adapter

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Mode is the protocol by which the members of a group share the partitions.
// Results mean the same in each.
type Mode int

// The modes.
const (
	// Classic: the members divide the partitions, by Kafka's cooperative-sticky
	// strategy (KIP-429). A rebalance takes from a member only what it must.
	Classic Mode = iota
	// ServerSide: the brokers do (KIP-848). It needs brokers of Apache Kafka 4.0,
	// and 4.3 is recommended: those before refuse a commit now and then, which the
	// adapter repeats. A group can be moved there from Classic by and by, member by
	// member.
	ServerSide
)

var modeNames = map[Mode]string{Classic: "Classic", ServerSide: "ServerSide"}

// String is the mode's name.
func (m Mode) String() string { return nameIn(modeNames, m, "Mode") }

// modeOptions are the client's options for the mode.
func (s subscription) modeOptions() []kgo.Opt {
	var opts []kgo.Opt
	switch s.Mode {
	case Classic:
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	case ServerSide:
		opts = append(opts, kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer())
	}
	if s.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(s.InstanceID))
	}
	return opts
}

// leaveForGood takes a static member out of its group, which the client does not
// do. The client is closed.
func (c *Consumer) leaveForGood(ctx context.Context) error {
	left, err := c.a.admin.LeaveGroup(ctx, kadm.LeaveGroup(c.sub.Group).InstanceIDs(c.sub.InstanceID))
	for _, member := range left {
		err = errors.Join(err, member.Err)
	}
	if err != nil {
		return fmt.Errorf("leave group %q as %q: %w", c.sub.Group, c.sub.InstanceID, c.a.adminError(ctx, err))
	}
	return nil
}

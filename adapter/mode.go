package adapter

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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
	// ShareGroup: each record goes to some member, whatever its partition (KIP-932), so
	// there may be more members than partitions. It needs Order Unordered, and brokers
	// of Apache Kafka 4.2 or later; on 4.2 the limit is the broker's
	// group.share.delivery.count.limit, read at Subscribe. A limit that is lowered
	// later is not noticed.
	//
	// A record that is to be tried again is released after its backoff, and any
	// member gets it. It goes to a retry topic of RetryPolicy.Tiers instead, if there
	// are some, after RetryPolicy.InPlace attempts, with RetryAfter, and in any case
	// before the group has delivered it as often as it may
	// (share.delivery.count.limit), for then the group would archive it; without
	// Tiers it is given up there, whatever Attempts says, and RetryAfter waits no
	// longer than MaxBackoff. Kafka's default of 5 makes 4 attempts. An attempt is a delivery: one that ended with its
	// process counts, too. Retry topics are consumed by a consumer group of their own,
	// RetryGroup, whose member each consumer is.
	//
	// A member works on what one fetch has brought, MaxInFlight records at most, and
	// fetches again when the last of them is done. While a handler runs, its record's
	// lock is renewed. Subscribe sets the group's share.auto.offset.reset to what
	// StartFrom says; with NoTopicCreation it only looks whether it is that. It must
	// be allowed to do so: DescribeConfigs of the group, and AlterConfigs unless
	// NoTopicCreation is set; on 4.2 DescribeConfigs of the cluster, too.
	ShareGroup
)

var modeNames = map[Mode]string{Classic: "Classic", ServerSide: "ServerSide", ShareGroup: "ShareGroup"}

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

// leaveAsStatic tells the group what the client does not: that a static member goes
// for good, or, where the brokers share the partitions, that it goes at all. There
// the client leaves without its instance id, which is refused, and then nobody may
// come in its place until its session has expired (KIP-848). The client is closed.
func (c *Consumer) leaveAsStatic(ctx context.Context, member string) error {
	if c.sub.Mode == ServerSide {
		const forGood, forNow = -1, -2
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.InstanceID, req.MemberEpoch = c.sub.groupID, member, &c.sub.InstanceID, forNow
		if c.sub.LeaveOnClose {
			req.MemberEpoch = forGood
		}
		resp, err := req.RequestWith(ctx, c.a.cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		switch {
		case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.GroupIDNotFound), errors.Is(err, kerr.FencedInstanceID):
			return nil // it has gone, or another has come in its place
		case err != nil:
			return fmt.Errorf("leave group %q as %q: %w", c.sub.Group, c.sub.InstanceID, c.a.adminError(ctx, err))
		}
		return nil
	}
	left, err := c.a.admin.LeaveGroup(ctx, kadm.LeaveGroup(c.sub.groupID).InstanceIDs(c.sub.InstanceID))
	for _, member := range left {
		err = errors.Join(err, member.Err)
	}
	if err != nil {
		return fmt.Errorf("leave group %q as %q: %w", c.sub.Group, c.sub.InstanceID, c.a.adminError(ctx, err))
	}
	return nil
}

package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// awaitReady returns when all nodes are there and all coordinators answer. To ask
// for a coordinator creates the internal topics.
func (k *Kafka) awaitReady(ctx context.Context) error {
	cl, err := kgo.NewClient(append(k.ClientOptions(),
		kgo.DisableClientMetrics(), kgo.MetadataMinAge(10*time.Millisecond), kgo.RequestRetries(0))...)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer cl.Close()
	var last error
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if last = k.ready(ctx, cl); last == nil {
			return nil
		}
		if err := k.ended(ctx); err != nil {
			return fmt.Errorf("starting Kafka: %w (at last: %w); it logged:\n%s", err, last, k.Logs())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("starting Kafka: %w (at last: %w); it logged:\n%s", context.Cause(ctx), last, k.Logs())
		}
	}
}

// ended says which node runs no longer.
func (k *Kafka) ended(ctx context.Context) error {
	if k.container != nil {
		return k.container.ended(ctx)
	}
	for _, n := range k.nodes {
		select {
		case <-n.process.Ended():
			return fmt.Errorf("node %d ended%s", n.id, hint(n.log()))
		default:
		}
	}
	return nil
}

func (k *Kafka) ready(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// Not by kadm, which would go on telling what it has learned at first.
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	meta, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	if have := len(meta.Brokers); have < k.config.Nodes {
		return fmt.Errorf("%d of %d nodes have joined", have, k.config.Nodes)
	}
	adm := kadm.NewClient(cl)
	names := k.namesOnAllPartitions()
	var errs []error
	for _, c := range adm.FindGroupCoordinators(ctx, names...) {
		errs = append(errs, c.Err)
	}
	for _, c := range adm.FindTxnCoordinators(ctx, names...) {
		errs = append(errs, c.Err)
	}
	errs = append(errs, shareCoordinator(ctx, cl))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// They are there, but may still be loading.
	groups, err := adm.DescribeGroups(ctx, names...)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g.Err != nil && !errors.Is(g.Err, kerr.GroupIDNotFound) {
			return g.Err
		}
	}
	transactions, err := adm.DescribeTransactions(ctx, names...)
	if err != nil {
		return err
	}
	for _, t := range transactions {
		if t.Err != nil && !errors.Is(t.Err, kerr.TransactionalIDNotFound) {
			return t.Err
		}
	}
	for _, b := range meta.Brokers {
		if err := producerIDs(ctx, cl.Broker(int(b.NodeID))); err != nil {
			return err
		}
	}
	return nil
}

// producerIDs has a broker fetch a block of producer ids from the controller: to
// whom asks before it has some, it says that the coordinator is loading.
func producerIDs(ctx context.Context, broker *kgo.Broker) error {
	resp, err := broker.Request(ctx, kmsg.NewPtrInitProducerIDRequest())
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.(*kmsg.InitProducerIDResponse).ErrorCode)
}

// shareCoordinator has the topic of the share groups' state created.
func shareCoordinator(ctx context.Context, cl *kgo.Client) error {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorType = 2
	req.CoordinatorKeys = []string{"ready:AAAAAAAAAAAAAAAAAAAAAQ:0"} // group:topic id:partition
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	if len(resp.Coordinators) != 1 {
		return fmt.Errorf("%d coordinators for one key", len(resp.Coordinators))
	}
	return kerr.ErrorForCode(resp.Coordinators[0].ErrorCode)
}

// namesOnAllPartitions are names of groups and transactional ids such that each
// partition of an internal topic has one. They are asked for, never created.
func (k *Kafka) namesOnAllPartitions() []string {
	partitions := k.config.Nodes
	seen := make(map[int]bool)
	var names []string
	for i := 0; len(names) < partitions; i++ {
		name := fmt.Sprintf("ready%d", i)
		hash := int32(0) // as Java hashes a string
		for _, b := range []byte(name) {
			hash = 31*hash + int32(b)
		}
		if p := int(max(hash, -hash)) % partitions; hash != math.MinInt32 && !seen[p] {
			seen[p] = true
			names = append(names, name)
		}
	}
	return names
}

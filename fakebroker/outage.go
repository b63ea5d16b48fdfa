package fakebroker

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// outage is which brokers are down. Inside the process they go on: only their
// listeners are closed, and others stand in for them.
type outage struct {
	any    atomic.Bool // some broker is down: what every request asks first
	change sync.Mutex  // held while a broker goes down or comes back

	mu   sync.Mutex
	down map[int32]int // how many faults keep a broker down
}

// TakeDown makes a broker unreachable until the fault is cleared: its
// connections are cut, which is what the fault's hits count, and new ones
// refused, over TCP by the operating system.
//
// Where another broker is up, the next one by node id takes over: it becomes the
// leader of the partitions (each with a new leader epoch) and the coordinator of
// the groups and transactions, and the controller. Metadata no longer lists the
// broker that is down. When the fault is cleared, coordinators and the
// controller move back at once; leaders stay where they are, as they do in Kafka
// until a preferred leader is elected. With no other broker up the cluster is
// unreachable, and all is where it was when a broker comes back.
//
// Several faults may hold the same broker down; it is up when the last one is
// cleared. A node id that does not exist makes a fault that never strikes.
func (b *Broker) TakeDown(node int32) *Fault {
	f := b.newFault(fmt.Sprintf("broker %d down", node), 0)
	node = b.node(node)
	if !b.exists(node) {
		f.name, f.inert = fmt.Sprintf("broker %d, which does not exist, down", b.id(node)), true
		return f
	}
	f.begin()
	b.outage.change.Lock()
	b.outage.set(node, 1)
	f.struck = b.listeners[node].Down()
	b.moveLeaders()
	b.outage.change.Unlock()
	if f.struck > 0 {
		f.tell(FaultEvent{Phase: FaultStruck, API: -1, Broker: b.id(node)})
	}
	f.clear = func() { b.bringBack(node) }
	return f
}

func (b *Broker) bringBack(node int32) {
	b.outage.change.Lock()
	defer b.outage.change.Unlock()
	if !b.outage.set(node, -1) {
		return
	}
	err := b.do(b.listeners[node].Up)
	if err != nil && !errors.Is(err, ErrClosed) {
		b.cfg.Logger.Error("broker cannot come back; something else listens on its address", "node", node, "err", err)
	}
	b.moveLeaders()
}

// set counts a fault in or out and reports whether the broker is up after it.
func (o *outage) set(node int32, change int) (up bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down == nil {
		o.down = make(map[int32]int)
	}
	o.down[node] += change
	if o.down[node] == 0 {
		delete(o.down, node)
	}
	o.any.Store(len(o.down) > 0)
	return o.down[node] == 0
}

func (o *outage) isDown(node int32) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.down[node] > 0
}

// standIn is who does a broker's work: itself when it is up, else the next one
// that is, else -1.
func (b *Broker) standIn(node int32) int32 {
	n := int32(len(b.listeners))
	for i := range n {
		if other := (node + i) % n; !b.outage.isDown(other) {
			return other
		}
	}
	return -1
}

// moveLeaders moves the leaders away from brokers that are down.
func (b *Broker) moveLeaders() {
	if !b.outage.any.Load() {
		return
	}
	for _, topic := range b.topicNames() {
		_ = b.do(func() error { // closed: nothing leads any more
			for _, p := range b.cluster.PartitionInfos(topic) {
				to := b.standIn(p.Leader)
				if to < 0 || to == p.Leader {
					continue
				}
				if err := b.cluster.MoveTopicPartition(topic, p.Partition, to); err != nil {
					return err // the topic was deleted meanwhile
				}
			}
			return nil
		})
	}
}

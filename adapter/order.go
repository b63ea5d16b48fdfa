package adapter

import "fmt"

// Order is what of a partition's records may be in the handler at once, and so
// what waits behind a record that is being retried.
type Order int

// The orders.
const (
	// ByKey runs one record a key at a time, in the order of offsets. A record
	// that is being retried holds up its own key and no other. Records with a
	// null key wait for nobody.
	ByKey Order = iota
	// ByPartition runs one record of a partition at a time, in the order of
	// offsets. A record that is being retried holds up its partition.
	ByPartition
	// Unordered runs records as they come. A record that is being retried holds
	// up nothing; in Mode ShareGroup, what its member fetches next, until the backoff
	// is over (MaxBackoff at most). Where RetryPolicy.Tiers has retry topics, it moves there after
	// the first attempts.
	Unordered
)

var orderNames = map[Order]string{ByKey: "ByKey", ByPartition: "ByPartition", Unordered: "Unordered"}

// String is the order's name.
func (o Order) String() string { return nameIn(orderNames, o, "Order") }

// HeldLimit is what happens to a partition that holds as many records as it may:
// see Subscription.MaxHeldRecords.
type HeldLimit int

// The ways to deal with a limit that is reached.
const (
	// Block starts no other record of the partition, and fetches no more of it,
	// until there is room. Consumer.Status says so.
	Block HeldLimit = iota
	// Hop sends records that fail, and the one that most others wait for, to a
	// retry topic of RetryPolicy.Tiers, which must have some. What waits behind
	// them goes on: the order of their keys is given up, which the log says.
	Hop
)

var heldLimitNames = map[HeldLimit]string{Block: "Block", Hop: "Hop"}

// String is the limit's name.
func (h HeldLimit) String() string { return nameIn(heldLimitNames, h, "HeldLimit") }

// nameIn is the name of a value of a type, and the type's with the number where the
// value is none of those there are.
func nameIn[T ~int](names map[T]string, v T, typ string) string {
	if name, ok := names[v]; ok {
		return name
	}
	return fmt.Sprintf("%s(%d)", typ, int(v))
}

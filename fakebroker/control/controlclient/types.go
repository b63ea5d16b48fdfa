package controlclient

import "time"

// Topic is a topic to create, or one that exists.
type Topic struct {
	Name       string            `json:"name"`
	Partitions int32             `json:"partitions,omitempty"` // zero means 1
	Configs    map[string]string `json:"configs,omitempty"`    // by their Kafka names; what is absent has its default
}

// TopicDetails is a topic with its partitions.
type TopicDetails struct {
	Topic
	PartitionDetails []Partition `json:"partition_details"` // by number
}

// Partition is a snapshot of a partition.
type Partition struct {
	Partition        int32 `json:"partition"`
	Leader           int32 `json:"leader"` // node id
	LeaderEpoch      int32 `json:"leader_epoch"`
	Start            int64 `json:"start"`              // the first offset there is
	HighWatermark    int64 `json:"high_watermark"`     // the offset after the last record
	LastStableOffset int64 `json:"last_stable_offset"` // where the first open transaction begins, else the high watermark
	EndOfData        int64 `json:"end_of_data"`        // the offset after the last data record
}

// Record is a record of a topic.
type Record struct {
	Partition int32
	Offset    int64
	Timestamp time.Time
	Key       []byte // nil for null
	Value     []byte // nil for null, a tombstone
	Headers   []Header
}

// NewRecord is a record to write.
type NewRecord struct {
	Key       []byte // nil for null
	Value     []byte // nil for null, a tombstone
	Headers   []Header
	Partition *int32    // nil lets the key decide, as it does for Kafka's clients
	Timestamp time.Time // zero means now
}

// Header is a header of a record.
type Header struct {
	Key   string
	Value []byte // nil for null
}

// Filter says which records of a topic to read. The zero value is all of them.
type Filter struct {
	Partitions []int32  // empty means all
	From       int64    // the first offset of each partition
	To         int64    // the offset to stop before; zero means the end
	Key        []byte   // nil means any
	Headers    []string // that a record has, each NAME or NAME=VALUE
	Limit      int      // of a page; zero means 100, at most 10,000
}

// Written is where a record went.
type Written struct {
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Timestamp time.Time `json:"timestamp"`
}

// Group is a snapshot of a consumer group or share group.
type Group struct {
	Name    string        `json:"name"`
	Type    string        `json:"type"`  // classic, consumer (KIP-848) or share (KIP-932)
	State   string        `json:"state"` // as Kafka says it, such as Stable or Empty
	Epoch   int32         `json:"epoch"` // the generation, or the group epoch
	Members []Member      `json:"members"`
	Offsets []GroupOffset `json:"offsets"` // by topic and partition
}

// Member is a member of a group.
type Member struct {
	ID         string             `json:"id"`
	InstanceID string             `json:"instance_id,omitempty"` // of a static member (KIP-345)
	ClientID   string             `json:"client_id"`
	ClientHost string             `json:"client_host"` // as Kafka says it: /ADDRESS
	Topics     []string           `json:"topics"`      // subscribed
	Assignment map[string][]int32 `json:"assignment"`  // partitions by topic
}

// GroupOffset is where a group is in a partition.
type GroupOffset struct {
	Topic       string     `json:"topic"`
	Partition   int32      `json:"partition"`
	Committed   int64      `json:"committed"`    // -1 when nothing is committed; of a share group, the start offset
	LeaderEpoch int32      `json:"leader_epoch"` // the one committed with, -1 when there is none
	Metadata    string     `json:"metadata"`
	At          *time.Time `json:"at,omitempty"` // of the commit
	End         int64      `json:"end"`          // the offset after the last data record
	Lag         int64      `json:"lag"`
}

// Where a reset moves a group.
const (
	Earliest    = "earliest"  // the first record there is
	Latest      = "latest"    // the end: only records that come later
	AtOffset    = "offset"    // Reset.Offset
	AtTimestamp = "timestamp" // the first record from Reset.Timestamp on
)

// Reset says where a group without members is to go on.
type Reset struct {
	To         string     `json:"to"`                  // Earliest, Latest, AtOffset or AtTimestamp
	Offset     *int64     `json:"offset,omitempty"`    // for AtOffset
	Timestamp  *time.Time `json:"timestamp,omitempty"` // for AtTimestamp
	Topic      string     `json:"topic,omitempty"`     // empty means all that the group has offsets in
	Partitions []int32    `json:"partitions,omitempty"`
}

// Transaction is a snapshot of a transactional id.
type Transaction struct {
	ID            string             `json:"id"`
	State         string             `json:"state"`       // as Kafka says it, such as Ongoing or Empty
	Coordinator   int32              `json:"coordinator"` // node id
	ProducerID    int64              `json:"producer_id"`
	ProducerEpoch int16              `json:"producer_epoch"`
	TimeoutMS     int64              `json:"timeout_ms"`
	Started       *time.Time         `json:"started,omitempty"` // nil when none is open
	Partitions    map[string][]int32 `json:"partitions"`        // written to in the open one, by topic
}

// Broker is a broker of the cluster.
type Broker struct {
	ID   int32  `json:"id"`
	Addr string `json:"addr"` // HOST:PORT, as clients are told
	Rack string `json:"rack,omitempty"`
	Up   bool   `json:"up"` // false while a fault has taken it down
}

// Version is what is running.
type Version struct {
	Version string `json:"version"` // of fakebroker
	Module  string `json:"module"`
}

// What can go wrong, for [FaultSpec].
const (
	Refuse          = "refuse"           // answer with a protocol error: Error, Scope
	Delay           = "delay"            // answer late: DelayMS, Scope
	DropBefore      = "drop-before"      // close the connection before the broker acts: Scope
	DropAfter       = "drop-after"       // close the connection in place of the answer: Scope
	CutOff          = "cut-off"          // cut clients off from brokers: Scope
	TakeDown        = "take-down"        // make a broker unreachable: Broker
	MoveLeader      = "move-leader"      // Topic, Partition, Broker
	MoveCoordinator = "move-coordinator" // Group or TransactionalID, Broker
	ExpireSession   = "expire-session"   // kick members out of their group: Scope
	ForgetTopic     = "forget-topic"     // metadata and data of a topic are unknown: Scope
)

// FaultSpec is a fault to create. Which fields it has depends on Fault.
type FaultSpec struct {
	Fault           string `json:"fault"`
	Error           string `json:"error,omitempty"`    // such as NOT_COORDINATOR; empty means UNKNOWN_SERVER_ERROR
	DelayMS         int64  `json:"delay_ms,omitempty"` // milliseconds
	Broker          *int32 `json:"broker,omitempty"`   // node id, to take down or to move to
	Topic           string `json:"topic,omitempty"`
	Partition       *int32 `json:"partition,omitempty"`
	Group           string `json:"group,omitempty"`
	TransactionalID string `json:"transactional_id,omitempty"`
	Scope           Scope  `json:"scope,omitzero"`
}

// Scope is which requests a fault strikes: those that match every field that is
// set. The zero value is every request, until the fault is cleared.
type Scope struct {
	APIs       []string `json:"apis,omitempty"` // such as Produce
	Topic      string   `json:"topic,omitempty"`
	Partitions []int32  `json:"partitions,omitempty"`
	Group      string   `json:"group,omitempty"`
	ClientID   string   `json:"client_id,omitempty"`
	Remote     string   `json:"remote,omitempty"`  // the client's address, HOST or HOST:PORT
	Brokers    []int32  `json:"brokers,omitempty"` // node ids
	Nth        int      `json:"nth,omitempty"`     // the first matching request to strike; zero and 1 mean the first
	Count      int      `json:"count,omitempty"`   // how many to strike; zero means all
}

// Fault is a fault that was created and not cleared.
type Fault struct {
	ID string `json:"id"`
	FaultSpec
	Hits        int       `json:"hits"`        // how often it has struck
	Description string    `json:"description"` // a line for people
	Created     time.Time `json:"created"`
}

// ProblemError is an error that the server answers (RFC 9457). It is found by
// errors.As.
type ProblemError struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Field  string `json:"field,omitempty"` // of the request, when one is wrong
}

// Error is what is wrong, and where.
func (p *ProblemError) Error() string {
	if p.Field != "" {
		return p.Field + ": " + p.Detail
	}
	return p.Detail
}

// IsZero reports whether a scope is of every request.
func (s Scope) IsZero() bool {
	return len(s.APIs) == 0 && s.Topic == "" && len(s.Partitions) == 0 && s.Group == "" && s.ClientID == "" &&
		s.Remote == "" && len(s.Brokers) == 0 && s.Nth == 0 && s.Count == 0
}

package harness

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// timings are settings of clients; zero leaves one to the client.
type timings struct {
	heartbeat, session, rebalance, wait, metadata, idle time.Duration
}

// Every request costs time, and in virtual time hours pass between two
// records: heartbeats and polls without an answer are most of what there is.
// So members of a group are heard from rarely.
var virtualTimings = timings{
	heartbeat: 90 * time.Second,
	session:   5 * time.Minute,
	rebalance: 5 * time.Minute,
	wait:      5 * time.Minute,
	metadata:  time.Hour,
	idle:      15 * time.Minute,
}

// virtualFirstFetch is how long a client's first fetch of a partition waits: until
// the client has nothing more to say, which in virtual time is no time at all.
const virtualFirstFetch = time.Millisecond

// How often members of groups of KIP-848 and of share groups are heard from, the
// broker says. A member of a share group tells what became of records with its next fetch,
// which may be minutes away: records are locked for longer than that. The topics
// of coordinators, which hold nothing, need not have fifty partitions each.
var virtualBroker = map[string]string{
	"group.consumer.heartbeat.interval.ms":         "90000",
	"group.consumer.session.timeout.ms":            "300000",
	"group.share.heartbeat.interval.ms":            "90000",
	"group.share.session.timeout.ms":               "300000",
	"offsets.topic.num.partitions":                 "1",
	"transaction.state.log.num.partitions":         "1",
	"share.coordinator.state.topic.num.partitions": "1",
	"group.share.record.lock.duration.ms":          "3600000",
	"group.share.max.record.lock.duration.ms":      "3600000",
}

// virtualSettings names those of virtualBroker, as they are.
func virtualSettings(config map[string]string) string {
	var parts []string
	for _, name := range sortedKeys(virtualBroker) {
		parts = append(parts, name+"="+config[name])
	}
	return strings.Join(parts, ", ")
}

// In real time a rebalance waits for heartbeats, so they come often.
var realTimings = timings{
	heartbeat: 200 * time.Millisecond,
	wait:      500 * time.Millisecond,
}

func (t timings) options() []kgo.Opt {
	opts := []kgo.Opt{kgo.DisableClientMetrics()}
	for _, o := range []struct {
		d   time.Duration
		opt func(time.Duration) kgo.Opt
	}{
		{t.heartbeat, func(d time.Duration) kgo.Opt { return kgo.HeartbeatInterval(d) }},
		{t.session, func(d time.Duration) kgo.Opt { return kgo.SessionTimeout(d) }},
		{t.rebalance, func(d time.Duration) kgo.Opt { return kgo.RebalanceTimeout(d) }},
		{t.wait, func(d time.Duration) kgo.Opt { return kgo.FetchMaxWait(d) }},
		{t.metadata, kgo.MetadataMaxAge},
		{t.idle, kgo.ConnIdleTimeout},
	} {
		if o.d != 0 {
			opts = append(opts, o.opt(o.d))
		}
	}
	return opts
}

// String names what is set.
func (t timings) String() string {
	var parts []string
	for _, o := range []struct {
		name string
		d    time.Duration
	}{
		{"heartbeat", t.heartbeat},
		{"session", t.session},
		{"rebalance", t.rebalance},
		{"fetch wait", t.wait},
		{"metadata age", t.metadata},
		{"idle connection", t.idle},
	} {
		if o.d != 0 {
			parts = append(parts, fmt.Sprintf("%s %v", o.name, o.d))
		}
	}
	return strings.Join(parts, ", ")
}

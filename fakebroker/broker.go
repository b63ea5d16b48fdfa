package fakebroker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"

	"example.com/kafkatest/fakebroker/correct"
	"example.com/kafkatest/fakebroker/wire"
)

// ErrClosed says that the broker was closed.
var ErrClosed = errors.New("broker is closed")

// Broker is a running cluster. All methods are safe for concurrent use.
type Broker struct {
	traffic

	cfg       Config
	cluster   *kfake.Cluster
	network   *memory          // nil for TCP
	listeners []*wire.Listener // by kfake's node id, as all of what has one inside the process
	told      [][]hostport     // what clients are told, by listener and node id
	ports     []*port          // for TCP
	made      *certificates    // nil when the config has its own
	password  string           // of the inspector, when connections have a user
	insiders  map[string]bool  // users with that password
	unlock    func()           // of DataDir, nil when there is none
	older     bool             // they speak as a release before Kafka 4

	transactional atomic.Bool   // logs may hold control records
	lastFault     atomic.Uint32 // id of the last fault
	ends          ends
	outage        outage
	askers        askers
	coordinators  coordination
	replicas      correct.Placements
	unfinished    correct.Unfinished
	compaction    correct.Compaction
	timestamps    correct.Timestamps
	internal      correct.Internal
	static        static
	groupNames    groupNames

	mu     sync.RWMutex // held by whoever asks the cluster, exclusively by Close
	closed bool
}

// Run starts a cluster on TCP with topics given as NAME or NAME:PARTITIONS, and
// stops it when the test ends. What goes wrong fails the test.
func Run(tb testing.TB, topics ...string) *Broker {
	tb.Helper()
	var c Config
	for _, s := range topics {
		t, err := ParseTopic(s)
		if err != nil {
			tb.Fatal(err)
		}
		c.Topics = append(c.Topics, t)
	}
	return c.Run(tb)
}

// Run starts the cluster and stops it when the test ends. What goes wrong fails
// the test. In a bubble, tb is the one that synctest.Test gave.
func (c Config) Run(tb testing.TB) *Broker {
	tb.Helper()
	b, err := Start(c)
	if err != nil {
		tb.Fatalf("starting a broker: %v", err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("stopping the broker: %v", err)
		}
	})
	return b
}

// Start starts a cluster, ready for clients when it returns. An error is a
// [ConfigError], or wraps what the network or DataDir answered; then nothing is
// left running.
func Start(cfg Config) (*Broker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, insiders: make(map[string]bool)}
	b.rules, b.behind = new(wire.Rules), b
	b.transactional.Store(cfg.DataDir != "") // who knows what was written before
	b.groupNames.unknown.Store(cfg.DataDir != "")
	if cfg.authenticates() {
		b.password = rand.Text()
	}
	if err := b.takeDataDir(); err != nil {
		return nil, err
	}
	if err := b.certify(); err != nil {
		b.releaseDataDir()
		return nil, err
	}
	if err := b.listen(); err != nil {
		b.stopListening()
		b.releaseDataDir()
		return nil, err
	}
	b.correct()
	if err := b.start(); err != nil {
		_ = b.Close() // the first error is the one to report
		return nil, err
	}
	return b, nil
}

func (b *Broker) stopListening() {
	for _, ln := range b.listeners {
		_ = ln.Close() // closing a listener of ours does not fail
	}
	for _, p := range b.ports {
		p.release()
	}
}

func (b *Broker) start() error {
	options := b.options()
	b.mu.Lock() // a client may come, and have something asked, before this returns
	cluster, err := kfake.NewCluster(options...)
	b.cluster = cluster
	b.mu.Unlock()
	if err != nil {
		b.stopListening()
		if b.cfg.DataDir != "" {
			return &ConfigError{Field: "DataDir", Err: err} // the rest has been checked
		}
		return fmt.Errorf("starting the cluster: %w", err)
	}
	if err := b.createACLs(); err != nil {
		return err
	}
	if b.cfg.DataDir != "" {
		for _, name := range b.topicNames() { // from an earlier run
			correct.Adopt(corrected{b}, name)
			correct.Look(corrected{b}, name)
		}
	}
	for _, t := range b.cfg.Topics {
		err := b.CreateTopic(t)
		if b.cfg.DataDir != "" && errors.Is(err, ErrTopicExists) {
			err = b.keptTopic(t)
		}
		if err != nil {
			return &ConfigError{Field: "Topics", Err: err}
		}
	}
	return b.noticeIdleACLs()
}

// options says to kfake what the config says to us.
func (b *Broker) options() []kfake.Opt {
	next := 0
	ports := make([]int, b.cfg.Brokers)
	opts := []kfake.Opt{
		kfake.Ports(ports...), // one broker each; the listeners are ours
		kfake.ListenFn(func(string, string) (net.Listener, error) {
			ln := named{b.listeners[next], b.told[0][next].String()}
			next++
			return ln, nil
		}),
		kfake.DefaultNumPartitions(b.cfg.partitions()),
		kfake.GroupMaxSessionTimeout(cmp.Or(b.cfg.MaxSessionTimeout, defaultSession)),
		kfake.BrokerConfigs(correct.Applied(b.cfg.BrokerConfig)),
		kfake.WithLogger(logger{b.cfg.Logger}),
	}
	if b.cfg.AutoCreateTopics {
		opts = append(opts, kfake.AllowAutoTopicCreation())
	}
	if b.cfg.DataDir != "" {
		opts = append(opts, kfake.DataDir(b.cfg.DataDir))
	}
	opts = append(opts, likeKafka()...)
	opts = append(opts, b.users()...)
	return opts
}

// Close stops the cluster and cuts all connections, delayed answers included.
// It returns nil, also when called again. Clients should be closed first: they
// try to reach it.
func (b *Broker) Close() error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.mu.Unlock()
	if !first {
		return nil
	}
	b.stopListening()
	b.askers.close()
	if b.cluster != nil {
		b.cluster.Close()
	}
	b.releaseDataDir()
	return nil
}

// Addrs are the HOST:PORT of the brokers, in the order of the config: what
// clients dial, by the first listener.
func (b *Broker) Addrs() []string {
	addrs := make([]string, len(b.listeners))
	for i, a := range b.told[0] {
		addrs[i] = a.String()
	}
	return addrs
}

// hostport is a broker's address as answers have it, before they are translated
// for the listener that a client came in by.
func (b *Broker) hostport(node int32) (string, int32) {
	a := b.told[0][node]
	return a.host, a.port
}

// do asks the cluster something while it cannot be closed: kfake would wait for
// ever for the answer of a cluster that is gone.
func (b *Broker) do(ask func() error) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return ErrClosed
	}
	return ask()
}

// unknownTopic is the error for a topic that is not there.
func unknownTopic(name string) error {
	return fmt.Errorf("%w: %s; create it, or list it in the config: %w", ErrUnknownTopic, name, kerr.UnknownTopicOrPartition)
}

// logger is kfake's log in terms of slog.
type logger struct{ *slog.Logger }

// Logf logs what kfake says.
func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	lv := slog.LevelDebug // its info level is a line for each request
	switch level {
	case kfake.LogLevelError:
		lv = slog.LevelError
	case kfake.LogLevelWarn:
		lv = slog.LevelInfo // such as a commit that comes too late, which tests do on purpose
	}
	if ctx := context.Background(); l.Enabled(ctx, lv) {
		l.Log(ctx, lv, fmt.Sprintf(format, args...))
	}
}

package fakebroker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
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
	cfg       Config
	cluster   *kfake.Cluster
	network   *kfake.VirtualNetwork // nil for TCP
	listeners []*wire.Listener      // by node id
	ports     []*port               // by node id, for TCP
	rules     *wire.Rules
	password  string // of the inspector, when there is SASL

	transactional atomic.Bool   // logs may hold control records
	lastFault     atomic.Uint32 // id of the last fault
	ends          ends
	outage        outage
	replicas      correct.Placements

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
	b := &Broker{cfg: cfg, rules: new(wire.Rules)}
	b.transactional.Store(cfg.DataDir != "") // who knows what was written before
	b.correct()
	if err := b.listen(); err != nil {
		b.stopListening()
		return nil, err
	}
	if err := b.start(); err != nil {
		_ = b.Close() // the first error is the one to report
		return nil, err
	}
	return b, nil
}

// listen opens a listener for each broker, before anything else is started.
func (b *Broker) listen() error {
	if b.cfg.Network == InMemory {
		b.network = new(kfake.VirtualNetwork)
	}
	for node, addr := range b.cfg.Listen {
		ln, err := wire.Listen(b.opener(addr), wire.Config{
			Node: int32(node), Rules: b.rules, Logger: b.cfg.Logger,
		})
		if err != nil {
			return &ConfigError{Field: "Listen", Err: fmt.Errorf("cannot listen on %s; choose another address: %w", addr, err)}
		}
		b.listeners = append(b.listeners, ln)
	}
	return nil
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
	if b.cfg.DataDir != "" {
		// kfake keeps users there too, passwords included, and would prefer
		// them to the config's.
		err := os.Remove(filepath.Join(b.cfg.DataDir, "sasl.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &ConfigError{Field: "DataDir", Err: err}
		}
	}
	cluster, err := kfake.NewCluster(b.options()...)
	if err != nil {
		b.stopListening()
		if b.cfg.DataDir != "" {
			return &ConfigError{Field: "DataDir", Err: err} // the rest has been checked
		}
		return fmt.Errorf("starting the cluster: %w", err)
	}
	b.cluster = cluster
	for _, t := range b.cfg.Topics {
		err := b.CreateTopic(t)
		if b.cfg.DataDir != "" && errors.Is(err, ErrTopicExists) {
			continue // from an earlier run
		}
		if err != nil {
			return &ConfigError{Field: "Topics", Err: err}
		}
	}
	return nil
}

// options says to kfake what the config says to us.
func (b *Broker) options() []kfake.Opt {
	next := 0
	ports := make([]int, b.cfg.Brokers)
	configs := make(map[string]string)
	if b.cfg.Network == InMemory {
		// In test binaries kfake has members of KIP-848 groups send fifty times
		// as many heartbeats as Kafka does. That makes rebalances quick in real
		// time; in virtual time they are quick anyway, and heartbeats cost.
		configs["group.consumer.heartbeat.interval.ms"] = "5000"
	}
	maps.Copy(configs, b.cfg.BrokerConfig)
	opts := []kfake.Opt{
		kfake.Ports(ports...), // one broker each; the listeners are ours
		kfake.ListenFn(func(string, string) (net.Listener, error) {
			ln := b.listeners[next]
			next++
			return ln, nil
		}),
		kfake.DefaultNumPartitions(1),
		kfake.BrokerConfigs(configs),
		kfake.WithLogger(logger{b.cfg.Logger}),
	}
	if b.cfg.AutoCreateTopics {
		opts = append(opts, kfake.AllowAutoTopicCreation())
	}
	if b.cfg.DataDir != "" {
		opts = append(opts, kfake.DataDir(b.cfg.DataDir))
	}
	if b.cfg.MaxSessionTimeout > 0 {
		opts = append(opts, kfake.GroupMaxSessionTimeout(b.cfg.MaxSessionTimeout))
	}
	if len(b.cfg.SASL) > 0 {
		b.password = rand.Text()
		opts = append(opts, kfake.EnableSASL(), kfake.Superuser(Plain, inspector, b.password))
		for _, u := range b.cfg.SASL {
			opts = append(opts, kfake.Superuser(u.Mechanism, u.Name, u.Password))
		}
	}
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
	if b.cluster != nil {
		b.cluster.Close()
	}
	return nil
}

// Addrs are the HOST:PORT of the brokers, by node id: what clients dial.
func (b *Broker) Addrs() []string {
	addrs := make([]string, len(b.listeners))
	for i, ln := range b.listeners {
		addrs[i] = ln.Addr().String()
	}
	return addrs
}

// hostport is a broker's address as answers have it.
func (b *Broker) hostport(node int32) (string, int32) {
	host, port, _ := net.SplitHostPort(b.listeners[node].Addr().String()) // an address of a listener has both
	n, _ := strconv.ParseInt(port, 10, 32)
	return host, int32(n)
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
		lv = slog.LevelWarn
	}
	if ctx := context.Background(); l.Enabled(ctx, lv) {
		l.Log(ctx, lv, fmt.Sprintf(format, args...))
	}
}

package adapter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kslog"
)

// Config says how an Adapter reaches Kafka. Brokers is all that it needs.
type Config struct {
	// Brokers are the addresses to start from, as HOST:PORT. At least one is
	// needed, unless ClientOptions brings kgo.SeedBrokers.
	Brokers []string
	// ClientID names this program in the broker's logs, metrics and quotas.
	// Empty leaves the client's default, "kgo".
	ClientID string
	// TLS turns on TLS. Nil connects without.
	TLS *tls.Config
	// SASL are the credentials. Nil connects without.
	SASL *SASL

	// ConnectTries bounds the first connection: after that many the state is
	// Disconnected until something asks for the connection again. Zero means
	// 100. After a first success, reconnecting has no limit.
	ConnectTries int
	// ConnectTimeout is how long Publish, Subscribe, EnsureTopics and Redrive wait
	// for a connection when there is none, and how long new topics may take to be
	// usable. Zero means 10 seconds.
	ConnectTimeout time.Duration
	// PublishTimeout is how long a record may take to be acknowledged. Zero
	// means 30 seconds; less than a second is refused.
	PublishTimeout time.Duration

	// Serializer turns the data of events into values. Nil means
	// DefaultSerializer.
	Serializer Serializer
	// Logger gets a line for what an operator should know. The client's own
	// lines arrive a level lower than it gives them, except warnings and
	// errors. Nil means slog.Default().
	Logger *slog.Logger
	// Trace is told what happens, for metrics, tracing and tests. Nil tells nobody.
	Trace *Trace

	// ClientOptions are passed to every client that the adapter makes, after
	// its own: for what Config has no field for. Group options reach the
	// consumers. Options that take over the adapter's work (ConsumeTopics,
	// ConsumerGroup, autocommit, OnPartitions callbacks) must not be given.
	ClientOptions []kgo.Opt
}

// SASL are a user's credentials.
type SASL struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	User      string
	Password  string
}

// mechanism is the client's form of the credentials.
func (s *SASL) mechanism() (sasl.Mechanism, error) {
	switch {
	case s.User == "":
		return nil, &ConfigError{Field: "Config.SASL.User", Problem: "is empty"}
	case s.Mechanism == "PLAIN":
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism(), nil
	case s.Mechanism == "SCRAM-SHA-256":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism(), nil
	case s.Mechanism == "SCRAM-SHA-512":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism(), nil
	}
	return nil, &ConfigError{Field: "Config.SASL.Mechanism", Problem: fmt.Sprintf(
		"is %q: want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)}
}

// withDefaults is the configuration with what zero means filled in, or what is
// wrong with it.
func (c Config) withDefaults() (Config, error) {
	for _, f := range []struct {
		name string
		bad  bool
	}{
		{"ConnectTries", c.ConnectTries < 0},
		{"ConnectTimeout", c.ConnectTimeout < 0},
		{"PublishTimeout", c.PublishTimeout < 0},
	} {
		if f.bad {
			return c, &ConfigError{Field: "Config." + f.name, Problem: "is negative: leave it zero for the default"}
		}
	}
	for _, b := range c.Brokers {
		if err := checkBroker(b); err != nil {
			return c, &ConfigError{Field: "Config.Brokers", Problem: fmt.Sprintf("has %q: %v", b, err)}
		}
	}
	if c.ConnectTries == 0 {
		c.ConnectTries = 100
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.PublishTimeout == 0 {
		c.PublishTimeout = 30 * time.Second
	}
	if c.PublishTimeout < time.Second {
		return c, &ConfigError{Field: "Config.PublishTimeout", Problem: fmt.Sprintf("is %v: at least a second is needed", c.PublishTimeout)}
	}
	if c.Serializer == nil {
		c.Serializer = DefaultSerializer
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Trace == nil {
		c.Trace = &Trace{}
	}
	return c, nil
}

// checkBroker holds an address to HOST:PORT, where the client lets PORT be left
// out.
func checkBroker(addr string) error {
	host, port := addr, "9092"
	if strings.Contains(addr, ":") {
		var err error
		if host, port, err = net.SplitHostPort(addr); err != nil {
			return errors.New("want HOST:PORT")
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strings.TrimSpace(host) == "" {
		return errors.New("want HOST:PORT")
	}
	return nil
}

// clientOptions are the options of every client. hooks is told of connections.
func (c Config) clientOptions(hooks kgo.Hook) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.WithHooks(hooks),
		// A broker that goes away between a connection and its first request
		// is no reason to fail one; what is wrong with TLS or credentials
		// shows when the connection is tried.
		kgo.AlwaysRetryEOF(),
		kgo.WithLogger(kslog.New(slog.New(quiet{c.Logger.Handler()}))),
	}
	if len(c.Brokers) > 0 {
		opts = append(opts, kgo.SeedBrokers(c.Brokers...))
	}
	if c.ClientID != "" {
		opts = append(opts, kgo.ClientID(c.ClientID))
	}
	if c.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(c.TLS))
	}
	if c.SASL != nil {
		m, err := c.SASL.mechanism()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(m))
	}
	return append(opts, c.ClientOptions...), nil
}

// hasSeeds reports whether some option names brokers: without any, the client
// would fall back to this host, which is a guess.
func hasSeeds(cl *kgo.Client) bool {
	seeds, _ := cl.OptValue(kgo.SeedBrokers).([]string)
	return len(seeds) > 0 && !slices.Equal(seeds, []string{"127.0.0.1"})
}

// quiet is a handler for the client's own lines. What it calls information is
// detail to whoever runs the program.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, demoted(l))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = demoted(r.Level)
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(as []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(as)} }
func (q quiet) WithGroup(name string) slog.Handler    { return quiet{q.Handler.WithGroup(name)} }

// demoted keeps warnings. An error of the client's is one that it goes on to
// retry, so a warning; what it cannot mend reaches the adapter as an error.
func demoted(l slog.Level) slog.Level {
	switch {
	case l >= slog.LevelError:
		return slog.LevelWarn
	case l >= slog.LevelWarn:
		return l
	default:
		return l - 4
	}
}

// publishLimit is how long a record is waited for. The client fails one after
// PublishTimeout, unless the broker may have it already: then it waits for the
// broker's word, and we do not.
func (c Config) publishLimit() time.Duration { return c.PublishTimeout + c.PublishTimeout/10 }

package fakebroker

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Network is what carries the connections of a broker.
type Network int

const (
	// TCP listens on loopback, for clients in any process and language.
	TCP Network = iota

	// InMemory carries connections inside the process, for virtual time: the
	// broker, its clients and the code under test live in one testing/synctest
	// bubble. Only clients made with [Broker.ClientOptions] can connect.
	InMemory
)

// String is tcp or in-memory.
func (n Network) String() string {
	switch n {
	case TCP:
		return "tcp"
	case InMemory:
		return "in-memory"
	}
	return "Network(" + strconv.Itoa(int(n)) + ")"
}

// Config says what cluster to start. The zero value is one broker on a free
// loopback port, without topics.
type Config struct {
	// Brokers is the number of brokers, with node ids from 0. Zero means one,
	// or one for each address in Listen.
	Brokers int

	// Network carries the connections. The zero value is TCP.
	Network Network

	// Listen has one HOST:PORT for each broker, TCP only; port 0 takes a free
	// one. Clients are told these addresses, so they must be dialable:
	// 0.0.0.0 is refused, as Kafka refuses to advertise it. Empty means
	// 127.0.0.1:0 for each broker.
	Listen []string

	// Topics exist from the start. One that DataDir has already stays as it is
	// there.
	Topics []Topic

	// AutoCreateTopics creates topics that clients ask for, with one partition
	// (Kafka's auto.create.topics.enable and num.partitions). Off by default:
	// in a test a missing topic is a mistake.
	AutoCreateTopics bool

	// TLS is the server's side of TLS; nil means plain text. Its Certificates
	// are what ClientOptions trusts.
	TLS *tls.Config

	// SASL makes clients authenticate as one of these users, who may do
	// everything. Empty means no authentication.
	SASL []User

	// DataDir keeps topics, records and groups in files, to be found again by
	// the next start. Users are always those of SASL. Empty means memory only.
	DataDir string

	// BrokerConfig sets broker configurations by their Kafka names, such as
	// "message.max.bytes". Absent ones have Kafka's defaults, but for
	// group.consumer.heartbeat.interval.ms on TCP: in test binaries it is 100.
	BrokerConfig map[string]string

	// MaxSessionTimeout bounds the session timeout that group members may ask
	// for (Kafka's group.max.session.timeout.ms). Zero means 5 minutes.
	MaxSessionTimeout time.Duration

	// Logger gets what the cluster has to say, mostly at debug level. Nil means
	// nothing is logged.
	Logger *slog.Logger

	without string // the name of a correction to leave out, for the tests of it
}

// User is somebody who may connect when a Config has SASL.
type User struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Name      string
	Password  string
}

// Mechanisms that a User can have.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// ErrConfig is wrapped by every [ConfigError].
var ErrConfig = errors.New("invalid broker config")

// ConfigError says which field of a Config cannot be used. It is found by
// errors.As, and errors.Is finds [ErrConfig] and what Err wraps.
type ConfigError struct {
	Field string // such as "Listen"
	Err   error  // what is wrong, and what to do
}

// Error names the field and what to do.
func (e *ConfigError) Error() string { return fmt.Sprintf("%s: %v", e.Field, e.Err) }

// Unwrap gives ErrConfig and the cause.
func (e *ConfigError) Unwrap() []error { return []error{ErrConfig, e.Err} }

func badConfig(field, format string, args ...any) error {
	return &ConfigError{Field: field, Err: fmt.Errorf(format, args...)}
}

// maxBrokers keeps a slip of the pen from opening all ports there are.
const maxBrokers = 100

// firstPort is where in-memory brokers listen, each one above the one before.
const firstPort = 9092

// withDefaults checks the config and fills in what is left out.
func (c Config) withDefaults() (Config, error) {
	if c.Brokers < 0 || c.Brokers > maxBrokers || len(c.Listen) > maxBrokers {
		return c, badConfig("Brokers", "%d brokers; use 1 to %d", max(c.Brokers, len(c.Listen)), maxBrokers)
	}
	if c.Brokers > 0 && len(c.Listen) > 0 && c.Brokers != len(c.Listen) {
		return c, badConfig("Brokers", "%d brokers for %d addresses in Listen; leave one of the two out", c.Brokers, len(c.Listen))
	}
	c.Brokers = cmp.Or(c.Brokers, len(c.Listen), 1)
	switch {
	case c.Network != TCP && c.Network != InMemory:
		return c, badConfig("Network", "%v is none; use TCP or InMemory", c.Network)
	case c.Network == InMemory && len(c.Listen) > 0:
		return c, badConfig("Listen", "an in-memory network has no addresses to choose; leave it out or use TCP")
	}
	for _, addr := range c.Listen {
		if err := checkListen(addr); err != nil {
			return c, &ConfigError{Field: "Listen", Err: err}
		}
	}
	for len(c.Listen) < c.Brokers {
		addr := "127.0.0.1:0"
		if c.Network == InMemory {
			addr = "localhost:" + strconv.Itoa(firstPort+len(c.Listen))
		}
		c.Listen = append(c.Listen[:len(c.Listen):len(c.Listen)], addr)
	}
	if err := c.checkTopics(); err != nil {
		return c, &ConfigError{Field: "Topics", Err: err}
	}
	for _, u := range c.SASL {
		if u.Mechanism != Plain && u.Mechanism != ScramSHA256 && u.Mechanism != ScramSHA512 {
			return c, badConfig("SASL", "user %q: mechanism %q is not supported; use %s, %s or %s", u.Name, u.Mechanism, Plain, ScramSHA256, ScramSHA512)
		}
		if u.Name == "" || u.Name == inspector {
			return c, badConfig("SASL", "user name %q cannot be used; choose another", u.Name)
		}
	}
	if c.TLS != nil && len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil && c.TLS.GetConfigForClient == nil {
		return c, badConfig("TLS", "no certificate; set Certificates")
	}
	if c.MaxSessionTimeout < 0 {
		return c, badConfig("MaxSessionTimeout", "%v is negative; use 0 for the default", c.MaxSessionTimeout)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func (c Config) checkTopics() error {
	seen := make(map[string]bool)
	for _, t := range c.Topics {
		if err := t.check(); err != nil {
			return err
		}
		if seen[t.Name] {
			return fmt.Errorf("topic %q twice; name it once: %w", t.Name, ErrTopicExists)
		}
		seen[t.Name] = true
	}
	return nil
}

func checkListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT, such as 127.0.0.1:9092", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q: port %q is not between 0 and 65535", addr, port)
	}
	if ip, err := netip.ParseAddr(host); host == "" || (err == nil && ip.IsUnspecified()) {
		return fmt.Errorf("%q cannot be advertised to clients; name an address that they can dial, such as 127.0.0.1:%s", addr, port)
	}
	if strings.ContainsAny(host, " /") {
		return fmt.Errorf("%q: %q is not a host", addr, host)
	}
	return nil
}

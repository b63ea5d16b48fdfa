package fakebroker

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"
)

// Network is what carries the connections of a broker.
type Network int

const (
	// TCP listens on loopback, unless Listen says otherwise, for clients in any
	// process and language.
	TCP Network = iota

	// InMemory carries connections inside the process, for virtual time: the
	// broker, its clients and the code under test live in one testing/synctest
	// bubble. Only clients that dial by [Broker.ClientOptions], [Broker.Dial] or
	// [Broker.Dialer] can connect.
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
	// Brokers is the number of brokers. Zero means one, or as many as there are
	// addresses in Listen, NodeIDs or Racks.
	Brokers int

	// NodeIDs are the node ids of the brokers (Kafka's node.id), each its own
	// and not negative. They are what clients see, and what everything here
	// that takes or returns a node id means. Empty means 0, 1, 2, ...
	NodeIDs []int32

	// Racks are the racks of the brokers (Kafka's broker.rack), an empty one for
	// none. Empty means that no broker has a rack.
	Racks []string

	// Network carries the connections. The zero value is TCP.
	Network Network

	// Listen has one HOST:PORT for each broker, TCP only; port 0 takes a free
	// one. Clients are told these addresses, so they must be dialable:
	// 0.0.0.0 is refused without Advertise, as Kafka refuses to advertise it.
	// Empty means 127.0.0.1:0 for each broker.
	Listen []string

	// Advertise is what clients are told in place of Listen: see
	// [Listener.Advertise].
	Advertise []string

	// Listeners are several ways in to the same brokers, in place of Listen and
	// Advertise. Empty means one, which has TLS when TLS is set and SASL when
	// there are users. [Broker.Addrs] and [Broker.ClientOptions] are of the
	// first.
	Listeners []Listener

	// Topics exist from the start. One that DataDir has already keeps its
	// configuration, and gets the partitions that it lacks; where it has more
	// than are asked for, starting fails.
	Topics []Topic

	// AutoCreateTopics creates topics that clients ask for, with one partition
	// (Kafka's auto.create.topics.enable and num.partitions). Off by default:
	// in a test a missing topic is a mistake.
	AutoCreateTopics bool

	// TLS is the server's side of TLS; its Certificates are what ClientOptions
	// trusts. Nil means plain text, or with Listeners a certificate made at
	// start for those with TLS. The subject of a verified client certificate is
	// who the client is, where SASL does not say. With ACLs or Superusers a
	// ClientAuth that asks for certificates and does not verify them is refused.
	TLS *tls.Config

	// TLSDir is a folder to write a certificate to that was made at start, for
	// clients to trust: ca.pem, and with it ca-key.pem, broker.pem,
	// broker-key.pem, and client.pem and client-key.pem (User:CN=client) for
	// clients that need one. A CA that is there is used again. One is made
	// where TLS has no certificate. Files of these names that were not made here
	// are not touched: starting fails. Empty means that none is written.
	TLSDir string

	// SASL makes clients authenticate as one of these users. They may do
	// everything, unless ACLs or Superusers are set. Empty means no
	// authentication.
	SASL []User

	// ACLs say who may do what, by Kafka's rules: what no ACL allows is denied,
	// but to Superusers (Kafka's StandardAuthorizer; AllowEveryone is its
	// allow.everyone.if.no.acl.found). Clients can change them. When this and
	// Superusers are empty, and AllowEveryone is not set, there is no authorizer:
	// everybody may do everything.
	ACLs []ACL

	// Superusers may do everything, with or without Kafka's "User:" in front.
	// The user without a name is ANONYMOUS.
	Superusers []string

	// AllowEveryone lets everybody do everything with a topic, group, transactional
	// id or the cluster that no ACL is about (Kafka's
	// allow.everyone.if.no.acl.found=true). It turns ACLs on, as ACLs and Superusers
	// do. With a DataDir it is refused.
	AllowEveryone bool

	// AsVersion has the brokers speak no newer protocol than a release of Kafka
	// did, such as "2.8" or "3.9": see [Releases]. What they answer stays what
	// it is. Empty means the newest that there is.
	AsVersion string

	// DataDir keeps topics, records, groups and ACLs in files, to be found again
	// by the next start. Users are always those of SASL. ACLs that are found are
	// in force when ACLs or Superusers is set, as without these there is no
	// authorizer; else a warning is logged. One broker at a time has a folder:
	// another one fails to start, but on Solaris and AIX, where that goes
	// unnoticed. A folder with other files, and one whose files are damaged, are
	// left as they are, and nothing starts. Empty means memory only.
	DataDir string

	// BrokerConfig sets broker configurations by their Kafka names, such as
	// "message.max.bytes" or "num.partitions". Names and values are checked by
	// Kafka's rules; what other fields decide, such as "broker.rack", is
	// refused. Absent ones have Kafka's defaults, but for
	// group.initial.rebalance.delay.ms, which is 0, and
	// default.replication.factor, which is 3 or the number of brokers. Clients
	// are told of all, those without effect here included.
	BrokerConfig map[string]string

	// MaxSessionTimeout bounds the session timeout that group members may ask
	// for (Kafka's group.max.session.timeout.ms). Zero means 30 minutes, as in
	// Kafka.
	MaxSessionTimeout time.Duration

	// FirstFetchWait is how long at most a fetch waits for records when it names
	// partitions that its connection had not fetched before, or comes within that
	// time after one that did, whatever the client asks. A client learns from where
	// to fetch one partition after the other, and may send a fetch of the first of
	// them; where it has that wait for minutes, the others are not fetched for as
	// long. A fetch that waits already when the client is given a partition is not
	// cut short. Whole milliseconds; zero means as long as the client asks.
	FirstFetchWait time.Duration

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
	c, err := c.withBrokers()
	if err != nil {
		return c, err
	}
	if c.Network != TCP && c.Network != InMemory {
		return c, badConfig("Network", "%v is none; use TCP or InMemory", c.Network)
	}
	if err := c.checkUsers(); err != nil {
		return c, err
	}
	if c, err = c.withListeners(); err != nil {
		return c, err
	}
	if err := c.checkCertificates(); err != nil {
		return c, err
	}
	if err := c.checkTopics(); err != nil {
		return c, &ConfigError{Field: "Topics", Err: err}
	}
	if c.TLS != nil && !hasCertificate(c.TLS) && c.TLSDir == "" {
		return c, badConfig("TLS", "no certificate; set Certificates, or TLSDir for one made at start")
	}
	if _, err := release(c.AsVersion); err != nil {
		return c, err
	}
	if c.FirstFetchWait < 0 || c.FirstFetchWait%time.Millisecond != 0 {
		return c, badConfig("FirstFetchWait", "%v is not whole milliseconds; use 0 for as long as clients ask", c.FirstFetchWait)
	}
	if c.MaxSessionTimeout < 0 {
		return c, badConfig("MaxSessionTimeout", "%v is negative; use 0 for the default", c.MaxSessionTimeout)
	}
	if c, err = c.withBrokerConfig(); err != nil {
		return c, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// withBrokers counts the brokers.
func (c Config) withBrokers() (Config, error) {
	type count struct {
		field, one, many string
		n                int
	}
	text := func(n int, one, many string) string {
		if n == 1 {
			many = one
		}
		return fmt.Sprintf("%d %s", n, many)
	}
	counts := []count{{"Listen", "address in Listen", "addresses in Listen", len(c.Listen)}}
	for _, l := range c.Listeners {
		counts = append(counts, count{"Listen", "address of a listener", "addresses of a listener", len(l.Listen)})
	}
	counts = append(counts, count{"NodeIDs", "node id", "node ids", len(c.NodeIDs)}, count{"Racks", "rack", "racks", len(c.Racks)})
	asked := c.Brokers
	for _, n := range counts {
		c.Brokers = cmp.Or(c.Brokers, n.n)
	}
	c.Brokers = cmp.Or(c.Brokers, 1)
	if c.Brokers < 0 || c.Brokers > maxBrokers {
		return c, badConfig("Brokers", "%d brokers; use 1 to %d", c.Brokers, maxBrokers)
	}
	brokers := text(c.Brokers, "broker", "brokers")
	for _, n := range counts {
		given := text(n.n, n.one, n.many)
		switch {
		case n.n == 0 || n.n == c.Brokers:
		case asked > 0:
			return c, badConfig("Brokers", "%s for %s; leave one of the two out", brokers, given)
		default:
			return c, badConfig(n.field, "%s for %s; give one for each", given, brokers)
		}
	}
	seen := make(map[int32]bool)
	for _, id := range c.NodeIDs {
		if id < 0 || id >= unknownNode || seen[id] {
			return c, badConfig("NodeIDs", "node id %d is negative, too large, or there twice; give each broker its own", id)
		}
		seen[id] = true
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

func checkAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT, such as 127.0.0.1:9092 or [::1]:9092", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q: port %q is not between 0 and 65535", addr, port)
	}
	if strings.ContainsAny(host, " /") {
		return fmt.Errorf("%q: %q is not a host", addr, host)
	}
	return nil
}

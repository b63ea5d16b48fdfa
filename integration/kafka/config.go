package kafka

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Config says what cluster to start. The zero value is one node with a
// plaintext listener on a free port of loopback.
//
// What differs from Apache Kafka's own defaults: a first rebalance starts
// without delay (group.initial.rebalance.delay.ms=0), topics are not created by
// asking for them (auto.create.topics.enable=false), and the internal topics
// have one partition a node and one replica.
type Config struct {
	// Source is where the cluster comes from. Empty means the one that the
	// environment chooses ([Chosen]), and the jars when it chooses none. A container
	// has one node, its plaintext listener on a port of its own, and Properties; a
	// cluster that was there has what it has.
	Source Source

	// Nodes is the number of nodes, with ids from 1. Each is a broker, the
	// first is the controller too. Zero means one; more than nine are refused. A
	// cluster that was there must have as many or more.
	Nodes int

	// Ports are those of the plaintext listeners, one a node. Empty means free
	// ones. All other listeners have free ones always.
	Ports []int

	// Users adds a listener with SASL, without TLS, for these users. Each of
	// them can use PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
	Users []User

	// TLS adds a listener with TLS whose certificate, for 127.0.0.1 and
	// localhost, is signed by an authority made for this cluster: see
	// [Kafka.CA]. With Users it adds one with TLS and SASL too.
	TLS bool

	// ACLs has the cluster authorize what clients do. Who comes in by a
	// listener without SASL, and a User with Super, may do everything; anybody
	// may do what no ACL is about.
	ACLs bool

	// Properties are added to those of each node, or replace them, by their
	// names in Kafka's server.properties. A cluster that was there must have them.
	Properties map[string]string

	// Dir keeps data, configuration and logs, and must be empty or not exist.
	// Empty means a temporary folder, which Close removes.
	Dir string

	// JVM are added to the flags of the virtual machine, which by default has
	// 512 MB of heap and compiles with the first compiler only, to start fast.
	// -XX:TieredStopAtLevel=4 is for measuring.
	JVM []string
}

// User is somebody who can authenticate.
type User struct {
	Name, Password string
	Super          bool // may do everything, whatever ACLs say
}

// ErrConfig is wrapped by errors about a Config that cannot be used.
var ErrConfig = errors.New("invalid config of Kafka")

const maxNodes = 9

func (c Config) withDefaults() (Config, error) {
	bad := func(format string, args ...any) (Config, error) {
		return c, fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...))
	}
	if c.Source == "" {
		chosen, err := Chosen()
		if err != nil {
			return c, err
		}
		c.Source = cmp.Or(chosen, FromJars)
	}
	if !slices.Contains(sources, c.Source) {
		return bad("Source is %q; use one of %q", c.Source, sources)
	}
	if c.Nodes == 0 {
		c.Nodes = max(1, len(c.Ports))
	}
	if c.Nodes < 1 || c.Nodes > maxNodes {
		return bad("Nodes is %d; use 1 to %d", c.Nodes, maxNodes)
	}
	if len(c.Ports) != 0 && len(c.Ports) != c.Nodes {
		return bad("%d Ports for %d Nodes; give one a node, or none", len(c.Ports), c.Nodes)
	}
	for _, p := range c.Ports {
		if p < 1 || p > 65535 {
			return bad("port %d in Ports; use 1 to 65535", p)
		}
	}
	for _, u := range c.Users {
		if u.Name == "" || u.Password == "" {
			return bad("user %q: Name and Password must not be empty", u.Name)
		}
		// They are written into properties and JAAS, and compared after SASLprep.
		if strings.ContainsFunc(u.Name+u.Password, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"\;=,`, r) }) {
			return bad(`user %q: Name and Password are of printable ASCII without space, ", \, ;, = and comma`, u.Name)
		}
	}
	if asks := c.asksTooMuch(); asks != "" {
		return c, fmt.Errorf("%w: %s ("+envReal+"=jars has that)", ErrSource, asks)
	}
	return c, nil
}

// asksTooMuch is what the source cannot give, empty when it can give everything or
// that depends on the cluster.
func (c Config) asksTooMuch() string {
	if c.Source == FromJars {
		return ""
	}
	switch {
	case c.Source == FromContainer && c.Nodes > 1:
		return fmt.Sprintf("%d nodes", c.Nodes)
	case len(c.Users) > 0:
		return "a listener with users"
	case c.TLS:
		return "a listener with TLS"
	case c.ACLs:
		return "an authorizer"
	case len(c.Ports) > 0:
		return "a port that is chosen"
	case c.Dir != "":
		return "a folder for its data"
	case len(c.JVM) > 0:
		return "flags of the virtual machine"
	}
	return ""
}

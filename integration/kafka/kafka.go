package kafka

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// host is where everything listens.
const host = "127.0.0.1"

// The SASL mechanisms of a listener with SASL, PLAIN first.
var mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}

// startLimit bounds a start, after jars are fetched. A busy machine takes ten
// times what an idle one does.
const startLimit = 2 * time.Minute

// Kafka is a cluster. Its methods are safe for concurrent use.
type Kafka struct {
	config    Config
	nodes     []*node    // of the jars
	container *container // nil when it is none
	seeds     []string   // of a cluster that was there already
	ca        []byte
	caFile    string
	dir       string
	ownsDir   bool
	archive   *archive

	closing sync.Once
	err     error
}

// Run starts a cluster and stops it with the test, which shows the end of its log
// when it fails. It skips the test when a real broker is not opted into, or when the
// source cannot give what config asks for ([ErrSource]); that it cannot be started
// is a failure.
func Run(tb testing.TB, config Config) *Kafka {
	tb.Helper()
	SkipUnlessWanted(tb)
	k, err := Start(tb.Context(), config)
	if errors.Is(err, ErrSource) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if logs := k.Logs(); tb.Failed() && logs != "" {
			tb.Log("Kafka logged:\n" + logs)
		}
		if err := k.Close(); err != nil {
			tb.Error(err)
		}
	})
	return k
}

// Start starts a cluster and returns when clients can use all of it: all nodes
// are there, and so are the coordinators of groups, transactions and share
// groups. ctx bounds the start only. Errors say what to do, and those of a broker
// that did not start have the end of its log; config's wrap [ErrConfig].
//
// What [Chosen] names is used where config names no source, and the jars where
// neither does. A source that cannot give what config asks for is an [ErrSource].
func Start(ctx context.Context, config Config) (*Kafka, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	switch config.Source {
	case FromExisting:
		return findExisting(ctx, config)
	case FromContainer:
		return startContainer(ctx, config)
	default:
		return startJars(ctx, config)
	}
}

func startJars(ctx context.Context, config Config) (*Kafka, error) {
	if err := checkPorts(config.Ports); err != nil {
		return nil, err
	}
	java, err := findJava()
	if err != nil {
		return nil, err
	}
	jars, err := Jars(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("it was not ready within %v", startLimit))
	defer cancel()
	const tries = 3
	for try := 1; ; try++ {
		k := &Kafka{config: config}
		err := k.start(ctx, java, jars)
		if err == nil {
			return k, nil
		}
		// A port that was free can be anybody's a moment later.
		taken := strings.Contains(k.Logs(), "Address already in use")
		if err := errors.Join(err, k.Close()); !taken || try == tries {
			return nil, err
		}
	}
}

func (k *Kafka) start(ctx context.Context, java, jars string) error {
	if err := k.makeDir(); err != nil {
		return err
	}
	if k.config.TLS {
		if err := k.makeCertificates(); err != nil {
			return err
		}
	}
	listeners := k.config.listeners()
	ports, err := freePorts(1 + k.config.Nodes*len(listeners))
	if err != nil {
		return err
	}
	controllerPort, ports := ports[0], ports[1:]
	for i := range k.config.Nodes {
		n := &node{id: i + 1, dir: k.nodeDir(i + 1), java: java, jars: jars, ports: make(map[string]int)}
		for j, l := range listeners {
			n.ports[l] = ports[i*len(listeners)+j]
		}
		if len(k.config.Ports) > 0 {
			n.ports[plaintext] = k.config.Ports[i]
		}
		k.nodes = append(k.nodes, n)
	}
	k.archive = newArchive(java, jars)
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	clusterID := base64.RawURLEncoding.EncodeToString(id)
	if err := k.each(k.nodes, func(n *node) error {
		if err := n.configure(k.config.properties(n, controllerPort)); err != nil {
			return err
		}
		return n.format(ctx, clusterID, k.config.Users, k.archive.use())
	}); err != nil {
		return err
	}
	for i, n := range k.nodes {
		flags := k.archive.use()
		if i == 0 && len(flags) == 0 {
			flags = k.archive.make(n)
		}
		if err := n.start(slices.Concat(flags, k.config.JVM)); err != nil {
			return err
		}
	}
	return k.awaitReady(ctx)
}

// each runs f for all of them at once.
func (k *Kafka) each(nodes []*node, f func(*node) error) error {
	var wg sync.WaitGroup
	errs := make([]error, len(nodes))
	for i, n := range nodes {
		wg.Go(func() { errs[i] = f(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (k *Kafka) makeDir() error {
	if k.dir = k.config.Dir; k.dir == "" {
		dir, err := os.MkdirTemp("", "kafka")
		if err != nil {
			return fmt.Errorf("making a folder for Kafka's data: %w", err)
		}
		k.dir, k.ownsDir = dir, true
		return nil
	}
	dir, err := filepath.Abs(k.dir)
	if err != nil {
		return fmt.Errorf("finding the folder for Kafka's data: %w", err)
	}
	k.dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making a folder for Kafka's data: %w", err)
	}
	if has, err := os.ReadDir(dir); err != nil || len(has) > 0 {
		return errors.Join(err, fmt.Errorf("%w: Dir %s is not empty: name one that is, or that does not exist", ErrConfig, dir))
	}
	return nil
}

func (k *Kafka) nodeDir(id int) string { return filepath.Join(k.dir, fmt.Sprintf("node%d", id)) }

// Close stops the cluster and waits until its processes have ended, at most 15 s
// for each; what has not by then is killed. One that was there before stays. It
// can be called more than once.
func (k *Kafka) Close() error {
	k.closing.Do(func() {
		var errs []error
		if k.container != nil {
			errs = append(errs, k.container.stop())
		}
		if len(k.nodes) > 0 {
			// The controller last: brokers say goodbye to it.
			stop := func(n *node) error { return n.stop() }
			errs = append(errs, k.each(k.nodes[1:], stop), k.each(k.nodes[:1], stop))
			k.archive.keep()
		}
		if k.ownsDir {
			errs = append(errs, os.RemoveAll(k.dir))
		}
		k.err = errors.Join(errs...)
	})
	return k.err
}

// Addrs are the HOST:PORT of the plaintext listeners, one a node in the order of
// their ids, or the seeds of a cluster that was there before.
func (k *Kafka) Addrs() []string {
	switch k.config.Source {
	case FromExisting:
		return slices.Clone(k.seeds)
	case FromContainer:
		return []string{k.container.addr}
	default:
		return k.addrs(plaintext)
	}
}

// SASLAddrs are those of the listeners with SASL and without TLS, nil without
// Users.
func (k *Kafka) SASLAddrs() []string { return k.addrs(saslPlaintext) }

// TLSAddrs are those of the listeners with TLS and without SASL, nil without TLS.
func (k *Kafka) TLSAddrs() []string { return k.addrs(ssl) }

// SASLTLSAddrs are those of the listeners with both, nil without Users or TLS.
func (k *Kafka) SASLTLSAddrs() []string { return k.addrs(saslSSL) }

func (k *Kafka) addrs(listener string) []string {
	var addrs []string
	for _, n := range k.nodes {
		if p := n.ports[listener]; p != 0 {
			addrs = append(addrs, net.JoinHostPort(host, fmt.Sprint(p)))
		}
	}
	return addrs
}

// CA is the certificate, in PEM, of the authority that the listeners with TLS
// are trusted by; CAFile is a file with it, which goes with Close. Both are empty
// without TLS.
func (k *Kafka) CA() []byte { return slices.Clone(k.ca) }

// CAFile is a file with [Kafka.CA].
func (k *Kafka) CAFile() string { return k.caFile }

// ClientOptions is what a client needs to connect to the plaintext listeners.
func (k *Kafka) ClientOptions() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(k.Addrs()...)} }

// TLSConfig is what a client needs to trust the listeners with TLS.
func (k *Kafka) TLSConfig() *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(k.ca)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// Release is the oldest release that the brokers may be of, by the versions of the
// APIs that they know, as "4.3"; what can only be guessed is said so, as "at least
// 4.3". Those that know different versions are an error.
func (k *Kafka) Release(ctx context.Context) (string, error) {
	cl, err := kgo.NewClient(append(k.ClientOptions(), kgo.DisableClientMetrics())...)
	if err != nil {
		return "", fmt.Errorf("making a client: %w", err)
	}
	defer cl.Close()
	brokers, err := kadm.NewClient(cl).ApiVersions(ctx)
	if err != nil {
		return "", fmt.Errorf("asking for the brokers: %w", err)
	}
	release := ""
	for id, b := range brokers {
		if b.Err != nil {
			return "", fmt.Errorf("asking broker %d for its versions: %w", id, b.Err)
		}
		guess := strings.ReplaceAll(b.VersionGuess(), "v", "")
		if release != "" && guess != release {
			return "", fmt.Errorf("the brokers are of different releases: %s and %s", release, guess)
		}
		release = guess
	}
	return release, nil
}

// Logs is the end of what the nodes logged, empty for a cluster that was there
// before.
func (k *Kafka) Logs() string {
	if k.container != nil {
		return k.container.log()
	}
	var b strings.Builder
	for _, n := range k.nodes {
		if log := n.log(); log != "" {
			fmt.Fprintf(&b, "node %d:\n%s\n", n.id, log)
		}
	}
	return b.String()
}

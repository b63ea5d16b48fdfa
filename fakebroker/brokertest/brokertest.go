package brokertest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Behaviour is one thing that a Kafka broker does.
type Behaviour struct {
	// Name says what, as AREA/SENTENCE: "groups/offsets of an unknown group are -1".
	Name string

	// Source is where the rule comes from: a KIP, the protocol guide, or the
	// file of Apache Kafka that decides it.
	Source string

	// Needs is what the cluster must have.
	Needs Needs

	// Run fails t when the cluster does something else.
	Run func(t T, c Cluster)
}

// Needs is what a behaviour asks of a cluster. The zero value is one broker or
// more, of which nothing special is wanted.
type Needs struct {
	Brokers int  // at least so many; zero means one
	SASL    bool // Cluster.SASL is set
	TLS     bool // Cluster.TLS is set
	ACLs    bool // it has an authorizer, and Cluster.SASL is set

	// AllowEveryone is that everybody may do what no ACL is about (Kafka's
	// allow.everyone.if.no.acl.found); it has an authorizer, and Cluster.SASL is
	// set.
	AllowEveryone bool

	// AutoCreate is that topics are created when clients ask for them (Kafka's
	// auto.create.topics.enable).
	AutoCreate bool

	// ShortSessions is that the sessions of members of the consumer protocol last a
	// second (group.consumer.session.timeout.ms), with a heartbeat interval to match,
	// and that those of classic members may (group.min.session.timeout.ms). Locks of
	// records of share groups last a second, too
	// (group.share.record.lock.duration.ms).
	ShortSessions bool
}

// Cluster is a cluster to hold to the behaviours.
type Cluster struct {
	// Options is what a client needs to connect, as a user who may do
	// everything.
	Options []kgo.Opt

	// SASL is a listener that asks for authentication, nil when there is none.
	SASL *SASL

	// TLS is what a client needs to connect to a listener with TLS, nil when
	// there is none.
	TLS []kgo.Opt
}

// SASL is a listener that asks for authentication.
type SASL struct {
	// Options is what a client needs to connect, but for its credentials.
	Options []kgo.Opt

	// Admin may do everything, by each of PLAIN, SCRAM-SHA-256 and
	// SCRAM-SHA-512. User may do what ACLs allow, by PLAIN.
	Admin, User Credentials
}

// Credentials are a user and the password.
type Credentials struct{ Name, Password string }

// T is what a behaviour asks of a test. [testing.T] is one.
type T interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	FailNow()
}

// Behaviours returns the table, by name. The slice is new at each call.
func Behaviours() []Behaviour {
	all := slices.Concat(
		groupBehaviours(),
		limitBehaviours(),
		fetchBehaviours(),
		saslBehaviours(),
		transactionBehaviours(),
		producerBehaviours(),
		writingBehaviours(),
		produceBehaviours(),
		clusterBehaviours(),
		clusterAdminBehaviours(),
		topicBehaviours(),
		configBehaviours(),
		listenerBehaviours(),
		aclBehaviours(),
		everyoneBehaviours(),
		faultBehaviours(),
		acksBehaviours(),
		sequenceBehaviours(),
		writtenBehaviours(),
		fetchLimitBehaviours(),
		fetchWaitBehaviours(),
		fetchOffsetBehaviours(),
		committedFetchBehaviours(),
		lagBehaviours(),
		listOffsetBehaviours(),
		committedOffsetBehaviours(),
		transactionEndBehaviours(),
	)
	slices.SortFunc(all, func(a, b Behaviour) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Test runs every behaviour as a subtest, on the cluster that open gives. open
// may give the same cluster each time; it skips the test when it has none of
// the kind.
func Test(t *testing.T, open func(t *testing.T, needs Needs) Cluster) {
	for _, b := range Behaviours() {
		t.Run(b.Name, func(t *testing.T) { b.Run(t, open(t, b.Needs)) })
	}
}

// ErrDiffers is wrapped by what [Check] returns of a cluster that does something
// else.
var ErrDiffers = errors.New("differs from Apache Kafka")

// limit is how long a single behaviour may take in Check.
const limit = time.Minute

// Check runs a behaviour outside a test and returns nil, or an error with what it
// found instead, which wraps [ErrDiffers].
func Check(ctx context.Context, b Behaviour, c Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r := &recorder{ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.cleanUp()
		defer func() {
			if e := recover(); e != nil { // such as an answer with fewer topics than asked for
				r.Errorf("panic: %v", e)
			}
		}()
		b.Run(r, c)
	}()
	<-done
	return r.err(b)
}

// recorder is the T of Check.
type recorder struct {
	ctx context.Context

	mu       sync.Mutex
	failed   bool
	messages []string
	cleanups []func()
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Logf(string, ...any)      {}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.messages = append(r.messages, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (r *recorder) FailNow() {
	r.mu.Lock()
	r.failed = true
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *recorder) cleanUp() {
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		f := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		f()
	}
}

func (r *recorder) err(b Behaviour) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.failed {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", b.Name, ErrDiffers, strings.Join(r.messages, "; "))
}

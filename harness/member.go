package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
	"example.com/kafkatest/fakebroker"
)

// Service is a program under test: it runs until ctx ends, and then closes what
// it has opened and returns.
type Service interface {
	Run(ctx context.Context) error
}

// ServiceFunc is a function as a Service.
type ServiceFunc func(ctx context.Context) error

// Run calls f.
func (f ServiceFunc) Run(ctx context.Context) error { return f(ctx) }

// Env is what a service needs to reach the test's cluster. What is made of it is
// the member's: Kill and PauseNetwork reach it, and the timeline names it.
type Env struct {
	// Name is the member's: "member 1" is the first. Its clients have it as
	// their client id.
	Name string
	// Brokers are the addresses of the brokers, HOST:PORT.
	Brokers []string
	// Dial connects to a broker, for clients of any make that take a dialer. In
	// virtual time nothing else does. What such a client does is known from what
	// brokers see of it: what it has buffered is not, nor that it is about to
	// join a group. So where time is real call WaitAssigned before Settle.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	m *Member
}

// ClientOptions are the options of a franz-go client: see
// [Harness.ClientOptions].
func (e Env) ClientOptions() []kgo.Opt {
	return e.m.h.optionsOf(e.m.link)
}

// Adapter is a new adapter of the member's. It is closed after the service has
// returned, if the service has not.
func (e Env) Adapter() *adapter.Adapter {
	h := e.m.h
	h.mu.Lock()
	defer h.mu.Unlock()
	a, err := h.makeAdapter(e.m.link)
	if err != nil {
		panic("harness: " + err.Error()) // on a service's goroutine, where the test cannot fail
	}
	e.m.adapters = append(e.m.adapters, a)
	return a
}

// Consume is a service that runs handlers, each in its group, through an adapter
// of its own. Topics that are missing are created when it starts.
func Consume(subscriptions ...adapter.Subscription) func(Env) Service {
	return func(e Env) Service {
		h := e.m.h
		h.t.Helper()
		for _, s := range subscriptions {
			for _, t := range s.Topics {
				h.ensureTopic(t)
			}
		}
		a := e.Adapter()
		var consumers []*adapter.Consumer
		for _, s := range subscriptions {
			c, err := a.Subscribe(context.Background(), s)
			if err != nil {
				h.t.Fatalf("harness: subscribe group %q: %v", s.Group, err)
			}
			consumers = append(consumers, c)
		}
		return ServiceFunc(func(ctx context.Context) (err error) {
			defer func() { err = errors.Join(err, a.Close(context.WithoutCancel(ctx))) }()
			stopped := make(chan error, len(consumers))
			for _, c := range consumers {
				go func() {
					<-c.Done()
					stopped <- c.Err()
				}()
			}
			select {
			case <-ctx.Done():
				return nil
			case err := <-stopped:
				return err
			}
		})
	}
}

// Member is one running instance of a service. Its methods are for the test's
// goroutine.
type Member struct {
	h        *Harness
	link     *link
	adapters []*adapter.Adapter
	stop     context.CancelFunc
	done     chan struct{}
	err      error // once done
	over     bool  // it does not run: stopped, killed, or not started yet
}

// Start runs an instance of a service, as another process would be: with
// connections, adapters and a place in the timeline of its own. It goes on until
// Stop or Kill, or until the test ends, which stops it. It does not wait until
// the service is ready: Settle and WaitAssigned do.
func (h *Harness) Start(service func(Env) Service) *Member {
	h.t.Helper()
	h.refuseInHandler("Start")
	h.mu.Lock()
	name := fmt.Sprintf("member %d", len(h.members)+1)
	m := &Member{h: h, link: newLink(name, h.broker.Dialer()), done: make(chan struct{}), over: true} // until it runs: to make a service may fail the test
	m.link.member = true
	h.members = append(h.members, m)
	h.links = append(h.links, m.link)
	h.mu.Unlock()
	h.watch.noteOf(name, "%s starts", name)
	s := service(Env{Name: name, Brokers: h.broker.Addrs(), Dial: m.link.dial(h.watch, shown), m: m})
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	m.over = false
	go func() {
		defer close(m.done)
		m.err = s.Run(ctx)
		if ctx.Err() == nil && m.err == nil {
			m.err = errors.New("it returned by itself")
		}
		if m.err != nil && (ctx.Err() == nil || !errors.Is(m.err, context.Canceled)) {
			h.watch.noteOf(name, "%s ended: %v", name, m.err)
		}
	}()
	return m
}

// Name is what the timeline and the broker call the member.
func (m *Member) Name() string { return m.link.name }

// Stop ends the service as a deployment does: its context ends, and it returns
// when it has closed what it opened. The test fails if it returns an error, or
// has ended before.
func (m *Member) Stop() {
	m.h.t.Helper()
	m.h.refuseInHandler("Stop")
	if m.over {
		m.h.t.Fatalf("harness: %s was stopped or killed before", m.Name())
	}
	m.h.watch.noteOf(m.Name(), "%s stops", m.Name())
	m.end()
	if m.err != nil && !errors.Is(m.err, context.Canceled) {
		m.h.t.Errorf("harness: %s: %v", m.Name(), m.err)
	}
}

// end stops the service and closes what it has left open.
func (m *Member) end() {
	m.over = true
	m.stop()
	<-m.done
	m.closeAdapters(context.Background())
}

func (m *Member) closeAdapters(ctx context.Context) {
	var wg sync.WaitGroup
	for _, a := range m.adapters {
		if a.State() != adapter.Closed {
			wg.Go(func() { _ = a.Close(ctx) }) // what it says is the service's to hear
		}
	}
	wg.Wait()
}

// Kill ends the member as SIGKILL does: from one moment to the next it reaches
// no broker any more, and leaves no group. The group finds out when its session
// expires. The service's context ends too, so that its goroutines can; whatever
// they still do does not count.
func (m *Member) Kill() {
	m.h.t.Helper()
	m.h.refuseInHandler("Kill")
	if m.over {
		m.h.t.Fatalf("harness: %s was stopped or killed before", m.Name())
	}
	m.over = true
	m.h.watch.kill(m.link)
	m.link.cut()
	m.stop()
	m.h.burials.Go(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nothing is waited for
		m.closeAdapters(ctx)
		<-m.done
	})
}

// Freeze makes the member's handlers hang: those that are called from now on do
// not begin, while the client goes on with heartbeats and fetches, until thaw is
// called. A handler that runs already is not stopped. It is for members that
// handle records through Env.Adapter.
func (m *Member) Freeze() (thaw func()) {
	m.h.t.Helper()
	if len(m.adapters) == 0 {
		m.h.t.Fatalf("harness: %s handles nothing through Env.Adapter, and the harness cannot stop its handlers: have them wait for a channel, or call PauseNetwork", m.Name())
	}
	m.h.watch.noteOf(m.Name(), "%s is frozen", m.Name())
	melt := m.link.freeze()
	return sync.OnceFunc(func() {
		m.h.watch.noteOf(m.Name(), "%s is thawed", m.Name())
		melt()
	})
}

// PauseNetwork holds back everything between the member and some brokers, by
// node id, or all of them when none is given, in both directions. Connections
// stay open, and what was held back passes after resume: a pause shorter than
// the client's timeouts is no more than slowness.
func (m *Member) PauseNetwork(brokers ...int32) (resume func()) {
	m.h.t.Helper()
	var addrs []string
	nodes := m.h.broker.Nodes()
	for _, id := range brokers {
		i := slices.IndexFunc(nodes, func(n fakebroker.Node) bool { return n.ID == id })
		if i < 0 {
			m.h.t.Fatalf("harness: there is no broker %d (brokers: %v)", id, m.h.broker.NodeIDs())
		}
		addrs = append(addrs, nodes[i].Addr)
	}
	to := "all brokers"
	if len(brokers) > 0 {
		to = "brokers " + strings.Trim(fmt.Sprint(brokers), "[]")
	}
	m.h.watch.noteOf(m.Name(), "%s hears nothing from %s, and they nothing from it", m.Name(), to)
	open := m.link.stop(addrs...)
	return sync.OnceFunc(func() {
		m.h.watch.noteOf(m.Name(), "%s is connected to %s again", m.Name(), to)
		open()
	})
}

// WaitAssigned returns when the member's groups have taken it in, are stable,
// and have given away all partitions of their topics. In a group with more
// members than partitions it may have been given none.
func (m *Member) WaitAssigned() {
	m.h.t.Helper()
	m.h.refuseInHandler("WaitAssigned")
	missing := ""
	m.h.until(func() string { return m.Name() + " has not been assigned its partitions: " + missing }, func() bool {
		missing = "it is a member of no group (groups: " + list(m.h.groups()) + ")"
		for _, g := range m.h.broker.Groups() {
			if !m.h.isMember(m.Name(), g) {
				continue
			}
			if missing = m.h.unassigned(g.Name); missing != "" {
				return false
			}
		}
		return missing == ""
	})
}

// WaitAssigned returns when the group has members, is stable, and has given away
// all partitions of its topics.
func (g Group) WaitAssigned() {
	g.h.t.Helper()
	g.h.refuseInHandler("WaitAssigned")
	missing := ""
	g.h.until(func() string { return fmt.Sprintf("group %s has not assigned its partitions: %s", g.name, missing) }, func() bool {
		missing = g.h.unassigned(g.name)
		return missing == ""
	})
}

// unassigned says what keeps a group from having given away all partitions, and
// its members, where they are adapters, from knowing.
func (h *Harness) unassigned(group string) string {
	g, ok := h.broker.Group(group)
	if !ok || len(g.Members) == 0 {
		return fmt.Sprintf("it has no members (groups: %s)", list(h.groups()))
	}
	h.mu.Lock()
	adapters := slices.Clone(h.adapters)
	h.mu.Unlock()
	says := &consumed{topics: topicsOf(g), taken: map[topicPartition]bool{}}
	for _, a := range adapters {
		for _, c := range a.Consumers() {
			if c.Group() != group || h.linkOf[a].isDead() {
				continue
			}
			s := c.Status()
			if !s.Joined {
				return "a consumer of group " + group + " has not joined it"
			}
			says.add(s)
		}
	}
	all, clause := h.endsOf(group, says)
	if clause != "" {
		return clause
	}
	return h.lookAtAssignment(g, says, all)
}

// Rebalance has the group rebalance: a member without a part in the work joins
// it, and leaves again. It returns when the group has given away all partitions
// once more, which takes until a handler that is running ends or the group gives
// up on its member: have the handler wait for nothing that comes after.
func (g Group) Rebalance() {
	g.h.t.Helper()
	g.h.refuseInHandler("Rebalance")
	info, ok := g.h.broker.Group(g.name)
	if !ok || len(info.Members) == 0 {
		g.h.t.Fatalf("harness: group %s has no members to rebalance (groups: %s)", g.name, list(g.h.groups()))
	}
	g.h.watch.note("a rebalance of %s is asked for", g.name)
	leave := g.intrude(info)
	g.WaitAssigned()
	leave()
	g.WaitAssigned()
}

// StartRebalance is the first half of Rebalance: a member without a part in the
// work joins the group, which takes partitions away from the others, and they
// come back when leave is called. It returns when the group has begun, and is
// what a rebalance in the middle of a handler is made of.
func (g Group) StartRebalance() (leave func()) {
	g.h.t.Helper()
	info, ok := g.h.broker.Group(g.name)
	if !ok || len(info.Members) == 0 {
		g.h.t.Fatalf("harness: group %s has no members to rebalance (groups: %s)", g.name, list(g.h.groups()))
	}
	g.h.watch.note("a rebalance of %s is asked for", g.name)
	return g.intrude(info)
}

// intrude joins a group, fetching nothing.
func (g Group) intrude(info fakebroker.Group) (leave func()) {
	h := g.h
	h.t.Helper()
	topics := sortedKeys(topicsOf(info))
	name := "the harness's own member"
	l := newLink(name, h.broker.Dialer())
	opts := append(h.optionsOf(l),
		kgo.ConsumerGroup(g.name), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(),
		// The protocols that the other members may have.
		kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.StickyBalancer(), kgo.RangeBalancer(), kgo.RoundRobinBalancer()),
	)
	if info.Type == "consumer" {
		opts = append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		h.t.Fatalf("harness: %v", err)
	}
	cl.PauseFetchTopics(topics...)
	before := info.Epoch
	h.until(func() string { return "no rebalance of group " + g.name + " has begun" }, func() bool {
		now, _ := h.broker.Group(g.name)
		return now.Epoch != before || now.State != "Stable"
	})
	leave = sync.OnceFunc(cl.CloseAllowingRebalance)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closers = append(h.closers, leave)
	return leave
}

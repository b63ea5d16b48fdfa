package harness

import (
	"fmt"
	"maps"
	"slices"

	"example.com/kafkatest/fakebroker"
)

// foreign is what the broker saw of clients that are not adapters of the
// harness: franz-go clients that were given its options, and any others.
type foreign struct {
	sent          map[clientPartition]spans // what each client was sent
	readCommitted map[string]bool           // clients whose fetches are
	members       map[memberOf]string       // clients, by what groups know them by
	producers     map[string]string         // clients that may have buffered more, and what they are
	warned        map[string]bool
	transactional bool // somebody has produced in a transaction
}

// memberOf is a member of a group, by its id.
type memberOf struct{ group, id string }

type clientPartition struct {
	client string
	topicPartition
}

// foreignGroup is a group that a client which is no adapter has committed to.
type foreignGroup struct {
	share   bool
	clients map[string]bool
	topics  map[string]bool
	set     map[topicPartition]spans // what somebody who is no member has set the offset past
	acked   map[topicPartition]*shares
}

// shares is what became of the records of a partition in a share group.
type shares struct {
	accepted, rejected, released spans
}

func newForeign() foreign {
	return foreign{
		sent: map[clientPartition]spans{}, readCommitted: map[string]bool{}, members: map[memberOf]string{},
		producers: map[string]string{}, warned: map[string]bool{},
	}
}

// client is who has a connection: a link's name, or a client id. The caller
// holds mu.
func (w *watch) client(remote, clientID string) (name string, c connection) {
	c = w.connections[remote]
	if c.link != nil {
		name = c.link.name
	} else {
		name = fmt.Sprintf("client %q", clientID)
	}
	return name, c
}

// observer is how the broker tells the watch.
func (w *watch) observer() fakebroker.Observer {
	return fakebroker.Observer{
		Produced:     w.produced,
		Fetched:      w.fetched,
		Committed:    w.committed,
		Joined:       w.joined,
		Acknowledged: w.acknowledged,
		Ended:        w.ended,
		Fault:        w.fault,
		Assigned:     w.assigned,
	}
}

func (w *watch) produced(p fakebroker.Produced) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.TransactionalID != "" {
		w.foreign.transactional = true
	}
	name, c := w.client(p.Remote, p.ClientID)
	redriven := w.producedRedriven(p, name) // adapters tell, too, but later
	if c.by == told {
		return
	}
	w.produces(name, c)
	if redriven {
		return
	}
	e := event{kind: evPublished, member: name, client: name, place: place{p.Topic, p.Partition, p.Offset}}
	if n := p.Count(); n > 1 {
		e.detail = fmt.Sprintf(", and the next %d", n-1)
	}
	w.happened(e)
}

// produces notes a producer that may have buffered more than is known. The caller
// holds mu.
func (w *watch) produces(name string, c connection) {
	switch {
	case c.link == nil:
		w.foreign.producers[name] = "publishes, and the harness did not make it"
	case c.by == shown:
		w.foreign.producers[name] = "publishes with a client that has Env.Dial alone"
	}
}

func (w *watch) fetched(f fakebroker.Fetched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, c := w.client(f.Remote, f.ClientID)
	if f.ReadCommitted {
		w.foreign.readCommitted[name] = true
	}
	if c.by == told {
		return
	}
	at := clientPartition{name, topicPartition{f.Topic, f.Partition}}
	w.foreign.sent[at] = w.foreign.sent[at].add(f.Offset, f.Next)
	if f.Group != "" {
		w.foreignGroup(f.Group, f.Topic).share = true
	}
	w.happened(event{kind: evFetched, member: name, client: name, place: place{f.Topic, f.Partition, f.Offset}})
}

// foreignGroup is what is known of such a group. The caller holds mu.
func (w *watch) foreignGroup(name, topic string) *foreignGroup {
	g := w.group(name)
	if g.foreign == nil {
		g.foreign = &foreignGroup{
			clients: map[string]bool{}, topics: map[string]bool{},
			set: map[topicPartition]spans{}, acked: map[topicPartition]*shares{},
		}
	}
	g.foreign.topics[topic] = true
	return g.foreign
}

func (w *watch) committed(o fakebroker.Committed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, c := w.client(o.Remote, o.ClientID)
	if c.by == told {
		return
	}
	w.happened(event{kind: evCommitted, client: name, member: name + " in " + o.Group, group: o.Group, place: place{o.Topic, o.Partition, o.Offset}})
	if len(w.group(o.Group).topics) > 0 {
		return // behind the back of an adapter, which knows what it has claimed
	}
	g, tp := w.foreignGroup(o.Group, o.Topic), topicPartition{o.Topic, o.Partition}
	if o.Generation < 0 { // no member of it
		g.set[tp] = append(g.set[tp], span{0, o.Offset})
		return
	}
	g.clients[name] = true
}

func (w *watch) joined(j fakebroker.Joined) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, c := w.client(j.Remote, j.ClientID)
	w.foreign.members[memberOf{j.Group, j.MemberID}] = name
	if c.by != told {
		w.happened(event{kind: evNote, group: j.Group, client: name, detail: fmt.Sprintf("%s joined %s", name, j.Group)})
	}
}

// clientOf is the client that a member of a group is: the name of its link, where
// it is known. Its client id may be any.
func (w *watch) clientOf(group string, m fakebroker.Member) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.foreign.members[memberOf{group, m.ID}]
}

// isMember reports whether a client is a member of a group.
func (h *Harness) isMember(client string, g fakebroker.Group) bool {
	return slices.ContainsFunc(g.Members, func(m fakebroker.Member) bool { return h.watch.clientOf(g.Name, m) == client })
}

func (w *watch) acknowledged(a fakebroker.Acknowledged) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, _ := w.client(a.Remote, a.ClientID)
	g, tp := w.foreignGroup(a.Group, a.Topic), topicPartition{a.Topic, a.Partition}
	g.share, g.clients[name] = true, true
	s := g.acked[tp]
	if s == nil {
		s = &shares{}
		g.acked[tp] = s
	}
	var what string
	switch a.As {
	case fakebroker.Accepted:
		s.accepted, what = append(s.accepted, span{a.First, a.Last + 1}), "accepted"
	case fakebroker.Rejected:
		s.rejected, what = append(s.rejected, span{a.First, a.Last + 1}), "rejected"
	case fakebroker.Released:
		s.released, what = append(s.released, span{a.First, a.Last + 1}), "released"
	default:
		return
	}
	first := place{a.Topic, a.Partition, a.First}
	w.happened(event{kind: evNote, group: a.Group, client: name, place: first, detail: fmt.Sprintf("%s through %d %s by %s in %s", first, a.Last, what, name, a.Group)})
}

func (w *watch) ended(e fakebroker.TransactionEnd) {
	w.mu.Lock()
	defer w.mu.Unlock()
	how := "aborted"
	if e.Committed {
		how = "committed"
	}
	w.happened(event{kind: evNote, detail: fmt.Sprintf("transaction %s %s", e.TransactionalID, how)})
}

// fault has what happens to faults among what happens.
func (w *watch) fault(f fakebroker.FaultEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := event{kind: evFault, group: f.Group, detail: fmt.Sprintf("fault %s: %s", f.Phase, f.Fault)}
	if f.Phase == fakebroker.FaultStruck {
		var whom string
		if f.ClientID != "" || f.Remote != "" {
			e.client, _ = w.client(f.Remote, f.ClientID)
			whom = " of " + e.client
		}
		switch {
		case f.API >= 0:
			whom = ", on " + f.API.Name() + whom
		case f.Group != "":
			whom = ", on the session" + whom
		case whom != "":
			whom = ", on a connection" + whom
		default:
			whom = ", on " + count(f.Hits, "connection")
		}
		e.detail = fmt.Sprintf("fault %s: %s%s", f.Phase, f.Fault, whom)
	}
	w.happened(e)
}

// assigned is told of members of every kind; adapters tell more by themselves.
func (w *watch) assigned(a fakebroker.Assignment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, c := w.client(a.Remote, a.ClientID)
	if c.by == told {
		return
	}
	w.happened(event{kind: evAssigned, member: name + " in " + a.Group, client: name, group: a.Group, detail: partitionsOf(a.Partitions)})
}

// consumesForeign are the topics of the groups whose members are not adapters:
// those that the broker has members of, and those that members have committed.
func (h *Harness) consumesForeign() map[string]map[string]bool {
	h.watch.mu.Lock()
	all := map[string]map[string]bool{}
	for name, g := range h.watch.groups {
		if g.foreign != nil && len(g.topics) == 0 && len(g.foreign.clients) > 0 {
			all[name] = maps.Clone(g.foreign.topics)
		}
	}
	ours := map[string]bool{}
	for name, g := range h.watch.groups {
		ours[name] = len(g.topics) > 0
		for _, id := range g.ids {
			ours[id] = true
		}
	}
	h.watch.mu.Unlock()
	for _, g := range h.broker.GroupsBut(func(name string) bool { return ours[name] }) {
		if len(g.Members) == 0 {
			continue
		}
		if all[g.Name] == nil {
			all[g.Name] = map[string]bool{}
		}
		maps.Copy(all[g.Name], topicsOf(g))
	}
	return all
}

// topicsOf are the topics that a group's members subscribe to, or are assigned.
func topicsOf(g fakebroker.Group) map[string]bool {
	topics := map[string]bool{}
	for _, m := range g.Members {
		for _, t := range m.Topics {
			topics[t] = true
		}
		for t := range m.Assignment {
			topics[t] = true
		}
	}
	return topics
}

// foreignFate is a fate as the wire shows it. The caller holds no lock.
func (h *Harness) foreignFate(group string, r Record) Fate {
	f := Fate{Record: r, Group: group, Kind: Pending, Final: r}
	g, _ := h.broker.Group(group)
	at := committedOffset(g, r.Topic, r.Partition)
	tp := topicPartition{r.Topic, r.Partition}

	h.watch.mu.Lock()
	defer h.watch.mu.Unlock()
	w := h.watch
	known := &foreignGroup{}
	if w.groups[group] != nil && w.groups[group].foreign != nil {
		known = w.groups[group].foreign
	}
	clients := maps.Clone(known.clients)
	if clients == nil {
		clients = map[string]bool{}
	}
	for _, m := range g.Members { // which may have committed nothing
		if name, ok := w.foreign.members[memberOf{group, m.ID}]; ok {
			clients[name] = true
		}
	}
	first := int64(-1)
	for client := range clients {
		sent := w.foreign.sent[clientPartition{client, tp}]
		f.Deliveries += sent.count(r.Offset)
		for _, s := range sent {
			if first < 0 || s.from < first {
				first = s.from
			}
		}
	}
	f.Attempts = f.Deliveries
	passed := at > r.Offset
	switch acked := known.acked[tp]; {
	case g.Type == "share" || known.share:
		switch {
		case acked != nil && acked.accepted.count(r.Offset) > 0:
			f.Kind = Committed
		case acked != nil && acked.rejected.count(r.Offset) > 0:
			f.Kind = Rejected
		case passed && f.Deliveries > 0:
			f.Kind, f.archived = Lost, true
		case passed:
			f.Kind = Skipped
		}
	case !passed:
	case f.Deliveries > 0:
		f.Kind = Committed
	case r.Offset < first || known.set[tp].count(r.Offset) > 0:
		f.Kind = Skipped
	default:
		f.Kind = Lost
	}
	return f
}

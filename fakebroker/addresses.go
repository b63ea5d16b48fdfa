package fakebroker

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// What a proxy tells clients in the place of brokers: versions and addresses. And what
// it learns from brokers: who they are, and what topics are called.

// lastFetch is the last version of Fetch whose answers have no addresses (KIP-951), so
// that they need not be held back.
const lastFetch = 15

// offerVersions has clients use no version that nobody here can decode: brokers' addresses
// would pass, and clients pass by.
func (p *Proxy) offerVersions() wire.Rule {
	return wire.Rule{
		Name:       "versions that can be decoded",
		Keys:       wire.Keys(kmsg.ApiVersions),
		AnswerOnly: true,
		Answer: func(x *wire.Exchange) {
			a, err := x.Response()
			resp, is := a.(*kmsg.ApiVersionsResponse)
			if err != nil || !is || x.Version > wire.Newest(x.Key) && resp.ErrorCode != kerr.UnsupportedVersion.Code {
				resp = unknownVersion()
			}
			for i := range resp.ApiKeys {
				k := &resp.ApiKeys[i]
				last := wire.Newest(kmsg.Key(k.ApiKey))
				if kmsg.Key(k.ApiKey) == kmsg.Fetch {
					last = lastFetch
				}
				if last >= k.MinVersion { // else it passes unseen
					k.MaxVersion = min(k.MaxVersion, last)
				}
			}
			x.SetResponse(resp)
		},
	}
}

// unknownVersion is what a broker answers that is asked ApiVersions in a version that it
// does not know (KIP-511).
func unknownVersion() *kmsg.ApiVersionsResponse {
	resp := kmsg.NewPtrApiVersionsResponse()
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MaxVersion = kmsg.ApiVersions.Int16(), wire.Newest(kmsg.ApiVersions)
	resp.ErrorCode, resp.ApiKeys = kerr.UnsupportedVersion.Code, append(resp.ApiKeys, k)
	return resp
}

// tellAddresses has clients told where the proxy listens for each broker.
func (p *Proxy) tellAddresses() wire.Rule {
	return wire.Rule{
		Name: "the proxy's addresses",
		Keys: wire.Keys(
			kmsg.Metadata, kmsg.DescribeCluster, kmsg.FindCoordinator,
			kmsg.Produce, kmsg.Fetch, kmsg.ShareFetch, kmsg.ShareAcknowledge,
		),
		Wants: func(h wire.Header) bool {
			const firstProduce = 10
			return h.Key != kmsg.Fetch && h.Key != kmsg.Produce || h.Key == kmsg.Fetch && h.Version > lastFetch || h.Key == kmsg.Produce && h.Version >= firstProduce
		},
		AnswerOnly: true,
		Answer: func(x *wire.Exchange) {
			resp, err := x.Response()
			if err != nil {
				p.cfg.Logger.Error("an answer may tell an address of the cluster, and cannot be decoded", "err", err)
				x.Cut()
				return
			}
			told := false
			eachBroker(resp, func(id *int32, host *string, port *int32, rack **string) {
				if *id < 0 || *host == "" {
					return // none
				}
				var known *string
				if rack != nil {
					known = *rack
				}
				at, err := p.front(*id, hostport{*host, *port}, known)
				if err != nil {
					p.cfg.Logger.Warn("a client cannot be told of a broker", "node", *id, "err", err)
					x.Cut()
					return
				}
				*host, *port, told = at.host, at.port, true
			})
			if told {
				x.SetResponse(resp)
			}
		},
	}
}

// front is where clients reach a broker that is now at some address.
func (p *Proxy) front(id int32, at hostport, rack *string) (hostport, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := front{id: id, addr: at.String()}
	if rack != nil {
		known.rack = *rack
	}
	var same *front
	for _, f := range p.fronts {
		if f.id == id {
			f.addr = known.addr
			if rack != nil {
				f.rack = *rack
			}
			return f.told, nil
		}
		if f.id < 0 && f.addr == known.addr && same == nil {
			same = f
		}
	}
	if same != nil {
		same.id, same.rack = id, known.rack
		return same.told, nil
	}
	f, err := p.openLocked(known)
	if err != nil {
		return hostport{}, err
	}
	return f.told, nil
}

// topicIDs are what topics are called, by id (KIP-516).
type topicIDs struct {
	mu    sync.Mutex
	names map[[16]byte]string
}

func (t *topicIDs) learn(id [16]byte, name *string) {
	if id == ([16]byte{}) || name == nil || *name == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.names == nil {
		t.names = map[[16]byte]string{}
	}
	t.names[id] = *name // for good: a topic made anew has another id
}

// learnTopics looks at what brokers tell of topics: clients know their ids from there,
// too.
func (p *Proxy) learnTopics() wire.Rule {
	return wire.Rule{
		Name:       "names of topics",
		Keys:       wire.Keys(kmsg.Metadata, kmsg.DescribeTopicPartitions, kmsg.CreateTopics),
		AnswerOnly: true,
		Answer: func(x *wire.Exchange) {
			a, err := x.Response()
			if err != nil {
				return
			}
			switch resp := a.(type) {
			case *kmsg.MetadataResponse:
				for _, t := range resp.Topics {
					p.topics.learn(t.TopicID, t.Topic)
				}
			case *kmsg.DescribeTopicPartitionsResponse:
				for _, t := range resp.Topics {
					p.topics.learn(t.TopicID, t.Topic)
				}
			case *kmsg.CreateTopicsResponse:
				for _, t := range resp.Topics {
					p.topics.learn(t.TopicID, &t.Topic)
				}
			}
		},
	}
}

func (p *Proxy) topicByID(id [16]byte) string {
	p.topics.mu.Lock()
	defer p.topics.mu.Unlock()
	return p.topics.names[id]
}

package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func fetchingFully(c Cluster) []Correction {
	const first = 4 // that kfake answers
	return []Correction{
		{
			Rule: wire.Rule{
				Name:        "a full fetch answers for every partition",
				Keys:        wire.Keys(kmsg.Fetch),
				Wants:       func(h wire.Header) bool { return h.Version >= first },
				SkipRequest: listsWhatItMust,
				Answer: answered(func(x *wire.Exchange, req *kmsg.FetchRequest, resp *kmsg.FetchResponse) bool {
					return addUnread(c, x, req, resp)
				}),
			},
			Restores:  "KIP-227: a full fetch response has every partition of the request, without records where MaxBytes leaves no room; clients discard one that has not",
			Upstream:  "01_fetch.go leaves out the partitions behind the one that MaxBytes was reached at",
			Behaviour: "fetch/a full fetch answers for every partition",
		},
	}
}

// listsWhatItMust reports, from how a fetch begins, that its answer is right
// without looking: because it is incremental (KIP-227) and lists what is new only,
// or for one partition.
func listsWhatItMust(h wire.Header, body []byte) bool {
	const firstFlexible, byID = 12, 13
	s := startOfFetch(h, body)
	if s.epoch > 0 {
		return true
	}
	r := &s.rest
	var partitions int32
	switch {
	case h.Version >= byID:
		r.Span(len([16]byte{}))
		partitions = r.CompactArrayLen()
	case h.Version >= firstFlexible:
		r.Span(int(r.Uvarint()) - 1)
		partitions = r.CompactArrayLen()
	default:
		r.Span(int(r.Int16()))
		partitions = r.ArrayLen()
	}
	return r.Ok() && s.topics == 1 && partitions <= 1
}

// fetchTopic is how fetches name a topic: by name or, since version 13, by id.
type fetchTopic struct {
	name string
	id   [16]byte
}

// addUnread adds the partitions that an answer leaves out. What there is to say
// of them, errors included, the broker is asked with another fetch, which need
// not read their records.
func addUnread(c Cluster, x *wire.Exchange, req *kmsg.FetchRequest, resp *kmsg.FetchResponse) (changed bool) {
	if resp.ErrorCode != 0 {
		return false
	}
	unread := unlisted(req, resp)
	if unread == nil {
		return false
	}
	const byName = 12 // the last version that names topics by their names
	ask := kmsg.NewPtrFetchRequest()
	ask.Version, ask.SessionEpoch, ask.IsolationLevel, ask.Topics = max(req.Version, byName), -1, req.IsolationLevel, unread
	answer, err := c.AskAs(x, x.Node, ask)
	if err != nil {
		return false // the cluster was closed
	}
	rest := answer.(*kmsg.FetchResponse)
	for _, rt := range rest.Topics {
		for i := range rt.Partitions {
			p := &rt.Partitions[i]
			p.RecordBatches, p.AbortedTransactions = []byte{}, nil
		}
		at := slices.IndexFunc(resp.Topics, func(t kmsg.FetchResponseTopic) bool {
			return t.Topic == rt.Topic && t.TopicID == rt.TopicID
		})
		if at < 0 {
			resp.Topics = append(resp.Topics, rt)
		} else {
			resp.Topics[at].Partitions = append(resp.Topics[at].Partitions, rt.Partitions...)
		}
	}
	if len(resp.Brokers) == 0 {
		resp.Brokers = rest.Brokers
	}
	return true
}

// unlisted is what an answer does not list of a request, to be asked for with as
// few records as possible; nil when it lists everything.
func unlisted(req *kmsg.FetchRequest, resp *kmsg.FetchResponse) (out []kmsg.FetchRequestTopic) {
	asked, listed := 0, 0
	for _, t := range req.Topics {
		asked += len(t.Partitions)
	}
	for _, t := range resp.Topics {
		listed += len(t.Partitions)
	}
	if listed >= asked {
		return nil
	}
	type partition struct {
		fetchTopic
		id int32
	}
	seen := make(map[partition]bool, asked)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			seen[partition{fetchTopic{t.Topic, t.TopicID}, p.Partition}] = true
		}
	}
	for _, t := range req.Topics {
		rest := t
		rest.Partitions = nil
		for _, p := range t.Partitions {
			is := partition{fetchTopic{t.Topic, t.TopicID}, p.Partition}
			if seen[is] {
				continue
			}
			seen[is] = true
			p.PartitionMaxBytes = 0
			rest.Partitions = append(rest.Partitions, p)
		}
		if rest.Partitions != nil {
			out = append(out, rest)
		}
	}
	return out
}

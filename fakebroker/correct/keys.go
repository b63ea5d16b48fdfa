package correct

import (
	"fmt"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func keying(c Cluster) []Correction {
	const rule = "a compacted topic takes no record without a key"
	decompressor := sync.OnceValue(func() kgo.Decompressor { return c.Decompressor() })
	return []Correction{
		{
			Rule: judging(c, rule, func() topicSet { return c.Compaction() }, func(topic string) judge {
				if _, is := c.Compaction().get(topic); !is {
					return nil
				}
				return func(at place, batch []byte) ([]byte, *refusal) {
					without := keyless(batch, decompressor())
					if len(without) == 0 {
						return batch, nil
					}
					return nil, refuseKeyless(fmt.Sprintf("%s-%d", at.topic, at.partition), without)
				}
			}),
			Restores:  "LogValidator: a batch with a record without key is refused with INVALID_RECORD and the records (KIP-467), when cleanup.policy has compact",
			Upstream:  "00_produce.go takes it",
			Behaviour: "topics/a compacted topic takes no record without a key",
		},
	}
}

// refuseKeyless is the answer for a partition of which these records have no key.
func refuseKeyless(partition string, records []int32) *refusal {
	const shown = 3
	message := "Compacted topic cannot accept message without key in topic partition " + partition
	var wrong []wrongRecord
	var first []string
	for _, i := range records {
		wrong = append(wrong, wrongRecord{i, message})
		if len(first) < shown {
			first = append(first, fmt.Sprintf("RecordError(batchIndex=%d, message='%s')", i, message))
		}
	}
	return &refusal{kerr.InvalidRecord.Code, fmt.Sprintf(
		"One or more records have been rejected due to %d record errors in total, and only showing the first three errors at most: [%s]",
		len(records), strings.Join(first, ", ")), wrong, true}
}

// keyless lists the records of a batch that have no key, by their place in it. It
// is nil for what is no batch, which the broker refuses by itself.
func keyless(batch []byte, d kgo.Decompressor) (out []int32) {
	var b kmsg.RecordBatch
	if b.ReadFrom(batch) != nil || b.Magic != 2 {
		return nil
	}
	eachRecord(&b, d, func(r record) {
		if r.key < 0 {
			out = append(out, r.at)
		}
	})
	return out
}

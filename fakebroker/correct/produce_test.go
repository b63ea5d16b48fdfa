package correct

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// Records are many, and seldom refused.
func TestProducing_onlyRefusalsAreDecoded(t *testing.T) {
	for _, rule := range producing(nil) {
		for v := int16(3); v <= 13; v++ {
			for _, code := range []int16{0, kerr.InvalidTxnState.Code} {
				resp := kmsg.NewPtrProduceResponse()
				resp.Version = v
				rt := kmsg.NewProduceResponseTopic()
				rt.Topic = "orders"
				for partition := range int32(3) {
					rp := kmsg.NewProduceResponseTopicPartition()
					rp.LogStartOffset = 0
					if rp.Partition = partition; partition == 1 {
						rp.ErrorCode = code
					}
					rt.Partitions = append(rt.Partitions, rp)
				}
				resp.Topics = append(resp.Topics, rt)
				h := wire.Header{Key: kmsg.Produce, Version: v}
				answer := []byte{0, 0, 0, 1}
				if resp.IsFlexible() {
					answer = append(answer, 0) // tags of the header
				}
				answer = resp.AppendTo(answer)
				if skipped := rule.Skip != nil && rule.Skip(h, answer); skipped != (code == 0) {
					t.Errorf("v%d with error code %d: skipped is %v", v, code, skipped)
				}
			}
		}
	}
}

package main

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/adapter"
)

// messageLine is a record as one line.
func messageLine(m *adapter.Message) string {
	return line(m.Topic, m.Partition, m.Offset, m.Key, m.Headers, m.Value)
}

// recordLine is a record as one line.
func recordLine(r *kgo.Record) string {
	headers := make([]adapter.Header, 0, len(r.Headers))
	for _, h := range r.Headers {
		headers = append(headers, adapter.Header{Key: h.Key, Value: h.Value})
	}
	return line(r.Topic, r.Partition, r.Offset, r.Key, headers, r.Value)
}

func line(topic string, partition int32, offset int64, key []byte, headers []adapter.Header, data []byte) string {
	hs := make([]string, 0, len(headers))
	for _, h := range headers {
		hs = append(hs, shown([]byte(h.Key), " ,=}")+"="+shown(h.Value, " ,}"))
	}
	// The data comes last, so that it may have blanks.
	return fmt.Sprintf("%s[%d]@%d key=%s headers={%s} data=%s",
		topic, partition, offset, shown(key, " "), strings.Join(hs, ", "), shown(data, ""))
}

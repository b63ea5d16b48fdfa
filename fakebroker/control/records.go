package control

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control/controlclient"
)

// Bounds of a page of records.
const (
	defaultLimit = 100
	maxLimit     = 10_000
	maxPageBytes = 16 << 20 // of keys, values and headers
)

// query is which records are asked for.
type query struct {
	partitions []int32
	from, to   int64
	key        []byte
	headers    []string
	limit      int
	cursor     *cursor
}

// cursor is the record to go on with.
type cursor struct {
	partition int32
	offset    int64
}

func (c cursor) String() string { return fmt.Sprintf("%d:%d", c.partition, c.offset) }

func parseCursor(s string) (c cursor, err error) {
	partition, offset, _ := strings.Cut(s, ":")
	n, err := strconv.ParseInt(partition, 10, 32)
	if err == nil {
		c.partition = int32(n)
		c.offset, err = strconv.ParseInt(offset, 10, 64)
	}
	if err != nil || c.partition < 0 || c.offset < 0 {
		return c, bad("cursor", "%q is not the next of a page", s)
	}
	return c, nil
}

// recordParameters are those that parseQuery knows.
var recordParameters = []string{"partition", "from", "to", "limit", "key", "key_base64", "header", "cursor"}

func parseQuery(values url.Values) (q query, err error) {
	q.limit = defaultLimit
	number := func(name, s string, low, high int64) int64 {
		n, e := strconv.ParseInt(s, 10, 64)
		if err == nil && (e != nil || n < low || n > high) {
			err = bad(name, "%q is not a number from %d to %d", s, low, high)
		}
		return n
	}
	for _, name := range recordParameters {
		all := values[name]
		for _, s := range all {
			switch name {
			case "partition":
				q.partitions = append(q.partitions, int32(number(name, s, 0, 1<<31-1)))
			case "from":
				q.from = number(name, s, 0, 1<<63-1)
			case "to":
				q.to = number(name, s, 0, 1<<63-1)
			case "limit":
				q.limit = int(number(name, s, 1, maxLimit))
			case "key":
				q.key = []byte(s)
			case "key_base64":
				if q.key, err = base64.StdEncoding.DecodeString(s); err != nil {
					return q, bad(name, "%v", err)
				}
			case "header":
				q.headers = append(q.headers, s)
			case "cursor":
				c, e := parseCursor(s)
				if e != nil {
					return q, e
				}
				q.cursor = &c
			}
			if err != nil {
				return q, err
			}
		}
		if len(all) > 1 && name != "partition" && name != "header" {
			return q, bad(name, "is there more than once")
		}
	}
	if values.Has("key") && values.Has("key_base64") {
		return q, bad("key", "is there as key and as key_base64; leave one out")
	}
	return q, nil
}

func (q query) matches(r fakebroker.Record) bool {
	if q.key != nil && (r.Key == nil || !bytes.Equal(q.key, r.Key)) {
		return false
	}
	for _, h := range q.headers {
		name, value, valued := strings.Cut(h, "=")
		if !slices.ContainsFunc(r.Headers, func(h fakebroker.Header) bool {
			return h.Key == name && (!valued || string(h.Value) == value)
		}) {
			return false
		}
	}
	return true
}

func (a *api) records(r *http.Request) (int, any, error) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		return 0, nil, err
	}
	topic := r.PathValue("topic")
	parts, err := a.broker.Partitions(topic)
	if err != nil {
		return 0, nil, err
	}
	for _, n := range q.partitions {
		if int(n) >= len(parts) {
			return 0, nil, bad("partition", "topic %s has no partition %d, only %d partitions", topic, n, len(parts))
		}
	}
	page := struct {
		Records []controlclient.Record `json:"records"`
		Next    string                 `json:"next,omitempty"`
	}{Records: []controlclient.Record{}}
	size := 0
	for n := range int32(len(parts)) {
		from := q.from
		switch {
		case len(q.partitions) > 0 && !slices.Contains(q.partitions, n):
			continue
		case q.cursor != nil && n < q.cursor.partition:
			continue
		case q.cursor != nil && n == q.cursor.partition:
			from = max(from, q.cursor.offset)
		}
		for rec, err := range a.broker.Scan(topic, fakebroker.Selection{Partitions: []int32{n}, From: from, To: q.to}) {
			if err == nil {
				err = r.Context().Err()
			}
			if err != nil {
				return 0, nil, err
			}
			if !q.matches(rec) {
				continue
			}
			if len(page.Records) == q.limit || size > maxPageBytes {
				page.Next = cursor{n, rec.Offset}.String()
				return http.StatusOK, page, nil
			}
			page.Records = append(page.Records, asRecord(rec))
			size += len(rec.Key) + len(rec.Value)
			for _, h := range rec.Headers {
				size += len(h.Key) + len(h.Value)
			}
		}
	}
	return http.StatusOK, page, nil
}

func asRecord(r fakebroker.Record) controlclient.Record {
	out := controlclient.Record{Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC(), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, controlclient.Header(h))
	}
	return out
}

func (a *api) produce(r *http.Request) (int, any, error) {
	var in struct {
		Records []controlclient.NewRecord `json:"records"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	if len(in.Records) == 0 {
		return 0, nil, bad("records", "there are none")
	}
	topic := r.PathValue("topic")
	parts, err := a.broker.Partitions(topic)
	if err != nil {
		return 0, nil, err
	}
	records := make([]fakebroker.Record, len(in.Records))
	for i, n := range in.Records {
		out := fakebroker.Record{Partition: fakebroker.AnyPartition, Timestamp: n.Timestamp, Key: n.Key, Value: n.Value}
		for _, h := range n.Headers {
			out.Headers = append(out.Headers, fakebroker.Header(h))
		}
		if n.Partition != nil {
			if *n.Partition < 0 || int(*n.Partition) >= len(parts) {
				return 0, nil, bad(fmt.Sprintf("records[%d].partition", i), "topic %s has no partition %d, only %d partitions", topic, *n.Partition, len(parts))
			}
			out.Partition = *n.Partition
		}
		records[i] = out
	}
	written, err := a.broker.Append(r.Context(), topic, records...)
	if errors.Is(err, fakebroker.ErrInvalidTopic) { // which is in the path
		return 0, nil, err
	}
	if err != nil {
		return 0, nil, inField("records", err)
	}
	out := make([]controlclient.Written, len(written))
	for i, w := range written {
		out[i] = controlclient.Written{Partition: w.Partition, Offset: w.Offset, Timestamp: w.Timestamp.UTC()}
	}
	return http.StatusCreated, struct {
		Records []controlclient.Written `json:"records"`
	}{out}, nil
}

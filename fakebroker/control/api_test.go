package control_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control/controlclient"
)

func TestTopics(t *testing.T) {
	b, s := serve(t, orders(2))
	c := client(t, s)
	noError(t, c.CreateTopic(t.Context(), controlclient.Topic{Name: "audit", Partitions: 3, Configs: map[string]string{"cleanup.policy": "compact"}}))
	noError(t, c.CreateTopic(t.Context(), controlclient.Topic{Name: "one"}))
	topics, err := c.Topics(t.Context())
	noError(t, err)
	equal(t, "topics", len(topics), 3)
	equal(t, "configs", topics[0].Configs["cleanup.policy"], "compact")
	audit, err := c.Topic(t.Context(), "audit")
	noError(t, err)
	equal(t, "partitions", len(audit.PartitionDetails), 3)
	equal(t, "end", audit.PartitionDetails[2].EndOfData, 0)

	equal(t, "twice", problem(t, c.CreateTopic(t.Context(), controlclient.Topic{Name: "audit"})).Status, http.StatusConflict)
	noError(t, c.DeleteTopic(t.Context(), "audit"))
	gone := problem(t, c.DeleteTopic(t.Context(), "audit"))
	equal(t, "gone", gone.Status, http.StatusNotFound)
	equal(t, "why", gone.Detail, `there is no topic "audit"`)
	_, err = c.Topic(t.Context(), "audit")
	equal(t, "gone", problem(t, err).Status, http.StatusNotFound)
	equal(t, "topics", len(b.Topics()), 2)
}

func TestRecords_bytesOfAnyKind(t *testing.T) {
	b, s := serve(t, orders(1))
	c := client(t, s)
	at := time.UnixMilli(1_700_000_000_123).UTC()
	zero := int32(0)
	in := []controlclient.NewRecord{
		{Key: []byte("k"), Value: []byte(`<"text" & more>`), Timestamp: at, Headers: []controlclient.Header{{Key: "h", Value: []byte("v")}, {Key: "h"}, {Key: "b", Value: []byte{0xff}}}},
		{Key: []byte{0xff, 0}, Value: []byte{0xfe}, Partition: &zero},
		{},
		{Key: []byte{}, Value: []byte{}},
	}
	written, err := c.Produce(t.Context(), "orders", in...)
	noError(t, err)
	equal(t, "offset", written[3].Offset, 3)
	var got []controlclient.Record
	for r, err := range c.Records(t.Context(), "orders", controlclient.Filter{}) {
		noError(t, err)
		got = append(got, r)
	}
	equal(t, "records", len(got), 4)
	for i, r := range got {
		equal(t, "key", r.Key, in[i].Key)
		equal(t, "value", r.Value, in[i].Value)
	}
	equal(t, "timestamp", got[0].Timestamp, at)
	equal(t, "headers", got[0].Headers, in[0].Headers)
	stored, err := b.Records("orders")
	noError(t, err)
	equal(t, "on the broker", stored[1].Key, in[1].Key)
}

func TestRecords_jsonIsWrittenAsItStands(t *testing.T) {
	b, s := serve(t, orders(1))
	resp, _ := send(t, transport(t, s), "POST", s.URL()+"/topics/orders/records",
		`{"records": [{"key": 7, "value": {"id": 1, "of": [2]}, "headers": [{"key": "h", "value": true}]}, {"value": "text"}, {"value_base64": "/w=="}]}`)
	equal(t, "status", resp.status, http.StatusCreated)
	got, err := b.Records("orders")
	noError(t, err)
	equal(t, "key", string(got[0].Key), "7")
	equal(t, "value", string(got[0].Value), `{"id":1,"of":[2]}`)
	equal(t, "header", string(got[0].Headers[0].Value), "true")
	equal(t, "value", string(got[1].Value), "text")
	equal(t, "value", got[2].Value, []byte{0xff})
}

func TestRecords_filtersAndPages(t *testing.T) {
	_, s := serve(t, orders(3))
	c := client(t, s)
	var in []controlclient.NewRecord
	for i := range 30 {
		p := int32(i % 3)
		in = append(in, controlclient.NewRecord{
			Partition: &p, Key: fmt.Append(nil, "k", i%2), Value: fmt.Append(nil, i),
			Headers: []controlclient.Header{{Key: "n", Value: fmt.Append(nil, i%5)}},
		})
	}
	_, err := c.Produce(t.Context(), "orders", in...)
	noError(t, err)
	for name, test := range map[string]struct {
		filter controlclient.Filter
		want   func(i int) bool
	}{
		"all":                 {controlclient.Filter{}, func(int) bool { return true }},
		"in pages":            {controlclient.Filter{Limit: 4}, func(int) bool { return true }},
		"a page a record":     {controlclient.Filter{Limit: 1}, func(int) bool { return true }},
		"a partition":         {controlclient.Filter{Partitions: []int32{1}, Limit: 3}, func(i int) bool { return i%3 == 1 }},
		"two partitions":      {controlclient.Filter{Partitions: []int32{2, 0}, Limit: 3}, func(i int) bool { return i%3 != 1 }},
		"offsets":             {controlclient.Filter{From: 2, To: 5, Limit: 2}, func(i int) bool { return i/3 >= 2 && i/3 < 5 }},
		"a key":               {controlclient.Filter{Key: []byte("k1"), Limit: 4}, func(i int) bool { return i%2 == 1 }},
		"a key not there":     {controlclient.Filter{Key: []byte{0xff}}, func(int) bool { return false }},
		"a header":            {controlclient.Filter{Headers: []string{"n=3"}}, func(i int) bool { return i%5 == 3 }},
		"a header's name":     {controlclient.Filter{Headers: []string{"n"}}, func(int) bool { return true }},
		"a header not there":  {controlclient.Filter{Headers: []string{"n=3", "m"}}, func(int) bool { return false }},
		"a key and partition": {controlclient.Filter{Key: []byte("k0"), Partitions: []int32{0}, Limit: 1}, func(i int) bool { return i%6 == 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			var want, got []string
			for p := range 3 {
				for i := range 30 {
					if i%3 == p && test.want(i) {
						want = append(want, fmt.Sprint(i))
					}
				}
			}
			for r, err := range c.Records(t.Context(), "orders", test.filter) {
				noError(t, err)
				got = append(got, string(r.Value))
			}
			equal(t, "values", got, want)
		})
	}
}

func TestGroups_membersLagAndReset(t *testing.T) {
	b, s := serve(t, orders(1))
	c := client(t, s)
	_, err := c.Produce(t.Context(), "orders", controlclient.NewRecord{Timestamp: time.UnixMilli(1000)}, controlclient.NewRecord{Timestamp: time.UnixMilli(2000)}, controlclient.NewRecord{})
	noError(t, err)
	cl := kafka(t, b, kgo.ConsumerGroup("a/b"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit(), kgo.ClientID("me"))
	var polled []*kgo.Record
	for len(polled) < 3 {
		polled = append(polled, cl.PollFetches(within(t)).Records()...)
	}
	noError(t, cl.CommitRecords(within(t), polled[0]))
	g, err := c.Group(t.Context(), "a/b")
	noError(t, err)
	equal(t, "type", g.Type, "classic")
	equal(t, "member", g.Members[0].ClientID, "me")
	equal(t, "assignment", g.Members[0].Assignment, map[string][]int32{"orders": {0}})
	equal(t, "lag", g.Offsets[0].Lag, 2)
	if g.Offsets[0].At == nil {
		t.Fatal("no time of the commit")
	}

	_, err = c.ResetOffsets(t.Context(), "a/b", controlclient.Reset{To: controlclient.Earliest})
	equal(t, "with members", problem(t, err).Status, http.StatusConflict)
	cl.Close()
	one, at := int64(1), time.UnixMilli(1500)
	for _, reset := range []struct {
		controlclient.Reset
		want int64
	}{
		{controlclient.Reset{To: controlclient.Earliest}, 0},
		{controlclient.Reset{To: controlclient.Latest}, 3},
		{controlclient.Reset{To: controlclient.AtOffset, Offset: &one, Topic: "orders", Partitions: []int32{0}}, 1},
		{controlclient.Reset{To: controlclient.Latest}, 3},
		{controlclient.Reset{To: controlclient.AtTimestamp, Timestamp: &at}, 1},
	} {
		g, err := c.ResetOffsets(t.Context(), "a/b", reset.Reset)
		noError(t, err)
		equal(t, reset.To, g.Offsets[0].Committed, reset.want)
	}
	all, err := c.Groups(t.Context())
	noError(t, err)
	equal(t, "groups", len(all), 1)
	equal(t, "members", len(all[0].Members), 0)
}

func TestTransactions(t *testing.T) {
	b, s := serve(t, orders(1))
	c := client(t, s)
	cl := kafka(t, b, kgo.TransactionalID("tx"))
	noError(t, cl.BeginTransaction())
	noError(t, cl.ProduceSync(within(t), &kgo.Record{Topic: "orders"}).FirstErr())
	all, err := c.Transactions(t.Context())
	noError(t, err)
	equal(t, "id", all[0].ID, "tx")
	equal(t, "state", all[0].State, "Ongoing")
	equal(t, "partitions", all[0].Partitions, map[string][]int32{"orders": {0}})
	noError(t, cl.EndTransaction(within(t), kgo.TryCommit))
	all, err = c.Transactions(t.Context())
	noError(t, err)
	equal(t, "partitions", len(all[0].Partitions), 0)
}

func TestBrokersVersionAndHealth(t *testing.T) {
	b, s := serve(t, fakebroker.Config{NodeIDs: []int32{4, 5}, Racks: []string{"r", ""}})
	c := client(t, s)
	noError(t, c.Health(t.Context()))
	v, err := c.Version(t.Context())
	noError(t, err)
	equal(t, "version", v, controlclient.Version{Version: "test", Module: "example.com/kafkatest"})
	b.TakeDown(5)
	brokers, err := c.Brokers(t.Context())
	noError(t, err)
	equal(t, "brokers", brokers, []controlclient.Broker{{ID: 4, Addr: b.Addrs()[0], Rack: "r", Up: true}, {ID: 5, Addr: b.Addrs()[1]}})
}

func TestBadInput_namesTheField(t *testing.T) {
	b, s := serve(t, orders(2))
	cases := []struct {
		method, path, body string
		status             int
		field              string
	}{
		{"POST", "/topics", ``, 415, "Content-Type"},
		{"POST", "/topics", ` `, 400, ""},
		{"POST", "/topics", `{`, 400, ""},
		{"POST", "/topics", `[]`, 400, ""},
		{"POST", "/topics", `{} {}`, 400, ""},
		{"POST", "/topics", `{}`, 400, "name"},
		{"POST", "/topics", `{"name": "a b"}`, 400, "name"},
		{"POST", "/topics", `{"name": "a", "partitions": -1}`, 400, "partitions"},
		{"POST", "/topics", `{"name": "a", "partitions": 20000}`, 400, "partitions"},
		{"POST", "/topics", `{"name": "a", "partitions": "2"}`, 400, "partitions"},
		{"POST", "/topics", `{"name": "a", "partition": 2}`, 400, "partition"},
		{"POST", "/topics", `{"name": "a", "configs": {"cleanup.policy": "sometimes"}}`, 400, "configs.cleanup.policy"},
		{"POST", "/topics", `{"name": "a", "configs": {"retention.ms": "1", "no.such": "1", "segment.ms": "x"}}`, 400, "configs.no.such"},
		{"POST", "/topics", `{"name": "a", "configs": {"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"}}`, 400, "configs"},
		{"POST", "/topics", `{"name": "orders"}`, 409, "name"},
		{"GET", "/topics/nothing", ``, 404, ""},
		{"GET", "/topics/nothing/records", ``, 404, ""},
		{"GET", "/topics/orders/records?limit=0", ``, 400, "limit"},
		{"GET", "/topics/orders/records?limit=10001", ``, 400, "limit"},
		{"GET", "/topics/orders/records?limit=1&limit=2", ``, 400, "limit"},
		{"GET", "/topics/orders/records?from=-1", ``, 400, "from"},
		{"GET", "/topics/orders/records?to=x", ``, 400, "to"},
		{"GET", "/topics/orders/records?partition=2", ``, 400, "partition"},
		{"GET", "/topics/orders/records?partition=-2", ``, 400, "partition"},
		{"GET", "/topics/orders/records?cursor=x", ``, 400, "cursor"},
		{"GET", "/topics/orders/records?cursor=1:-1", ``, 400, "cursor"},
		{"GET", "/topics/orders/records?key_base64=*", ``, 400, "key_base64"},
		{"GET", "/topics/orders/records?key=a&key_base64=YQ==", ``, 400, "key"},
		{"GET", "/topics/orders/records?offset=1", ``, 400, "offset"},
		{"GET", "/topics/orders/records?limit=x&key_base64=YQ==", ``, 400, "limit"},
		{"GET", "/topics/orders/records?limit=x&to=x&from=x&partition=x", ``, 400, "partition"},
		{"GET", "/topics/orders/records?b=1&a=1&c=1", ``, 400, "a"},
		{"GET", "/topics/orders/records?partition=0&key=%zz", ``, 400, "key"},
		{"GET", "/topics/orders/records?key=a;limit=1", ``, 400, "key"},
		{"GET", "/topics?partition=1", ``, 400, "partition"},
		{"DELETE", "/faults?id=7", ``, 400, "id"},
		{"DELETE", "/topics/orders?if=empty", ``, 400, "if"},
		{"GET", "/health?%", ``, 400, "%"},
		{"POST", "/topics/nothing/records", `{"records": [{}]}`, 404, ""},
		{"POST", "/topics/orders/records", `{}`, 400, "records"},
		{"POST", "/topics/orders/records", `{"records": [{"partition": 2}]}`, 400, "records[0].partition"},
		{"POST", "/topics/orders/records", `{"records": [{}, {"partition": -1}]}`, 400, "records[1].partition"},
		{"POST", "/topics/orders/records", `{"records": [{"value_base64": "*"}]}`, 400, "records[0].value_base64"},
		{"POST", "/topics/orders/records", `{"records": [{"value": "a", "value_base64": "YQ=="}]}`, 400, "records[0].value"},
		{"POST", "/topics/orders/records", `{"records": [{"headers": [{"value": "a"}]}]}`, 400, "records[0].headers[0].key"},
		{"POST", "/topics/orders/records", `{"records": [{}, {"valeu": "a"}]}`, 400, "records[1].valeu"},
		{"POST", "/topics/orders/records", `{"records": [{"timestamp": "yesterday"}]}`, 400, "records[0].timestamp"},
		{"POST", "/topics/orders/records", `{"records": [{"value": "` + strings.Repeat("x", 2<<20) + `"}]}`, 400, "records"},
		{"POST", "/topics/orders/records", `{"records": [{"headers": [{"key": "a"}, {"key": "b", "vlaue": "a"}]}]}`, 400, "records[0].headers[1].vlaue"},
		{"POST", "/topics/orders/records", `{"records": [{"headers": [{"key": "a", "key": "b"}]}]}`, 400, "records[0].headers[0].key"},
		{"POST", "/topics/orders/records", `{"records": [{"headers": [{"key": 7}]}]}`, 400, "records[0].headers[0].key"},
		{"POST", "/topics/orders/records", `{"records": [{"headers": [{"key": "a", "value_base64": "*"}]}]}`, 400, "records[0].headers[0].value_base64"},
		{"POST", "/topics/orders/records", `{"records": [{"value": 1, "value": "y"}]}`, 400, "records[0].value"},
		{"POST", "/topics/orders/records", `{"records": {}}`, 400, "records"},
		{"POST", "/topics/orders/records", `{"records": [7]}`, 400, "records[0]"},
		{"POST", "/topics", `{"name": "a", "configs": {"retention.ms": 5}}`, 400, "configs.retention.ms"},
		{"POST", "/topics", `{"name": "a", "configs": {"retention.ms": "5", "retention.ms": "6"}}`, 400, "configs.retention.ms"},
		{"POST", "/topics", `{"name": "a", "Name": "b"}`, 400, "Name"},
		{"POST", "/topics", `{"name": "a", "partitions": 3000000000}`, 400, "partitions"},
		{"POST", "/faults", `{"fault": "drop-after", "scope": {"api": ["Produce"]}}`, 400, "scope.api"},
		{"POST", "/faults", `{"fault": "drop-after", "scope": {"topic": "a b"}}`, 400, "scope.topic"},
		{"POST", "/faults", `{"fault": "drop-after", "scope": {"topic": "a", "topic": "b"}}`, 400, "scope.topic"},
		{"POST", "/faults", `{"fault": "take-down", "broker": 0, "broker": 0}`, 400, "broker"},
		{"POST", "/faults", `{"FAULT": "take-down", "broker": 0}`, 400, "FAULT"},
		{"POST", "/faults", `{"fault": "move-coordinator", "broker": 0, "group": "g"}`, 409, "broker"},
		{"POST", "/faults", `{"fault": "move-coordinator", "broker": 0, "transactional_id": "t"}`, 409, "broker"},
		{"GET", "/groups/nothing", ``, 404, ""},
		{"POST", "/groups/nothing/reset", `{"to": "earliest"}`, 404, ""},
		{"POST", "/groups/g/reset", `{}`, 400, "to"},
		{"POST", "/groups/g/reset", `{"to": "middle"}`, 400, "to"},
		{"POST", "/groups/g/reset", `{"to": "offset"}`, 400, "offset"},
		{"POST", "/groups/g/reset", `{"to": "offset", "offset": -1}`, 400, "offset"},
		{"POST", "/groups/g/reset", `{"to": "timestamp"}`, 400, "timestamp"},
		{"POST", "/groups/g/reset", `{"to": "latest", "offset": 1}`, 400, "offset"},
		{"POST", "/groups/g/reset", `{"to": "latest", "timestamp": "2024-01-01T00:00:00Z"}`, 400, "timestamp"},
		{"POST", "/groups/g/reset", `{"to": "latest", "topic": "nothing"}`, 400, "topic"},
		{"POST", "/groups/g/reset", `{"to": "latest", "topic": "orders", "partitions": [7]}`, 400, "partitions[0]"},
		{"POST", "/faults", `{}`, 400, "fault"},
		{"POST", "/faults", `{"fault": "explode"}`, 400, "fault"},
		{"POST", "/faults", `{"fault": "refuse", "error": "NO_SUCH"}`, 400, "error"},
		{"POST", "/faults", `{"fault": "refuse", "broker": 0}`, 400, "broker"},
		{"POST", "/faults", `{"fault": "delay"}`, 400, "delay_ms"},
		{"POST", "/faults", `{"fault": "delay", "delay_ms": -1}`, 400, "delay_ms"},
		{"POST", "/faults", `{"fault": "drop-after", "scope": {"apis": ["Produce", "Reduce"]}}`, 400, "scope.apis[1]"},
		{"POST", "/faults", `{"fault": "drop-after", "scope": {"count": -1}}`, 400, "scope.count"},
		{"POST", "/faults", `{"fault": "drop-after", "scope": {"nth": -1}}`, 400, "scope.nth"},
		{"POST", "/faults", `{"fault": "drop-after", "scope": {"nth": "first"}}`, 400, "scope.nth"},
		{"POST", "/faults", `{"fault": "drop-after", "scope": {"partitions": [-1]}}`, 400, "scope.partitions[0]"},
		{"POST", "/faults", `{"fault": "drop-after", "scope": {"brokers": [0, 9]}}`, 400, "scope.brokers[1]"},
		{"POST", "/faults", `{"fault": "take-down"}`, 400, "broker"},
		{"POST", "/faults", `{"fault": "take-down", "broker": 9}`, 400, "broker"},
		{"POST", "/faults", `{"fault": "take-down", "broker": 0, "scope": {"topic": "orders"}}`, 400, "scope"},
		{"POST", "/faults", `{"fault": "move-leader", "broker": 0, "topic": "nothing", "partition": 0}`, 400, "topic"},
		{"POST", "/faults", `{"fault": "move-leader", "broker": 0, "topic": "orders"}`, 400, "partition"},
		{"POST", "/faults", `{"fault": "move-leader", "broker": 0, "topic": "orders", "partition": 2}`, 400, "partition"},
		{"POST", "/faults", `{"fault": "move-coordinator", "broker": 0}`, 400, "group"},
		{"POST", "/faults", `{"fault": "move-coordinator", "broker": 0, "group": "g", "transactional_id": "t"}`, 400, "group"},
		{"POST", "/faults", `{"fault": "refuse", "broker": 0, "group": "g", "topic": "orders", "partition": 0, "delay_ms": 1}`, 400, "broker"},
		{"POST", "/faults", `{"fault": "move-leader", "broker": 0, "topic": "orders", "partition": 0}`, 409, "broker"},
		{"POST", "/faults", `{"fault": "expire-session"}`, 409, "scope"},
		{"POST", "/faults", `{"fault": "expire-session", "scope": {"client_id": "nobody"}}`, 409, "scope"},
		{"POST", "/faults", `{"fault": "expire-session", "scope": {"group": "nothing"}}`, 409, "scope.group"},
		{"POST", "/faults", `{"fault": "expire-session", "scope": {"apis": ["Heartbeat"]}}`, 400, "scope.apis"},
		{"POST", "/faults", `{"fault": "cut-off", "scope": {"apis": ["Produce"]}}`, 400, "scope.apis"},
		{"POST", "/faults", `{"fault": "cut-off", "scope": {"topic": "orders"}}`, 400, "scope.topic"},
		{"POST", "/faults", `{"fault": "cut-off", "scope": {"partitions": [0]}}`, 400, "scope.partitions"},
		{"POST", "/faults", `{"fault": "cut-off", "scope": {"group": "g"}}`, 400, "scope.group"},
		{"POST", "/faults", `{"fault": "cut-off", "scope": {"remote": "localhost"}}`, 400, "scope.remote"},
		{"POST", "/faults", `{"fault": "cut-off", "scope": {"remote": "127.0.0.1:x"}}`, 400, "scope.remote"},
		{"POST", "/faults", `{"fault": "cut-off", "scope": {"remote": "0::1"}}`, 400, "scope.remote"},
		{"POST", "/faults", `{"fault": "forget-topic", "scope": {"group": "g"}}`, 400, "scope.group"},
		{"POST", "/faults", `{"fault": "forget-topic", "scope": {"apis": ["Heartbeat"]}}`, 400, "scope.apis"},
		{"POST", "/faults", `{"fault": "drop-after", "scope": {"apis": ["Heartbeat"], "topic": "orders"}}`, 400, "scope.topic"},
		{"POST", "/faults", `{"fault": "delay", "delay_ms": 1, "scope": {"apis": ["Metadata"], "partitions": [0]}}`, 400, "scope.partitions"},
		{"POST", "/faults", `{"fault": "refuse", "scope": {"apis": ["Produce", "Fetch"], "group": "g"}}`, 400, "scope.group"},
		{"GET", "/faults/7", ``, 404, ""},
		{"DELETE", "/faults/7", ``, 404, ""},
	}
	for _, c := range cases {
		t.Run(strings.Join(strings.Fields(c.method+c.path+c.body[:min(len(c.body), 80)]), ""), func(t *testing.T) {
			resp, p := send(t, transport(t, s), c.method, s.URL()+c.path, c.body)
			equal(t, "status of "+p.Detail, resp.status, c.status)
			equal(t, "field of "+p.Detail, p.Field, c.field)
			if p.Detail == "" || p.Title == "" {
				t.Fatalf("%+v says nothing", p)
			}
		})
	}
	equal(t, "topics", len(b.Topics()), 1)
	equal(t, "groups", len(b.Groups()), 0)
	records, err := b.Records("orders")
	noError(t, err)
	equal(t, "records", len(records), 0)
	faults, err := client(t, s).Faults(t.Context())
	noError(t, err)
	equal(t, "faults", len(faults), 0)
	if slices.ContainsFunc(b.Nodes(), func(n fakebroker.Node) bool { return !n.Up }) {
		t.Fatal("a broker is down")
	}
}

func TestRecords_takesWhatTheTopicTakes(t *testing.T) {
	b, s := serve(t, fakebroker.Config{BrokerConfig: map[string]string{"message.max.bytes": "5000000"}, Topics: []fakebroker.Topic{{Name: "big"}}})
	c := client(t, s)
	_, err := c.Produce(t.Context(), "big", controlclient.NewRecord{Value: []byte(strings.Repeat("x", 2_000_000))})
	noError(t, err)
	got, err := b.Records("big")
	noError(t, err)
	equal(t, "records", len(got), 1)
}

func TestRecords_internalTopicsAreNotWritten(t *testing.T) {
	b, s := serve(t, orders(1))
	kadm.NewClient(kafka(t, b)).FindGroupCoordinators(within(t), "g") // makes it
	c := client(t, s)
	_, err := c.Produce(t.Context(), "__consumer_offsets", controlclient.NewRecord{Key: []byte("k")})
	p := problem(t, err)
	equal(t, "status", p.Status, http.StatusBadRequest)
	equal(t, "field", p.Field, "")
	equal(t, "says", strings.Contains(p.Detail, "internal"), true)
}

func TestBadInput_saysWhatIsMeant(t *testing.T) {
	_, s := serve(t, orders(1))
	for _, c := range []struct{ path, body, says string }{
		{"/faults", `{"fault": "refus"}`, `did you mean "refuse"?`},
		{"/faults", `{"fualt": "refuse"}`, `did you mean "fault"?`},
		{"/faults", `{"FAULT": "refuse"}`, `did you mean "fault"?`},
		{"/faults", `{"fault": "delay", "delay_ms": 9223372036854775807}`, "from 1 to 9223372036854"},
		{"/faults", `{"fault": "delay", "delay_ms": 99999999999999999999}`, "99999999999999999999 is not a whole number from -9223372036854775808 to 9223372036854775807"},
		{"/faults", `{"fault": "delay", "delay_ms": 1.5}`, "1.5 is not a whole number"},
		{"/faults", `[]`, "[] is not an object"},
		{"/faults", `null`, "null is not an object"},
		{"/faults", `{"fault": "cut-off", "scope": 7}`, "7 is not an object"},
		{"/faults", `{"fault": "cut-off", "scope": {"brokers": 7}}`, "7 is not a list"},
		{"/faults", `{"fault": 7}`, "7 is not a string"},
		{"/topics/orders/records", `{"records": [{"timestamp": "today"}]}`, `"today" is not a time, such as 2006-01-02T15:04:05Z`},
		{"/topics", `{"name": "a", "partitions": "2"}`, `"2" is not a whole number from -2147483648 to 2147483647`},
	} {
		_, p := send(t, transport(t, s), "POST", s.URL()+c.path, c.body)
		if p.Status != http.StatusBadRequest || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s: %d %q, want %q", c.body, p.Status, p.Detail, c.says)
		}
	}
}

func TestReset_saysThatThereIsNothingToMove(t *testing.T) {
	b, s := serve(t, orders(1))
	cl := kafka(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"))
	for len(b.Groups()) == 0 || len(b.Groups()[0].Members) == 0 {
		ctx, cancel := context.WithTimeout(within(t), 50*time.Millisecond)
		cl.PollFetches(ctx)
		cancel()
	}
	g, _ := b.Group("g")
	equal(t, "host", g.Members[0].ClientHost, "/127.0.0.1")
	cl.Close()
	c := client(t, s)
	g, _ = b.Group("g")
	equal(t, "offsets", len(g.Offsets), 0)
	_, err := c.ResetOffsets(t.Context(), "g", controlclient.Reset{To: controlclient.Earliest})
	p := problem(t, err)
	equal(t, "status", p.Status, http.StatusConflict)
	equal(t, "field", p.Field, "topic")
	_, err = c.ResetOffsets(t.Context(), "g", controlclient.Reset{To: controlclient.Earliest, Topic: "orders"})
	noError(t, err)
	_, err = c.ResetOffsets(t.Context(), "g", controlclient.Reset{To: controlclient.Latest})
	noError(t, err)
}

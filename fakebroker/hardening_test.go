package fakebroker_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/wire"
	"example.com/kafkatest/fakebroker/wire/shape"
)

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	noError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func frame(version int16, req kmsg.Request) []byte {
	req.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw")).AppendRequest(nil, req, 1)
}

func TestBadClient_doesNotDisturbAGoodOne(t *testing.T) {
	for name, bad := range map[string][]byte{
		"not Kafka":             []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"length below zero":     {0xff, 0xff, 0xff, 0xff},
		"length beyond any":     {0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 9},
		"half a length":         {0, 0},
		"half a frame":          frame(9, kmsg.NewPtrMetadataRequest())[:10],
		"unknown API":           {0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
		"unknown version":       frame(99, kmsg.NewPtrMetadataRequest()),
		"client id beyond":      {0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff},
		"an array of billions":  {0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff},
		"billions of tags":      append([]byte{0, 0, 0, 15, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0}, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"a varint that goes on": append([]byte{0, 0, 0, 20, 0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff}, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			b := orders(1).Run(t)
			good := client(t, b)
			produce(t, good, "orders", 0, 1)
			conn := dial(t, b.Addrs()[0])
			_, err := conn.Write(bad)
			noError(t, err)
			produce(t, good, "orders", 1, 1)
			equal(t, "records", len(values(t, b, "orders")), 2)
		})
	}
}

// Who counted to the tags that a request announces, or made room for its elements,
// would do nothing else for a while.
func TestHugeCounts_doNotDisturbAGoodClient(t *testing.T) {
	b := orders(1).Run(t)
	good := client(t, b)
	produce(t, good, "orders", 0, 1)
	flexible := 0
	for key := range kmsg.Key(kmsg.MaxKey + 1) {
		req := kmsg.RequestForKey(key.Int16())
		if req == nil {
			continue
		}
		for v := range req.MaxVersion() + 1 {
			for what, bad := range hugeCounts(req, v) {
				conn := dial(t, b.Addrs()[0])
				_, err := conn.Write(bad)
				noError(t, err)
				if n := answered(t, conn); n > 0 {
					t.Errorf("%s v%d with %s is answered with %d bytes", key.Name(), v, what, n)
				}
			}
			if req.IsFlexible() {
				flexible++
			}
		}
	}
	if flexible < 100 {
		t.Errorf("only %d versions have tags", flexible)
	}
	produce(t, good, "orders", 1, 1)
	equal(t, "records", len(values(t, b, "orders")), 2)
}

// hugeCounts are requests in a version, each of which says that there is more of
// something than there is.
func hugeCounts(req kmsg.Request, version int16) map[string][]byte {
	const many = 1<<31 - 1
	out := make(map[string][]byte)
	whole := frame(version, req)
	last := whole[len(whole)-1:]
	if req.IsFlexible() {
		out["tags"] = resized(whole[:len(whole)-len(last)], binary.AppendUvarint(nil, many))
		out["tags and some bytes"] = resized(whole[:len(whole)-len(last)], append(binary.AppendUvarint(nil, many), make([]byte, 10_000)...))
	}
	r := reflect.ValueOf(req).Elem()
	for i := range r.NumField() {
		f, name := r.Field(i), r.Type().Field(i).Name
		if f.Kind() != reflect.Slice || f.Type().Elem().Kind() == reflect.Uint8 {
			continue
		}
		f.Set(reflect.MakeSlice(f.Type(), 1, 1))
		with := frame(version, req)
		f.Set(reflect.MakeSlice(f.Type(), 0, 0))
		without := frame(version, req)
		f.SetZero()
		at := 4 // behind the length: where the two begin to differ
		for at < len(without) && with[at] == without[at] {
			at++
		}
		switch {
		case at == len(without):
			// not in this version, or among its tags
		case req.IsFlexible() && without[at] == 1:
			out[name] = resized(without[:at], binary.AppendUvarint(nil, many))
		case !req.IsFlexible() && without[at] == 0:
			out[name] = resized(without[:at-3], binary.BigEndian.AppendUint32(nil, many))
		}
	}
	return out
}

// resized is a frame with other bytes behind those that it begins with.
func resized(begins, ends []byte) []byte {
	b := append(bytes.Clone(begins), ends...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// answered is how many bytes come before the broker hangs up, which it is to do.
func answered(t *testing.T, conn net.Conn) int64 {
	t.Helper()
	noError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	n, err := io.Copy(io.Discard, conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection of a client that sends nonsense is still open")
	}
	return n
}

// Every version that the broker names can be asked.
func TestVersions_thatAreNamedAreTaken(t *testing.T) {
	for _, as := range append([]string{""}, fakebroker.Releases()...) {
		t.Run(cmp.Or(as, "Kafka's"), func(t *testing.T) {
			b := fakebroker.Config{AsVersion: as}.Run(t)
			conn := dial(t, b.Addrs()[0])
			resp, err := wire.Ask(within(t), conn, "good", kmsg.NewPtrApiVersionsRequest())
			if err != nil {
				t.Skip("the release has no ApiVersions")
			}
			for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
				for v := k.MinVersion; v <= k.MaxVersion; v++ {
					if err := new(shape.Walk).Start(kmsg.Key(k.ApiKey), v, 0); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

// Answers wait for a client that does not read them, other clients do not.
func TestSlowClient_doesNotDisturbAGoodOne(t *testing.T) {
	b := orders(1).Run(t)
	good := client(t, b)
	big := make([]byte, 512<<10)
	for range 8 {
		noError(t, good.ProduceSync(within(t), &kgo.Record{Topic: "orders", Value: big}).FirstErr())
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.MaxBytes, fetch.ReplicaID, fetch.SessionEpoch = 64<<20, -1, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = "orders"
	part := kmsg.NewFetchRequestTopicPartition()
	part.PartitionMaxBytes, part.CurrentLeaderEpoch = 64<<20, -1
	topic.Partitions = append(topic.Partitions, part)
	fetch.Topics = append(fetch.Topics, topic)
	ask := frame(12, fetch)

	const clients, requests = 20, 50
	for range clients {
		conn := dial(t, b.Addrs()[0])
		go func() { // 200 MiB of answers each, of which nobody reads any
			for range requests {
				if _, err := conn.Write(ask); err != nil {
					return // the test has ended
				}
			}
		}()
	}
	before := len(values(t, b, "orders"))
	produce(t, good, "orders", 0, 20)
	equal(t, "records", len(values(t, b, "orders")), before+20)
	if used := heap(); used > 500<<20 {
		t.Errorf("%d MiB in use for clients that do not read", used>>20)
	}
}

func TestIdleConnections_areHeld(t *testing.T) {
	const connections = 1000
	b := orders(1).Run(t)
	before := heap()
	idle := make([]net.Conn, connections)
	for i := range idle {
		idle[i] = dial(t, b.Addrs()[0])
		_, err := idle[i].Write(frame(0, kmsg.NewPtrApiVersionsRequest()))
		noError(t, err)
		readAnswer(t, idle[i])
	}
	if used := heap() - before; used > connections*64<<10 {
		t.Errorf("%d KiB in use for each idle connection", used/connections>>10)
	}
	good := client(t, b)
	produce(t, good, "orders", 0, 10)
	equal(t, "records", len(values(t, b, "orders")), 10)
	for _, i := range []int{0, connections / 2, connections - 1} {
		_, err := idle[i].Write(frame(0, kmsg.NewPtrApiVersionsRequest()))
		noError(t, err)
		readAnswer(t, idle[i])
	}
}

// What a frame is said to hold costs nothing until it is there.
func TestAnnouncedFrames_costNothing(t *testing.T) {
	b := orders(1).Run(t)
	before := heap()
	const connections = 100
	for range connections {
		conn := dial(t, b.Addrs()[0])
		head := binary.BigEndian.AppendUint32(nil, 100<<20)
		head = append(head, frame(9, kmsg.NewPtrProduceRequest())[4:]...)
		_, err := conn.Write(head)
		noError(t, err)
	}
	good := client(t, b)
	produce(t, good, "orders", 0, 10)
	if used := heap() - before; used > connections*2<<20 {
		t.Errorf("%d MiB in use for %d frames that were only announced", used>>20, connections)
	}
}

func readAnswer(t *testing.T, conn net.Conn) {
	t.Helper()
	noError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	var size [4]byte
	_, err := io.ReadFull(conn, size[:])
	noError(t, err)
	_, err = io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(size[:])))
	noError(t, err)
}

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestCluster_hundredInOneProcess(t *testing.T) {
	const clusters = 100
	all := make([]*fakebroker.Broker, clusters)
	for i := range all {
		all[i] = fakebroker.Config{Brokers: 3, Topics: []fakebroker.Topic{{Name: "orders", Partitions: 3}}}.Run(t)
	}
	for i, b := range all {
		produce(t, client(t, b), "orders", i, 1)
	}
	for i, b := range all {
		equal(t, "values", values(t, b, "orders"), []string{fmt.Sprint(i)})
	}
}

func TestPartitions_areMadeABoundedNumberOfAtOnce(t *testing.T) {
	for _, brokers := range []int{1, 3} {
		b := fakebroker.Config{Brokers: brokers, Topics: []fakebroker.Topic{{Name: "orders", Partitions: 1}}}.Run(t)
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis = 5000
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = "orders", 1<<31-1
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(within(t), client(t, b))
		noError(t, err)
		equal(t, "code", resp.Topics[0].ErrorCode, kerr.UnknownServerError.Code)
		parts, err := b.Partitions("orders")
		noError(t, err)
		equal(t, "partitions", len(parts), 1)
	}
}

package fakebroker_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/wire"
)

// askAt puts a question to whoever listens on an address.
func askAt(t *testing.T, addr string, version int16, req kmsg.Request) kmsg.Response {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	noError(t, err)
	defer func() { _ = conn.Close() }()
	req.SetVersion(version)
	resp, err := wire.Ask(within(t), conn, "raw", req)
	noError(t, err)
	return resp
}

// addressesIn are all in an answer.
func addressesIn(v reflect.Value) (all []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return addressesIn(v.Elem())
		}
	case reflect.Struct:
		if host, port := v.FieldByName("Host"), v.FieldByName("Port"); host.IsValid() && host.String() != "" {
			all = append(all, net.JoinHostPort(host.String(), fmt.Sprint(port.Int())))
		}
		for i := range v.NumField() {
			all = append(all, addressesIn(v.Field(i))...)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			for i := range v.Len() {
				all = append(all, addressesIn(v.Index(i))...)
			}
		}
	}
	return all
}

func TestProxy_addressesInEveryAnswer(t *testing.T) {
	c := orders(1)
	c.Brokers = 2
	b := c.Run(t)
	p := fakebroker.ProxyConfig{Brokers: b.Addrs()}.Run(t)
	parts, err := b.Partitions("orders")
	noError(t, err)
	other := 1 - parts[0].Leader // who does not lead

	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorKeys = "g", []string{"g", "h"}
	info := askAt(t, b.Addrs()[0], 12, kmsg.NewPtrMetadataRequest()).(*kmsg.MetadataResponse)
	id := info.Topics[0].TopicID

	produce := kmsg.NewPtrProduceRequest()
	produce.Acks = 1
	pp := kmsg.NewProduceRequestTopicPartition()
	pt := kmsg.NewProduceRequestTopic()
	pt.Topic, pt.TopicID, pt.Partitions = "orders", id, append(pt.Partitions, pp)
	produce.Topics = append(produce.Topics, pt)

	fetch := kmsg.NewPtrFetchRequest()
	ft := kmsg.NewFetchRequestTopic()
	ft.Topic, ft.TopicID, ft.Partitions = "orders", id, append(ft.Partitions, kmsg.NewFetchRequestTopicPartition())
	fetch.Topics = append(fetch.Topics, ft)

	for _, each := range []struct {
		req         kmsg.Request
		first, last int16 // versions that have addresses, here or where nobody asks for others
		want        int
	}{
		{kmsg.NewPtrMetadataRequest(), 0, 13, 2},
		{kmsg.NewPtrDescribeClusterRequest(), 0, 2, 2},
		{find, 0, 3, 1},
		{find, 4, 6, 2},
		{produce, 10, 13, 2},
		{fetch, 16, 18, 2},
	} {
		for v := each.first; v <= each.last; v++ {
			t.Run(fmt.Sprintf("%s v%d", kmsg.NameForKey(each.req.Key()), v), func(t *testing.T) {
				own := map[string]bool{}
				got := addressesIn(reflect.ValueOf(askAt(t, p.Addrs()[other], v, each.req)))
				for _, n := range p.Nodes() {
					own[n.Addr] = true
				}
				equal(t, "addresses", len(got), each.want)
				for _, addr := range got {
					if !own[addr] {
						t.Errorf("a client is told %s, which is none of the proxy's %v", addr, own)
					}
				}
			})
		}
	}
}

func TestProxy_addressesOfShareGroups(t *testing.T) {
	fetched, acknowledged := kmsg.NewPtrShareFetchResponse(), kmsg.NewPtrShareAcknowledgeResponse()
	fe, ae := kmsg.NewShareFetchResponseNodeEndpoint(), kmsg.NewShareAcknowledgeResponseNodeEndpoint()
	fe.NodeID, fe.Host, fe.Port, ae.NodeID, ae.Host, ae.Port = 7, "kafka-7", 9092, 7, "kafka-7", 9092
	fetched.NodeEndpoints, acknowledged.NodeEndpoints = append(fetched.NodeEndpoints, fe), append(acknowledged.NodeEndpoints, ae)
	for v := int16(1); v <= 2; v++ {
		for req, resp := range map[kmsg.Request]kmsg.Response{kmsg.NewPtrShareFetchRequest(): fetched, kmsg.NewPtrShareAcknowledgeRequest(): acknowledged} {
			p := fakebroker.ProxyConfig{Brokers: []string{scripted(t, v, resp)}}.Run(t)
			got := addressesIn(reflect.ValueOf(askAt(t, p.Addrs()[0], v, req)))
			equal(t, "addresses", got, []string{p.Nodes()[0].Addr})
		}
	}
}

// scripted is a broker that has one answer.
func scripted(t *testing.T, version int16, resp kmsg.Response) (addr string) {
	t.Helper()
	resp.SetVersion(version)
	frame := append(make([]byte, 8), 0) // no tags
	if !resp.IsFlexible() || resp.Key() == kmsg.ApiVersions.Int16() {
		frame = frame[:8]
	}
	frame = resp.AppendTo(frame)
	return listens(t, func(conn net.Conn) {
		head := make([]byte, 12)
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		copy(frame[4:], head[8:]) // the correlation id
		n := len(frame) - 4
		copy(frame, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		_, _ = conn.Write(frame)
		_, _ = io.Copy(io.Discard, conn)
	})
}

// listens serves a connection at a time until the test ends.
func listens(t *testing.T, serve func(net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

func TestProxy_versions(t *testing.T) {
	versions := func(t *testing.T, of *kmsg.ApiVersionsResponse, version int16) map[kmsg.Key][2]int16 {
		t.Helper()
		p := fakebroker.ProxyConfig{Brokers: []string{scripted(t, min(version, 4), of)}}.Run(t)
		resp := askAt(t, p.Addrs()[0], version, kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse)
		all := map[kmsg.Key][2]int16{-1: {resp.ErrorCode}}
		for _, k := range resp.ApiKeys {
			all[kmsg.Key(k.ApiKey)] = [2]int16{k.MinVersion, k.MaxVersion}
		}
		return all
	}
	of := func(code int16, keys ...kmsg.ApiVersionsResponseApiKey) *kmsg.ApiVersionsResponse {
		r := kmsg.NewPtrApiVersionsResponse()
		r.ErrorCode, r.ApiKeys = code, keys
		return r
	}
	api := func(key kmsg.Key, from, to int16) kmsg.ApiVersionsResponseApiKey {
		return kmsg.ApiVersionsResponseApiKey{ApiKey: key.Int16(), MinVersion: from, MaxVersion: to}
	}
	const later, unheard = 100, kmsg.MaxKey + 100
	newest := wire.Newest(kmsg.Metadata)
	for v := range int16(5) {
		equal(t, "versions", versions(t, of(0, api(kmsg.Metadata, 0, later), api(kmsg.Produce, 3, 9), api(kmsg.Fetch, 4, 18), api(kmsg.Heartbeat, later, later), api(unheard, 0, 3)), v),
			map[kmsg.Key][2]int16{-1: {0}, kmsg.Metadata: {0, newest}, kmsg.Produce: {3, 9}, kmsg.Fetch: {4, 15}, kmsg.Heartbeat: {later, later}, unheard: {0, 3}})
	}
	// A broker that knows a later ApiVersions than is known here.
	unsupported := kerr.UnsupportedVersion.Code
	equal(t, "versions", versions(t, of(0, api(kmsg.Metadata, 0, later)), later),
		map[kmsg.Key][2]int16{-1: {unsupported}, kmsg.ApiVersions: {0, wire.Newest(kmsg.ApiVersions)}})
}

// A request that nobody here knows reaches the broker, and so does its answer the client.
func TestProxy_whatIsNotKnownPasses(t *testing.T) {
	const frame = "\x00\x00\x00\x10\x7f\x00\x00\x01\x00\x00\x00\x2a\x00\x02me\x00..."
	echo := listens(t, func(conn net.Conn) {
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(conn, got); err == nil && string(got) == frame {
			_, _ = conn.Write([]byte("\x00\x00\x00\x06\x00\x00\x00\x2a!!"))
		}
	})
	p := fakebroker.ProxyConfig{Brokers: []string{echo}}.Run(t)
	conn, err := net.Dial("tcp", p.Addrs()[0])
	noError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte(frame))
	noError(t, err)
	got, err := io.ReadAll(conn)
	noError(t, err)
	if !bytes.HasSuffix(got, []byte("!!")) {
		t.Errorf("answered %q", got)
	}
}

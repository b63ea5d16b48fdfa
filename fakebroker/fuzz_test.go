package fakebroker_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/wire"
)

// FuzzRequests asks well-formed requests that make no sense: every API, every
// version, with counts, ids, names and bytes that no client would send. The
// broker may answer what it likes or hang up; it must not fall over.
func FuzzRequests(f *testing.F) {
	for key := range int16(kmsg.MaxKey + 1) {
		if req := kmsg.RequestForKey(key); req != nil {
			for v := range req.MaxVersion() + 1 {
				f.Add(key, v, uint64(v))
			}
		}
	}
	b := hostileTarget(f)
	f.Fuzz(func(t *testing.T, key, version int16, seed uint64) {
		req := kmsg.RequestForKey(key)
		if req == nil || version < 0 || version > req.MaxVersion() {
			return
		}
		req.SetVersion(version)
		senseless{rand.New(rand.NewPCG(seed, 0))}.fill(reflect.ValueOf(req).Elem(), 0)
		send(t, b, kmsg.NewRequestFormatter(kmsg.FormatterClientID("fuzz")).AppendRequest(nil, req, 1))
		stillThere(t, b)
	})
}

// FuzzFrames sends bytes as they are.
func FuzzFrames(f *testing.F) {
	for key := range int16(kmsg.MaxKey + 1) {
		if req := kmsg.RequestForKey(key); req != nil {
			req.SetVersion(req.MaxVersion())
			senseless{rand.New(rand.NewPCG(uint64(key), 1))}.fill(reflect.ValueOf(req).Elem(), 0)
			frame := kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
			f.Add(frame)
			f.Add(frame[:len(frame)/2])
			for v := range req.MaxVersion() + 1 {
				for _, huge := range hugeCounts(kmsg.RequestForKey(key), v) {
					f.Add(huge)
				}
			}
		}
	}
	b := hostileTarget(f)
	f.Fuzz(func(t *testing.T, stream []byte) {
		send(t, b, stream)
		stillThere(t, b)
	})
}

// hostileTarget is a broker with something of everything in it.
func hostileTarget(f *testing.F) *fakebroker.Broker {
	f.Helper()
	c := fakebroker.Config{Brokers: 2, Topics: []fakebroker.Topic{{Name: "orders", Partitions: 2}, {Name: "audit", Partitions: 1}}}
	return c.Run(f)
}

// send writes a stream on a connection of its own and hangs up, which the broker
// is to notice.
func send(t *testing.T, b *fakebroker.Broker, stream []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", b.Addrs()[0])
	noError(t, err)
	defer func() { _ = conn.Close() }()
	noError(t, conn.SetDeadline(time.Now().Add(patience)))
	if _, err := conn.Write(stream); err != nil {
		return // it has hung up first
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return // likewise
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection of a client that has gone is still open: %v", err)
	}
}

// stillThere fails when a good client is not answered.
func stillThere(t *testing.T, b *fakebroker.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", b.Addrs()[1])
	noError(t, err)
	defer func() { _ = conn.Close() }()
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 3
	req.ClientSoftwareName, req.ClientSoftwareVersion = "good", "1"
	_, err = wire.Ask(ctx, conn, "good", req)
	noError(t, err)
	meta := kmsg.NewPtrMetadataRequest()
	meta.Version = 9
	_, err = wire.Ask(ctx, conn, "good", meta)
	noError(t, err)
}

// senseless fills requests with values of the right type.
type senseless struct{ *rand.Rand }

var (
	oddInts    = []int64{0, 1, 2, 3, -1, -2, -3, -6, 7, 100, 1 << 15, 1<<31 - 1, -1 << 31, 1 << 40, 1<<63 - 1, -1 << 63}
	oddStrings = []string{"", "orders", "audit", "g", "g2", ".", "..", "a b", "\x00", "range", "cooperative-sticky", "consumer", "share", "txn", "__consumer_offsets", "retention.ms", "cleanup.policy", "10", "SCRAM-SHA-256", "PLAIN", "earliest"}
)

func (s senseless) fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if name != "Version" && name != "UnknownTags" && v.Field(i).CanSet() {
				s.fill(v.Field(i), depth+1)
			}
		}
	case reflect.Pointer:
		if s.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			s.fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(s.bytes())
			return
		}
		n := s.IntN(4)
		if n == 3 && s.IntN(2) == 0 {
			return // null
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			s.fill(v.Index(i), depth+1)
		}
	case reflect.Array:
		if s.IntN(2) == 0 {
			for i := range v.Len() {
				s.fill(v.Index(i), depth+1)
			}
		}
	case reflect.String:
		v.SetString(oddStrings[s.IntN(len(oddStrings))])
	case reflect.Bool:
		v.SetBool(s.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n := oddInts[s.IntN(len(oddInts))]
		if s.IntN(2) == 0 {
			n = int64(s.IntN(4))
		}
		v.SetInt(reflect.ValueOf(n).Convert(v.Type()).Int())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(s.IntN(256)))
	case reflect.Float64:
		v.SetFloat(s.NormFloat64())
	}
}

// bytes is nothing, noise, or a record batch of which something is odd.
func (s senseless) bytes() []byte {
	switch s.IntN(4) {
	case 0:
		return nil
	case 1:
		b := make([]byte, s.IntN(200))
		for i := range b {
			b[i] = byte(s.IntN(256))
		}
		return b
	}
	return s.batch()
}

// batch has a length and a checksum that are right, most of the time, so that
// what is odd in it is looked at.
func (s senseless) batch() []byte {
	const head, crcAt = 12, 17
	r := kmsg.Record{Length: 7, Value: []byte{1}}
	b := kmsg.RecordBatch{Magic: 2, PartitionLeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: r.AppendTo(nil)}
	odd := reflect.ValueOf(&b).Elem()
	for range s.IntN(3) {
		s.fill(odd.Field(s.IntN(odd.NumField())), 1)
	}
	if s.IntN(10) > 0 {
		b.Magic, b.Length = 2, 0
		raw := b.AppendTo(nil)
		binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-head))
		binary.BigEndian.PutUint32(raw[crcAt:], crc32.Checksum(raw[crcAt+4:], crc32.MakeTable(crc32.Castagnoli)))
		return raw
	}
	return b.AppendTo(nil)
}

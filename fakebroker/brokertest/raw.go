package brokertest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// raw is a connection that sends what a client would not.
type raw struct {
	t    T
	conn net.Conn
}

// dial opens a connection to the first broker that a client with these options
// would try, and says nothing on it.
func dial(t T, opts []kgo.Opt) *raw {
	t.Helper()
	cl, err := kgo.NewClient(opts...)
	noError(t, err)
	defer cl.Close()
	dialer, _ := cl.OptValue(kgo.Dialer).(func(context.Context, string, string) (net.Conn, error))
	if dialer == nil {
		dialer = new(net.Dialer).DialContext
	}
	conn, err := dialer(within(t), "tcp", cl.OptValue(kgo.SeedBrokers).([]string)[0])
	noError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &raw{t, conn}
}

// ask sends a request in a version and returns its answer, nil when the broker
// closed the connection in place of answering.
func (r *raw) ask(version int16, req kmsg.Request) kmsg.Response {
	r.t.Helper()
	req.SetVersion(version)
	ctx := within(r.t)
	resp, err := wire.Ask(ctx, r.conn, "brokertest", req)
	if ctx.Err() != nil {
		noError(r.t, err)
	}
	if err != nil {
		return nil
	}
	return resp
}

// send sends a request, which says its version, that is not answered.
func (r *raw) send(req kmsg.Request) {
	r.t.Helper()
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("brokertest"))
	_, err := r.conn.Write(f.AppendRequest(nil, req, 0))
	noError(r.t, err)
}

// askAtOnce sends requests, which say their versions, without waiting for answers,
// and returns those that come.
func (r *raw) askAtOnce(reqs ...kmsg.Request) (answers []kmsg.Response) {
	r.t.Helper()
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("brokertest"))
	var all []byte
	for i, req := range reqs {
		all = append(all, f.AppendRequest(nil, req, int32(i))...)
	}
	_, err := r.conn.Write(all)
	noError(r.t, err)
	stop := context.AfterFunc(within(r.t), func() { _ = r.conn.Close() })
	defer stop()
	for _, req := range reqs {
		const correlation = 4
		var size [4]byte
		if _, err := io.ReadFull(r.conn, size[:]); err != nil {
			return answers
		}
		b := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(r.conn, b); err != nil {
			return answers
		}
		b = b[correlation:]
		resp := req.ResponseKind()
		if resp.IsFlexible() {
			b = b[1:] // its header has no tags
		}
		noError(r.t, resp.ReadFrom(b))
		answers = append(answers, resp)
	}
	return answers
}

// token sends a SASL token that has no header and returns the answer, which has
// none either; false when the broker closed the connection.
func (r *raw) token(b []byte) ([]byte, bool) {
	r.t.Helper()
	_, err := r.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	noError(r.t, err)
	var size [4]byte
	if _, err := io.ReadFull(r.conn, size[:]); err != nil {
		return nil, false
	}
	answer := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err = io.ReadFull(r.conn, answer)
	noError(r.t, err)
	return answer, true
}

// closed reports that the broker has closed the connection, and waits for it.
func (r *raw) closed() {
	r.t.Helper()
	stop := context.AfterFunc(within(r.t), func() { _ = r.conn.Close() })
	defer stop()
	var b [1]byte
	if _, err := r.conn.Read(b[:]); !errors.Is(err, io.EOF) {
		r.t.Errorf("connection: %v, want it closed by the broker", err)
		r.t.FailNow()
	}
}

func address(host string, port int32) string { return net.JoinHostPort(host, number(port)) }

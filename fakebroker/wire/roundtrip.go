package wire

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Ask sends one request on a connection that nobody else uses and reads its
// answer: a client of a few lines, for the broker's own questions. The request
// says its version itself. When the context ends the connection is closed.
func Ask(ctx context.Context, conn net.Conn, clientID string, req kmsg.Request) (kmsg.Response, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	resp, err := ask(conn, clientID, req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return resp, nil
}

func ask(conn net.Conn, clientID string, req kmsg.Request) (kmsg.Response, error) {
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))
	if _, err := conn.Write(f.AppendRequest(nil, req, 0)); err != nil {
		return nil, err
	}
	var head [frameSize]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	size := int32(binary.BigEndian.Uint32(head[:]))
	if size < 0 {
		return nil, fmt.Errorf("%w: answer of %d bytes", ErrMalformed, size)
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(conn, frame); err != nil {
		return nil, err
	}
	return decodeResponse(kmsg.Key(req.Key()), req.GetVersion(), frame)
}

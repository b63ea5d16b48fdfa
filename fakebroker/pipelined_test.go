package fakebroker_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

// pipelined are requests to be written at once.
func pipelined(id func(i int) int32, reqs ...kmsg.Request) (out []byte) {
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw"))
	for i, req := range reqs {
		out = append(out, f.AppendRequest(nil, req, id(i))...)
	}
	return out
}

// readBody reads an answer up to its body, whose header has no tags.
func readBody(conn net.Conn) ([]byte, error) {
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		return nil, err
	}
	return b[4:], nil
}

// Clients choose correlation ids, and may give the same to requests that are on
// their way together.
func TestPipelined_sameCorrelationID(t *testing.T) {
	b := orders(1).Run(t)
	quotas := kmsg.NewPtrAlterClientQuotasRequest()
	quotas.Version = 1
	quotas.Entries = []kmsg.AlterClientQuotasRequestEntry{kmsg.NewAlterClientQuotasRequestEntry()}
	acls := kmsg.NewPtrCreateACLsRequest()
	acls.Version = 2
	for range 4 {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourcePatternType = kmsg.ACLResourceTypeTopic, kmsg.ACLResourcePatternTypeLiteral
		c.Principal, c.Host = "User:alice", "*"
		c.Operation, c.PermissionType = kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
		acls.Creations = append(acls.Creations, c)
	}
	both := pipelined(func(int) int32 { return 7 }, quotas, acls)

	const rounds = 300
	for range rounds {
		conn := dial(t, b.Addrs()[0])
		_, err := conn.Write(both)
		noError(t, err)
		body, err := readBody(conn)
		noError(t, err)
		altered := kmsg.NewPtrAlterClientQuotasResponse()
		altered.Version = quotas.Version
		noError(t, altered.ReadFrom(body[1:])) // behind the tags of its header
		equal(t, "entries", len(altered.Entries), len(quotas.Entries))
		equal(t, "error of the entry", altered.Entries[0].ErrorCode, kerr.InvalidRequest.Code)
		body, err = readBody(conn)
		noError(t, err)
		created := kmsg.NewPtrCreateACLsResponse()
		created.Version = acls.Version
		noError(t, created.ReadFrom(body[1:]))
		equal(t, "results", len(created.Results), len(acls.Creations))
		noError(t, conn.Close())
	}
}

// A client need not wait for the answer to its handshake, and is refused all the
// same.
func TestPipelined_SASLWithoutPassword(t *testing.T) {
	c := orders(1)
	c.SASL = []fakebroker.User{{Mechanism: fakebroker.Plain, Name: "alice", Password: "secret"}}
	b := c.Run(t)
	shake := kmsg.NewPtrSASLHandshakeRequest()
	shake.Version, shake.Mechanism = 1, "PLAIN"
	auth := kmsg.NewPtrSASLAuthenticateRequest()
	auth.Version, auth.SASLAuthBytes = 1, []byte("\x00nobody\x00")
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 1
	all := pipelined(func(i int) int32 { return int32(i) }, shake, auth, metadata)

	const rounds = 20
	for range rounds {
		conn := dial(t, b.Addrs()[0])
		_, err := conn.Write(all)
		noError(t, err)
		var codes []int16
		for len(codes) < 3 {
			body, err := readBody(conn)
			if timeout, is := errors.AsType[net.Error](err); is && timeout.Timeout() {
				t.Fatalf("the connection is open after answers %v", codes)
			}
			if err != nil {
				break // closed, which loses answers when requests are left unread
			}
			codes = append(codes, int16(binary.BigEndian.Uint16(body)))
		}
		if want := []int16{0, kerr.SaslAuthenticationFailed.Code}; len(codes) > len(want) || !slices.Equal(codes, want[:len(codes)]) {
			t.Fatalf("answers began with %v, want %v and the end", codes, want)
		}
		noError(t, conn.Close())
	}
}

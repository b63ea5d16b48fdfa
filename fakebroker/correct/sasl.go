package correct

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// mechanisms are what kfake knows, in the order in which Kafka names them.
func mechanisms() []string { return []string{plain, "SCRAM-SHA-512", "SCRAM-SHA-256"} }

const plain = "PLAIN"

// authenticating is the key under which a connection remembers the mechanism
// that it began to authenticate with.
type authenticating struct{}

func mechanismOf(x *wire.Exchange) (string, bool) {
	m, _ := x.Memory().Load(authenticating{})
	name, ok := m.(string)
	return name, ok
}

func authenticates(c Cluster) []Correction {
	const upstream = "17_sasl_handshake.go "
	api := wire.Keys(kmsg.SASLHandshake, kmsg.SASLAuthenticate)
	secured := func(keys ...kmsg.Key) func(wire.Header) bool {
		api := wire.Keys(keys...)
		return func(h wire.Header) bool { return api(h) && c.SASL(h.Listener) }
	}
	return []Correction{
		{
			Rule: wire.Rule{
				Name:  "SaslHandshake v0 is followed by tokens without a header",
				Wants: wire.Keys(kmsg.SASLHandshake),
				Request: asked(func(x *wire.Exchange, req *kmsg.SASLHandshakeRequest) {
					if req.Version == 0 {
						req.Version = 1
						x.SetRequest(req)
					}
				}),
			},
			Restores:  "KIP-43: a client that asks v0 sends the mechanism's tokens bare",
			Upstream:  upstream + "has v1 only",
			Behaviour: "sasl/tokens without a header follow handshake v0",
		},
		{
			Rule: wire.Rule{
				Name:   "SaslHandshake names the mechanisms",
				Wants:  wire.Keys(kmsg.SASLHandshake),
				Answer: answered(namesMechanisms),
			},
			Restores:  "KIP-43: the answer has all enabled mechanisms; a client that asked for another is cut off",
			Upstream:  upstream + "names them with an error only, and lets the client go on",
			Behaviour: "sasl/the handshake names the mechanisms",
		},
		{
			Rule: wire.Rule{
				Name:       "SaslAuthenticate says why it refuses",
				Wants:      secured(kmsg.SASLHandshake, kmsg.SASLAuthenticate),
				Request:    asked(refusesNoPassword),
				Answer:     rememberMechanism,
				Unanswered: asked(func(x *wire.Exchange, req *kmsg.SASLAuthenticateRequest) { refuse(x, req) }),
			},
			Restores:  "KIP-152: error 58 and a message, and then the connection closes; nobody gets in without a password",
			Upstream:  "36_sasl_authenticate.go closes the connection, and lets in who is unknown and has an empty password",
			Behaviour: "sasl/wrong credentials are answered, and then the connection closes",
		},
		{
			Rule: wire.Rule{
				Name:    "SCRAM ends with the nonce that it began with",
				Wants:   secured(kmsg.SASLAuthenticate),
				Request: asked(refusesOtherNonce),
				Answer:  answered(remembersNonce),
			},
			Restores:  "RFC 5802, section 5.1; ScramSaslServer: the last message has the nonce of client and server, or authentication fails",
			Upstream:  "sasl.go does not look at it",
			Behaviour: "sasl/SCRAM ends with the nonce that it began with",
		},
		{
			Rule: wire.Rule{
				Name:       "SASL goes step by step",
				Wants:      secured(kmsg.SASLHandshake, kmsg.SASLAuthenticate, kmsg.ApiVersions),
				Request:    noVersionsHere,
				Answer:     answered(authenticatedAlready),
				Unanswered: asked(noSecondHandshake),
			},
			Restores:  "KIP-152: error 34 to what comes out of order",
			Upstream:  upstream + "closes the connection at a second handshake, sasl.go lets ApiVersions in between",
			Behaviour: "sasl/steps out of order are refused",
		},
		{
			Rule: wire.Rule{
				Name:    "a listener without authentication refuses it",
				Wants:   func(h wire.Header) bool { return api(h) && !c.SASL(h.Listener) },
				Request: refuseToAuthenticate,
			},
			Restores:  "SaslHandshake: error 34 where nobody authenticates",
			Upstream:  upstream + "shakes hands whether or not the cluster has SASL",
			Behaviour: "sasl/a listener without authentication refuses it",
		},
	}
}

func namesMechanisms(x *wire.Exchange, _ *kmsg.SASLHandshakeRequest, resp *kmsg.SASLHandshakeResponse) bool {
	switch resp.ErrorCode {
	case 0:
	case kerr.UnsupportedSaslMechanism.Code:
		x.Last()
	default:
		return false
	}
	resp.SupportedMechanisms = mechanisms()
	return true
}

// rememberMechanism notes how far the connection is: what comes later is refused
// by it.
func rememberMechanism(x *wire.Exchange) {
	req, err := x.Request()
	if err != nil {
		return
	}
	resp, err := x.Response()
	if err != nil {
		return
	}
	switch r := resp.(type) {
	case *kmsg.SASLHandshakeResponse:
		if asked, ok := req.(*kmsg.SASLHandshakeRequest); ok && r.ErrorCode == 0 {
			x.Memory().Store(authenticating{}, asked.Mechanism)
		}
	case *kmsg.SASLAuthenticateResponse:
		m, _ := mechanismOf(x)
		if r.ErrorCode == 0 && (m == plain || bytes.HasPrefix(r.SASLAuthBytes, []byte("v="))) {
			x.Memory().Delete(authenticating{})
		}
	}
}

// nonce is the key under which a connection remembers the nonce of the SCRAM
// server, which begins with the client's.
type nonce struct{}

func remembersNonce(x *wire.Exchange, _ *kmsg.SASLAuthenticateRequest, resp *kmsg.SASLAuthenticateResponse) bool {
	if n, ok := attribute(resp.SASLAuthBytes, "r="); ok && resp.ErrorCode == 0 {
		x.Memory().Store(nonce{}, n)
	}
	return false
}

// refusesOtherNonce leaves messages without a nonce to the broker.
func refusesOtherNonce(x *wire.Exchange, req *kmsg.SASLAuthenticateRequest) {
	began, ok := x.Memory().LoadAndDelete(nonce{})
	if !ok {
		return
	}
	if n, ok := attribute(req.SASLAuthBytes, "r="); ok && n != began {
		refuse(x, req)
	}
}

// attribute is the value of the first of a SCRAM message's attributes that has
// this name, such as "r=".
func attribute(message []byte, name string) (value string, ok bool) {
	for a := range bytes.SplitSeq(message, []byte{','}) {
		if value, ok := bytes.CutPrefix(a, []byte(name)); ok {
			return string(value), true
		}
	}
	return "", false
}

const afterSuccess = "SaslAuthenticate request received after successful authentication"

func refuseToAuthenticate(x *wire.Exchange) {
	if x.Key == kmsg.SASLHandshake {
		resp := kmsg.NewPtrSASLHandshakeResponse()
		resp.ErrorCode = kerr.IllegalSaslState.Code
		x.Reply(resp)
		return
	}
	resp := kmsg.NewPtrSASLAuthenticateResponse()
	resp.ErrorCode, resp.ErrorMessage = kerr.IllegalSaslState.Code, kmsg.StringPtr(afterSuccess)
	x.Reply(resp)
}

func authenticatedAlready(_ *wire.Exchange, _ *kmsg.SASLAuthenticateRequest, resp *kmsg.SASLAuthenticateResponse) bool {
	switch resp.ErrorCode {
	case 0:
		resp.ErrorMessage = kmsg.StringPtr("")
	case kerr.IllegalSaslState.Code:
		resp.ErrorMessage = kmsg.StringPtr(afterSuccess)
	default:
		return false
	}
	return true
}

func refusesNoPassword(x *wire.Exchange, req *kmsg.SASLAuthenticateRequest) {
	if m, _ := mechanismOf(x); m != plain {
		return
	}
	if parts := bytes.Split(req.SASLAuthBytes, []byte{0}); len(parts) == 3 && len(parts[2]) == 0 {
		refuse(x, req)
	}
}

func refuse(x *wire.Exchange, req *kmsg.SASLAuthenticateRequest) {
	m, ok := mechanismOf(x)
	if !ok {
		return // no handshake before: Kafka closes the connection too
	}
	resp := kmsg.NewPtrSASLAuthenticateResponse()
	resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
	resp.ErrorMessage = kmsg.StringPtr(whyRefused(m, req.SASLAuthBytes))
	x.Reply(resp)
	x.Last()
}

// whyRefused is the message of PlainSaslServer, or of SaslServerAuthenticator
// for mechanisms whose server says nothing to strangers.
func whyRefused(mechanism string, token []byte) string {
	if mechanism != plain {
		return "Authentication failed during authentication due to invalid credentials with SASL mechanism " + mechanism
	}
	parts := bytes.Split(token, []byte{0})
	if len(parts) != 3 {
		return "Invalid SASL/PLAIN response: expected 3 tokens, got " + strconv.Itoa(len(parts))
	}
	switch as, user, password := parts[0], parts[1], parts[2]; {
	case len(user) == 0:
		return "Authentication failed: username not specified"
	case len(password) == 0:
		return "Authentication failed: password not specified"
	case len(as) > 0 && !slices.Equal(as, user):
		return "Authentication failed: Client requested an authorization id that is different from username"
	}
	return "Authentication failed: Invalid username or password"
}

func noVersionsHere(x *wire.Exchange) {
	if _, between := mechanismOf(x); !between || x.Key != kmsg.ApiVersions {
		return
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = kerr.IllegalSaslState.Code
	x.Reply(resp)
	x.Last()
}

func noSecondHandshake(x *wire.Exchange, _ *kmsg.SASLHandshakeRequest) {
	if _, between := mechanismOf(x); !between {
		return
	}
	resp := kmsg.NewPtrSASLHandshakeResponse()
	resp.ErrorCode = kerr.IllegalSaslState.Code
	x.Reply(resp)
	x.Last()
}

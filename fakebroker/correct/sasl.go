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

// attempt is what a handshake begins, until the client is authenticated.
type attempt struct{ mechanism string }

// authenticating is the key under which a connection remembers its attempt, as soon
// as the handshake is asked.
type authenticating struct{}

// underway is the connection's attempt, nil when there is none.
func underway(x *wire.Exchange) *attempt {
	m, _ := x.Memory().Load(authenticating{})
	a, _ := m.(*attempt)
	return a
}

// step is what an exchange keeps of the attempts of its connection, under its type.
type step struct {
	of     *attempt // the one it belongs to: a handshake to that which it begins
	before *attempt // the one that a handshake comes in the middle of
}

func stepOf(x *wire.Exchange) step {
	s, _ := x.Kept(step{}).(step)
	return s
}

func authenticates(c Cluster) []Correction {
	const upstream = "17_sasl_handshake.go "
	api := wire.Keys(kmsg.SASLHandshake, kmsg.SASLAuthenticate)
	secured := func(keys ...kmsg.Key) func(wire.Header) bool {
		api := wire.Keys(keys...)
		return func(h wire.Header) bool { return api.Has(h.Key) && c.SASL(h.Listener) }
	}
	return []Correction{
		{
			Rule: wire.Rule{
				Name: "SaslHandshake v0 is followed by tokens without a header",
				Keys: wire.Keys(kmsg.SASLHandshake),
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
				Keys:   wire.Keys(kmsg.SASLHandshake),
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
				Request:    asked(takesStep),
				Answer:     amended(endsStep),
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
				Keys:    api,
				Wants:   func(h wire.Header) bool { return !c.SASL(h.Listener) },
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

// takesStep notes how far the connection is: what comes later is refused by it.
func takesStep(x *wire.Exchange, req kmsg.Request) {
	before := underway(x)
	switch r := req.(type) {
	case *kmsg.SASLHandshakeRequest:
		begun := &attempt{r.Mechanism}
		x.Keep(step{}, step{of: begun, before: before})
		x.Memory().Store(authenticating{}, begun)
	case *kmsg.SASLAuthenticateRequest:
		x.Keep(step{}, step{of: before})
		refusesNoPassword(x, r)
	}
}

// endsStep notes that an attempt has ended, unless the client has asked for the
// next one since.
func endsStep(x *wire.Exchange, resp kmsg.Response) bool {
	of, ended := stepOf(x).of, false
	switch r := resp.(type) {
	case *kmsg.SASLHandshakeResponse:
		ended = r.ErrorCode != 0
	case *kmsg.SASLAuthenticateResponse:
		ended = of != nil && r.ErrorCode == 0 && (of.mechanism == plain || bytes.HasPrefix(r.SASLAuthBytes, []byte("v=")))
	}
	if ended {
		x.Memory().CompareAndDelete(authenticating{}, of)
	}
	return false
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

// refusesNoPassword refuses a message of PLAIN with an empty password whatever the
// handshake was, as the broker takes it from anybody. Messages of SCRAM have no zero
// bytes.
func refusesNoPassword(x *wire.Exchange, req *kmsg.SASLAuthenticateRequest) {
	parts := bytes.Split(req.SASLAuthBytes, []byte{0})
	switch {
	case len(parts) != 3 || len(parts[2]) > 0:
	case stepOf(x).of == nil:
		refuseToAuthenticate(x)
	default:
		refuse(x, req)
	}
}

func refuse(x *wire.Exchange, req *kmsg.SASLAuthenticateRequest) {
	of := stepOf(x).of
	if of == nil {
		return // no handshake before: Kafka closes the connection too
	}
	resp := kmsg.NewPtrSASLAuthenticateResponse()
	resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
	resp.ErrorMessage = kmsg.StringPtr(whyRefused(of.mechanism, req.SASLAuthBytes))
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
	if x.Key != kmsg.ApiVersions || underway(x) == nil {
		return
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = kerr.IllegalSaslState.Code
	x.Reply(resp)
	x.Last()
}

func noSecondHandshake(x *wire.Exchange, _ *kmsg.SASLHandshakeRequest) {
	if stepOf(x).before == nil {
		return
	}
	resp := kmsg.NewPtrSASLHandshakeResponse()
	resp.ErrorCode = kerr.IllegalSaslState.Code
	x.Reply(resp)
	x.Last()
}

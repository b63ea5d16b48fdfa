package brokertest

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const (
	plain    = "PLAIN"
	scram256 = "SCRAM-SHA-256"
	scram512 = "SCRAM-SHA-512"
)

func saslBehaviours() []Behaviour {
	needs := Needs{SASL: true}
	return []Behaviour{
		{
			Name:   "sasl/the handshake names the mechanisms",
			Source: "KIP-43; SaslServerAuthenticator.handleHandshakeRequest",
			Needs:  needs,
			Run:    handshakeNamesMechanisms,
		},
		{
			Name:   "sasl/wrong credentials are answered, and then the connection closes",
			Source: "KIP-152; SaslServerAuthenticator.handleSaslToken",
			Needs:  needs,
			Run:    wrongCredentials,
		},
		{
			Name:   "sasl/SCRAM ends with the nonce that it began with",
			Source: "RFC 5802, section 5.1; ScramSaslServer",
			Needs:  needs,
			Run:    scramNonce,
		},
		{
			Name:   "sasl/tokens without a header follow handshake v0",
			Source: "KIP-43; the protocol guide, SASL authentication sequence",
			Needs:  needs,
			Run:    bareTokens,
		},
		{
			Name:   "sasl/steps out of order are refused",
			Source: "KIP-152; SaslServerAuthenticator.handleKafkaRequest, KafkaApis.handleSaslAuthenticateRequest",
			Needs:  needs,
			Run:    stepsOutOfOrder,
		},
		{
			Name:   "sasl/nothing is served before authentication",
			Source: "KIP-43; SaslServerAuthenticator.handleKafkaRequest, handleSaslToken",
			Needs:  needs,
			Run:    nothingBefore,
		},
		{
			Name:   "sasl/what is sent behind an authentication is served after it",
			Source: "SaslServerAuthenticator.authenticate: a request is read when the one before it is answered",
			Needs:  Needs{ACLs: true},
			Run:    sentBehind,
		},
		{
			Name:   "sasl/a listener without authentication refuses it",
			Source: "KafkaApis.handleSaslHandshakeRequest, handleSaslAuthenticateRequest",
			Run:    nothingToAuthenticate,
		},
	}
}

func handshake(mechanism string) *kmsg.SASLHandshakeRequest {
	req := kmsg.NewPtrSASLHandshakeRequest()
	req.Mechanism = mechanism
	return req
}

func authenticate(token string) *kmsg.SASLAuthenticateRequest {
	req := kmsg.NewPtrSASLAuthenticateRequest()
	req.SASLAuthBytes = []byte(token)
	return req
}

func plainToken(c Credentials) string { return "\x00" + c.Name + "\x00" + c.Password }

func handshakeNamesMechanisms(t T, c Cluster) {
	all := []string{plain, scram256, scram512}
	for _, v := range []int16{0, 1} {
		for _, m := range append(all, "GSSAPI", "plain", "") {
			conn := dial(t, c.SASL.Options)
			resp, ok := conn.ask(v, handshake(m)).(*kmsg.SASLHandshakeResponse)
			if !ok {
				t.Errorf("v%d, %q: no answer", v, m)
				continue
			}
			slices.Sort(resp.SupportedMechanisms)
			equal(t, "mechanisms", resp.SupportedMechanisms, all)
			if slices.Contains(all, m) {
				code(t, m, resp.ErrorCode, nil)
				continue
			}
			code(t, m, resp.ErrorCode, kerr.UnsupportedSaslMechanism)
			conn.closed()
		}
	}
}

func wrongCredentials(t T, c Cluster) {
	admin := c.SASL.Admin.Name
	const (
		invalid = "Authentication failed: Invalid username or password"
		tokens  = "Invalid SASL/PLAIN response: expected 3 tokens, got "
	)
	for token, want := range map[string]string{
		"\x00" + admin + "\x00wrong":                         invalid,
		"\x00nobody\x00" + c.SASL.Admin.Password:             invalid,
		"\x00" + admin + "\x00":                              "Authentication failed: password not specified",
		"\x00nobody\x00":                                     "Authentication failed: password not specified",
		"\x00\x00secret":                                     "Authentication failed: username not specified",
		"other\x00" + admin + "\x00" + c.SASL.Admin.Password: "Authentication failed: Client requested an authorization id that is different from username",
		"nonsense": tokens + "1",
		"":         tokens + "1",
		"\x00" + admin + "\x00" + c.SASL.Admin.Password + "\x00": tokens + "4",
	} {
		for _, v := range []int16{0, 1, 2} {
			conn := dial(t, c.SASL.Options)
			conn.ask(1, handshake(plain))
			conn.refused(v, token, want)
		}
	}
	for _, m := range []string{scram256, scram512} {
		want := "Authentication failed during authentication due to invalid credentials with SASL mechanism " + m
		for _, who := range []Credentials{{admin, "wrong"}, {"nobody", "secret"}} {
			conn := dial(t, c.SASL.Options)
			conn.ask(1, handshake(m))
			session, first, err := scramOf(m, who).Authenticate(within(t), "")
			noError(t, err)
			if who.Name == "nobody" {
				conn.refused(2, string(first), want)
				continue
			}
			resp, ok := conn.ask(2, authenticate(string(first))).(*kmsg.SASLAuthenticateResponse)
			if !ok {
				t.Errorf("%s: no answer to the first message", m)
				continue
			}
			code(t, m, resp.ErrorCode, nil)
			_, last, err := session.Challenge(resp.SASLAuthBytes)
			noError(t, err)
			conn.refused(2, string(last), want)
		}
		conn := dial(t, c.SASL.Options)
		conn.ask(1, handshake(m))
		conn.refused(2, "nonsense", want)
	}
}

// refused expects an answer that says why, and then the end of the connection.
func (r *raw) refused(version int16, token, want string) {
	r.t.Helper()
	resp, ok := r.ask(version, authenticate(token)).(*kmsg.SASLAuthenticateResponse)
	if !ok {
		r.t.Errorf("%q: no answer", token)
		return
	}
	code(r.t, token, resp.ErrorCode, kerr.SaslAuthenticationFailed)
	equal(r.t, "message", text(resp.ErrorMessage), want)
	r.closed()
}

func scramOf(mechanism string, c Credentials) sasl.Mechanism {
	auth := scram.Auth{User: c.Name, Pass: c.Password}
	if mechanism == scram512 {
		return auth.AsSha512Mechanism()
	}
	return auth.AsSha256Mechanism()
}

// scramNonce ends the same authentication with proofs that are right of messages
// that have other nonces.
func scramNonce(t T, c Cluster) {
	const client = "fyko+d2lbbFgONRv9qkxdawL"
	for _, m := range []string{scram256, scram512} {
		for what, nonce := range map[string]func(server string) string{
			"the server's":          func(server string) string { return server },
			"the client's":          func(string) string { return client },
			"a part of it":          func(server string) string { return server[:len(server)-1] },
			"more than it":          func(server string) string { return server + "x" },
			"another of the server": func(string) string { return client + "3rfcNHYJY1ZVvWVs7j" },
		} {
			conn := dial(t, c.SASL.Options)
			conn.ask(1, handshake(m))
			bare := "n=" + c.SASL.Admin.Name + ",r=" + client
			resp, ok := conn.ask(2, authenticate("n,,"+bare)).(*kmsg.SASLAuthenticateResponse)
			if !ok {
				t.Errorf("%s: no answer to the first message", m)
				t.FailNow()
			}
			code(t, m, resp.ErrorCode, nil)
			first := string(resp.SASLAuthBytes)
			last := scramLast(t, m, c.SASL.Admin.Password, bare, first, nonce(first[len("r="):strings.Index(first, ",")]))
			if what != "the server's" {
				conn.refused(2, last, "Authentication failed during authentication due to invalid credentials with SASL mechanism "+m)
				continue
			}
			resp, ok = conn.ask(2, authenticate(last)).(*kmsg.SASLAuthenticateResponse)
			if !ok {
				t.Errorf("%s: no answer to the last message", m)
				continue
			}
			code(t, what, resp.ErrorCode, nil)
			conn.serves()
		}
	}
}

// scramLast is the last message of a client after these of client and server,
// with a proof for it (RFC 5802, section 3).
func scramLast(t T, mechanism, password, bare, first, nonce string) string {
	t.Helper()
	h := sha256.New
	if mechanism == scram512 {
		h = sha512.New
	}
	var salt64 string
	var iterations int
	_, rest, _ := strings.Cut(first, ",")
	_, err := fmt.Sscanf(strings.ReplaceAll(rest, ",", " "), "s=%s i=%d", &salt64, &iterations)
	noError(t, err)
	salt, err := base64.StdEncoding.DecodeString(salt64)
	noError(t, err)
	salted, err := pbkdf2.Key(h, password, salt, iterations, h().Size())
	noError(t, err)
	sign := func(key []byte, s string) []byte {
		mac := hmac.New(h, key)
		mac.Write([]byte(s))
		return mac.Sum(nil)
	}
	proof := sign(salted, "Client Key")
	stored := h()
	stored.Write(proof)
	last := "c=biws,r=" + nonce
	subtle.XORBytes(proof, proof, sign(stored.Sum(nil), bare+","+first+","+last))
	return last + ",p=" + base64.StdEncoding.EncodeToString(proof)
}

func bareTokens(t T, c Cluster) {
	conn := dial(t, c.SASL.Options)
	conn.shake(plain)
	answer, ok := conn.token([]byte(plainToken(c.SASL.Admin)))
	equal(t, "right password accepted", ok, true)
	equal(t, "answer", string(answer), "")
	conn.serves()

	conn = dial(t, c.SASL.Options)
	conn.shake(plain)
	_, ok = conn.token([]byte(plainToken(Credentials{c.SASL.Admin.Name, "wrong"})))
	equal(t, "wrong password accepted", ok, false)

	for _, m := range []string{scram256, scram512} {
		conn := dial(t, c.SASL.Options)
		conn.shake(m)
		session, next, err := scramOf(m, c.SASL.Admin).Authenticate(within(t), "")
		noError(t, err)
		for done := false; !done; {
			answer, ok := conn.token(next)
			if !ok {
				t.Errorf("%s: the right password is refused", m)
				t.FailNow()
			}
			done, next, err = session.Challenge(answer)
			noError(t, err)
		}
		conn.serves()
	}
}

// shake begins to authenticate with bare tokens.
func (r *raw) shake(mechanism string) {
	r.t.Helper()
	resp, ok := r.ask(0, handshake(mechanism)).(*kmsg.SASLHandshakeResponse)
	if !ok {
		r.t.Errorf("%s: no answer to the handshake", mechanism)
		r.t.FailNow()
	}
	code(r.t, mechanism, resp.ErrorCode, nil)
}

// serves expects that the connection is good for requests.
func (r *raw) serves() {
	r.t.Helper()
	if _, ok := r.ask(1, kmsg.NewPtrMetadataRequest()).(*kmsg.MetadataResponse); !ok {
		r.t.Errorf("no metadata after authentication")
	}
}

func stepsOutOfOrder(t T, c Cluster) {
	conn := dial(t, c.SASL.Options)
	if conn.ask(1, kmsg.NewPtrMetadataRequest()) != nil {
		t.Errorf("metadata without authentication")
	}
	conn = dial(t, c.SASL.Options)
	if conn.ask(1, authenticate(plainToken(c.SASL.Admin))) != nil {
		t.Errorf("authenticated without a handshake")
	}

	conn = dial(t, c.SASL.Options)
	conn.ask(1, handshake(plain))
	if resp, ok := conn.ask(1, handshake(plain)).(*kmsg.SASLHandshakeResponse); ok {
		code(t, "second handshake", resp.ErrorCode, kerr.IllegalSaslState)
		conn.closed()
	} else {
		t.Errorf("second handshake: no answer")
	}

	conn = dial(t, c.SASL.Options)
	conn.ask(1, handshake(plain))
	versions := kmsg.NewPtrApiVersionsRequest()
	if resp, ok := conn.ask(2, versions).(*kmsg.ApiVersionsResponse); ok {
		code(t, "versions after the handshake", resp.ErrorCode, kerr.IllegalSaslState)
		conn.closed()
	} else {
		t.Errorf("versions after the handshake: no answer")
	}

	conn = dial(t, c.SASL.Options)
	if resp, ok := conn.ask(2, versions).(*kmsg.ApiVersionsResponse); ok {
		code(t, "versions before the handshake", resp.ErrorCode, nil)
	}
	conn.ask(1, handshake(plain))
	resp, ok := conn.ask(1, authenticate(plainToken(c.SASL.Admin))).(*kmsg.SASLAuthenticateResponse)
	if !ok {
		t.Errorf("right password: no answer")
		return
	}
	code(t, "right password", resp.ErrorCode, nil)
	equal(t, "session lifetime", resp.SessionLifetimeMillis, int64(0))
	conn.answersAuthenticated()
}

// answersAuthenticated expects that who has nothing left to authenticate is told
// so, and served.
func (r *raw) answersAuthenticated() {
	r.t.Helper()
	if shook, ok := r.ask(1, handshake(plain)).(*kmsg.SASLHandshakeResponse); ok {
		code(r.t, "handshake", shook.ErrorCode, kerr.IllegalSaslState)
		equal(r.t, "mechanisms", len(shook.SupportedMechanisms), 0)
	} else {
		r.t.Errorf("handshake: no answer")
	}
	if resp, ok := r.ask(1, authenticate("token")).(*kmsg.SASLAuthenticateResponse); ok {
		code(r.t, "authentication", resp.ErrorCode, kerr.IllegalSaslState)
		equal(r.t, "message", text(resp.ErrorMessage), "SaslAuthenticate request received after successful authentication")
	} else {
		r.t.Errorf("authentication: no answer")
	}
	r.serves()
}

func nothingToAuthenticate(t T, c Cluster) {
	dial(t, c.Options).answersAuthenticated()
}

// nothingBefore asks all kinds of brokers' work of a connection that nobody has
// authenticated. Behind a handshake an answer can come, which is an error, and is
// the last one.
func nothingBefore(t T, c Cluster) {
	two := []string{name("one"), name("two")}
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = two
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Groups = two
	offsets := kmsg.NewPtrOffsetFetchRequest()
	for _, g := range two {
		og := kmsg.NewOffsetFetchRequestGroup()
		og.Group = g
		offsets.Groups = append(offsets.Groups, og)
	}
	heartbeat := kmsg.NewPtrHeartbeatRequest()
	heartbeat.Group = two[0]
	transactions := kmsg.NewPtrDescribeTransactionsRequest()
	transactions.TransactionalIDs = two
	fetch := kmsg.NewPtrFetchRequest()
	fetch.SessionEpoch, fetch.ReplicaID = -1, -1
	configs := kmsg.NewPtrDescribeConfigsRequest()
	res := kmsg.NewDescribeConfigsRequestResource()
	res.ResourceType, res.ResourceName = 99, "what is it"
	configs.Resources = append(configs.Resources, res)
	alter := kmsg.NewPtrIncrementalAlterConfigsRequest()
	alter.Resources = append(alter.Resources, kmsg.IncrementalAlterConfigsRequestResource{ResourceType: groupResource, ResourceName: two[0]})
	for _, begun := range []bool{false, true} {
		for _, ask := range []struct {
			version int16
			req     kmsg.Request
		}{
			{5, describe}, {2, del}, {8, offsets}, {4, heartbeat}, {0, transactions},
			{4, kmsg.NewPtrListGroupsRequest()}, {0, kmsg.NewPtrListTransactionsRequest()},
			{12, fetch}, {4, configs}, {1, alter}, {12, kmsg.NewPtrMetadataRequest()}, {0, kmsg.NewPtrDescribeClusterRequest()},
		} {
			conn := dial(t, c.SASL.Options)
			if begun {
				conn.ask(1, handshake(plain))
			}
			if conn.ask(ask.version, ask.req) != nil && !begun {
				t.Errorf("%s is answered", kmsg.NameForKey(ask.req.Key()))
			}
			conn.closed()
		}
	}
}

// sentBehind does not wait for the answers of an authentication.
func sentBehind(t T, c Cluster) {
	for _, who := range []struct {
		Credentials
		want *kerr.Error
	}{{c.SASL.Admin, nil}, {c.SASL.User, kerr.TopicAuthorizationFailed}} {
		shake, auth := handshake(plain), authenticate(plainToken(who.Credentials))
		shake.Version, auth.Version = 1, 2
		create := kmsg.NewPtrCreateTopicsRequest()
		create.Version = 7
		ct := kmsg.NewCreateTopicsRequestTopic()
		ct.Topic, ct.NumPartitions, ct.ReplicationFactor = name("topic"), 1, 1
		create.Topics, create.TimeoutMillis, create.ValidateOnly = append(create.Topics, ct), 1000, true
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Version, describe.Groups = 5, []string{name("one"), name("two")}
		conn := dial(t, c.SASL.Options)
		answers := conn.askAtOnce(shake, auth, create, describe)
		if len(answers) != 4 {
			t.Errorf("%s: %d answers to 4 requests", who.Name, len(answers))
			continue
		}
		code(t, "authentication", answers[1].(*kmsg.SASLAuthenticateResponse).ErrorCode, nil)
		code(t, "CreateTopics of "+who.Name, answers[2].(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode, who.want)
		for _, g := range answers[3].(*kmsg.DescribeGroupsResponse).Groups {
			denied := g.ErrorCode == kerr.GroupAuthorizationFailed.Code
			equal(t, "group denied to "+who.Name, denied, who.want != nil)
		}
	}
}

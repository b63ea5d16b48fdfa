package control_test

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control"
)

const topicJSON = `{"name": "made"}`

func TestGuard_keepsWebPagesOut(t *testing.T) {
	b := fakebroker.Run(t)
	s, err := control.Start(b, control.Config{Hosts: []string{"kafka.test"}})
	noError(t, err)
	defer func() { noError(t, s.Close()) }()
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		field              string
	}{
		"a page's host":            {"GET", "/topics", "", []string{"Host", "evil.example"}, 403, "Host"},
		"a page's host and port":   {"GET", "/topics", "", []string{"Host", "evil.example:9099"}, 403, "Host"},
		"localhost":                {"GET", "/topics", "", []string{"Host", "localhost:9099"}, 200, ""},
		"an address":               {"GET", "/topics", "", []string{"Host", "[::1]:9099"}, 200, ""},
		"an address without port":  {"GET", "/topics", "", []string{"Host", "[::1]"}, 200, ""},
		"a name that is known":     {"GET", "/topics", "", []string{"Host", "Kafka.test:1"}, 200, ""},
		"an origin":                {"GET", "/topics", "", []string{"Origin", "http://evil.example"}, 403, "Origin"},
		"an origin of its own":     {"GET", "/topics", "", []string{"Origin", s.URL()}, 403, "Origin"},
		"no origin":                {"GET", "/topics", "", []string{"Origin", "null"}, 403, "Origin"},
		"a form":                   {"POST", "/topics", topicJSON, []string{"Content-Type", "text/plain"}, 415, "Content-Type"},
		"no content type":          {"POST", "/topics", topicJSON, []string{"Content-Type", ""}, 415, "Content-Type"},
		"an empty post":            {"POST", "/topics", "", nil, 415, "Content-Type"},
		"a get with a form":        {"GET", "/topics", "x=1", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "Content-Type"},
		"a delete with plain text": {"DELETE", "/faults", "x", []string{"Content-Type", "text/plain"}, 415, "Content-Type"},
		"JSON with a charset":      {"POST", "/topics", `{"name": "ok"}`, []string{"Content-Type", "application/json; charset=utf-8"}, 201, ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp, p := send(t, transport(t, s), c.method, s.URL()+c.path, c.body, c.headers...)
			equal(t, "status", resp.status, c.status)
			equal(t, "field", p.Field, c.field)
			if h := resp.header.Get("Access-Control-Allow-Origin"); h != "" {
				t.Fatalf("pages of %s may read the answer", h)
			}
		})
	}
	if _, err := b.Partitions("made"); err == nil {
		t.Fatal("a page made a topic")
	}
}

func TestGuard_preflightsAreNotAnswered(t *testing.T) {
	_, s := serve(t, fakebroker.Config{})
	resp, _ := send(t, transport(t, s), "OPTIONS", s.URL()+"/topics", "", "Origin", "http://evil.example", "Access-Control-Request-Method", "POST")
	equal(t, "status", resp.status, 403)
}

func TestGuard_token(t *testing.T) {
	s, err := control.Start(fakebroker.Run(t), control.Config{Token: "secret"})
	noError(t, err)
	defer func() { noError(t, s.Close()) }()
	for authorization, want := range map[string]int{
		"": 401, "secret": 401, "Bearer": 401, "Bearer wrong": 401, "Basic secret": 401, "Bearer secret2": 401,
		"Bearer secret": 200, "bearer secret": 200,
	} {
		for _, path := range []string{"/topics", "/health"} {
			resp, p := send(t, http.DefaultClient, "GET", s.URL()+path, "", "Authorization", authorization)
			equal(t, authorization, resp.status, want)
			if want == 401 {
				equal(t, "challenge", resp.header.Get("WWW-Authenticate"), "Bearer")
				equal(t, "field", p.Field, "Authorization")
			}
		}
	}
}

func TestStart_beyondLoopbackNeedsAToken(t *testing.T) {
	b := fakebroker.Run(t)
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "kafka.test:0"} {
		_, err := control.Start(b, control.Config{Addr: addr})
		configError(t, err, "Token")
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", ""} {
		s, err := control.Start(b, control.Config{Addr: addr})
		noError(t, err)
		noError(t, s.Close())
	}
	s, err := control.Start(b, control.Config{Addr: "0.0.0.0:0", Token: "secret"})
	noError(t, err)
	noError(t, s.Close())
	noError(t, s.Close())
}

func TestStart_whatCannotBe(t *testing.T) {
	b := fakebroker.Run(t)
	s, err := control.Start(b, control.Config{})
	noError(t, err)
	defer func() { noError(t, s.Close()) }()
	for field, c := range map[string]control.Config{
		"Addr": {Addr: s.Addr()}, "MaxBody": {MaxBody: -1},
	} {
		_, err := control.Start(b, c)
		configError(t, err, field)
	}
	_, err = control.Start(b, control.Config{Addr: "nothing"})
	configError(t, err, "Addr")
	for _, host := range []string{"", "http://kafka.test", "kafka.test:9099", "kafka.test/", "a b", "a,b"} {
		_, err = control.Start(b, control.Config{Hosts: []string{"kafka.test", host}})
		configError(t, err, "Hosts")
	}
	_, err = control.Handler(b, control.Config{MaxBody: -1})
	configError(t, err, "MaxBody")
}

func TestBody_isBounded(t *testing.T) {
	s, err := control.Start(fakebroker.Run(t), control.Config{MaxBody: 100})
	noError(t, err)
	defer func() { noError(t, s.Close()) }()
	resp, _ := send(t, transport(t, s), "POST", s.URL()+"/topics", `{"name": "`+strings.Repeat("x", 200)+`"}`)
	equal(t, "status", resp.status, http.StatusRequestEntityTooLarge)
}

func TestMethodsAndPaths_thatAreNot(t *testing.T) {
	_, s := serve(t, fakebroker.Config{})
	resp, _ := send(t, transport(t, s), "DELETE", s.URL()+"/topics", "")
	equal(t, "status", resp.status, http.StatusMethodNotAllowed)
	equal(t, "allowed", resp.header.Get("Allow"), "GET, POST")
	resp, _ = send(t, transport(t, s), "GET", s.URL()+"/nothing", "")
	equal(t, "status", resp.status, http.StatusNotFound)
	resp, _ = send(t, transport(t, s), "GET", s.URL()+"/topics/a/b", "")
	equal(t, "status", resp.status, http.StatusNotFound)
}

func TestClosedBroker_isUnavailable(t *testing.T) {
	b, s := serve(t, orders(1))
	noError(t, b.Close())
	bodies := map[string]string{"POST /topics": `{"name": "made"}`, "POST /topics/x/records": `{"records": [{}]}`, "POST /groups/x/reset": `{"to": "latest"}`, "POST /faults": `{"fault": "cut-off"}`}
	for _, route := range control.Routes() {
		want := http.StatusServiceUnavailable
		if route == "GET /version" || route == "GET /openapi.json" {
			want = http.StatusOK
		}
		route = regexp.MustCompile(`\{.*?\}`).ReplaceAllString(route, "x")
		method, path, _ := strings.Cut(route, " ")
		resp, _ := send(t, transport(t, s), method, s.URL()+path, bodies[route])
		equal(t, route, resp.status, want)
	}
}

func TestClose_waitsForNoSilentConnection(t *testing.T) {
	var log bytes.Buffer // read when nothing writes any more
	s, err := control.Start(orders(1).Run(t), control.Config{Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	noError(t, err)
	control.SetGrace(s, time.Minute)
	silent, err := net.Dial("tcp", s.Addr())
	noError(t, err)
	defer func() { _ = silent.Close() }()
	noError(t, client(t, s).Health(t.Context())) // so that the silent one has been accepted
	noError(t, s.Close())
	if !strings.Contains(log.String(), "silent_connections_closed=1") {
		t.Fatalf("it was not closed: %s", log.String())
	}
	if c, err := net.Dial("tcp", s.Addr()); err == nil {
		_ = c.Close()
		t.Fatal("still listens")
	}
}

func TestClose_waitsForRequests(t *testing.T) {
	b := fakebroker.Run(t)
	s, err := control.Start(b, control.Config{})
	noError(t, err)
	control.SetGrace(s, time.Minute)
	conn, err := net.Dial("tcp", s.Addr())
	noError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "POST /topics HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", s.Addr(), len(topicJSON))
	noError(t, err)
	answers := bufio.NewReader(conn)
	asked, err := answers.ReadString('\n')
	noError(t, err)
	equal(t, "it is under way", strings.HasPrefix(asked, "HTTP/1.1 100 "), true)
	_, err = answers.ReadString('\n')
	noError(t, err)

	closed := make(chan error)
	go func() { closed <- s.Close() }()
	for { // until it no longer listens
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			break
		}
		_ = c.Close()
	}
	_, err = fmt.Fprint(conn, topicJSON)
	noError(t, err)
	resp, err := http.ReadResponse(answers, nil)
	noError(t, err)
	equal(t, "status", resp.StatusCode, http.StatusCreated)
	noError(t, resp.Body.Close())
	noError(t, <-closed)
	if _, err := b.Partitions("made"); err != nil {
		t.Fatal(err)
	}
}

package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control"
	"example.com/kafkatest/fakebroker/control/controlclient"
)

// document is the OpenAPI document as it is served.
func document(t *testing.T, url string) *openapi3.T {
	t.Helper()
	resp, err := http.Get(url + "/openapi.json")
	noError(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	noError(t, err)
	doc, err := openapi3.NewLoader().LoadFromData(b)
	noError(t, err)
	return doc
}

// checked is a transport that holds every answer to the document, and every
// request that was accepted.
type checked struct {
	t      *testing.T
	router routers.Router
	once   sync.Once
	url    string
}

func (c *checked) RoundTrip(req *http.Request) (*http.Response, error) {
	c.once.Do(func() {
		r, err := legacy.NewRouter(document(c.t, c.url))
		noError(c.t, err)
		c.router = r
	})
	var sent []byte
	if req.Body != nil {
		sent, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(got))
	relative := req.Clone(req.Context())
	relative.URL.Host, relative.URL.Scheme = "", ""
	relative.Body = io.NopCloser(bytes.NewReader(sent))
	route, params, err := c.router.FindRoute(relative)
	if err != nil || resp.StatusCode == http.StatusMethodNotAllowed {
		if resp.StatusCode < http.StatusBadRequest {
			c.t.Errorf("%s %s is served and not documented: %v", req.Method, req.URL, err)
		}
		return resp, nil
	}
	in := &openapi3filter.RequestValidationInput{
		Request: relative, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true},
	}
	if resp.StatusCode < http.StatusBadRequest {
		if err := openapi3filter.ValidateRequest(req.Context(), in); err != nil {
			c.t.Errorf("%s %s was accepted against the document: %v\n%s", req.Method, req.URL, err, sent)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	if err := openapi3filter.ValidateResponse(req.Context(), out.SetBodyBytes(got)); err != nil {
		c.t.Errorf("%s %s was answered against the document: %v\n%s", req.Method, req.URL, err, got)
	}
	return resp, nil
}

// serve starts a broker and its control.
func serve(t *testing.T, c fakebroker.Config) (*fakebroker.Broker, *control.Server) {
	t.Helper()
	b := c.Run(t)
	s, err := control.Start(b, control.Config{Version: "test"})
	noError(t, err)
	t.Cleanup(func() { noError(t, s.Close()) })
	return b, s
}

// transport holds what passes to the document.
func transport(t *testing.T, s *control.Server) *http.Client {
	t.Helper()
	return &http.Client{Transport: &checked{t: t, url: s.URL()}}
}

func client(t *testing.T, s *control.Server) *controlclient.Client {
	t.Helper()
	c, err := controlclient.New(s.URL(), controlclient.HTTPClient(transport(t, s)))
	noError(t, err)
	return c
}

func kafka(t *testing.T, b *fakebroker.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	common := append(b.ClientOptions(), kgo.DisableClientMetrics(), kgo.ProducerLinger(0), kgo.MetadataMinAge(20*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	cl, err := kgo.NewClient(append(common, opts...)...)
	noError(t, err)
	t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

func orders(partitions int32) fakebroker.Config {
	return fakebroker.Config{Topics: []fakebroker.Topic{{Name: "orders", Partitions: partitions}}}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// problem is what a request was refused with.
func problem(t *testing.T, err error) controlclient.ProblemError {
	t.Helper()
	var p *controlclient.ProblemError
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a problem", err)
	}
	return *p
}

// send sends a request as it is given.
func send(t *testing.T, c *http.Client, method, url, body string, headers ...string) (answer, controlclient.ProblemError) {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(within(t), method, url, r)
	noError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		switch name, value := headers[i], headers[i+1]; {
		case name == "Host":
			req.Host = value
		case value == "":
			req.Header.Del(name)
		default:
			req.Header.Set(name, value)
		}
	}
	resp, err := c.Do(req)
	noError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var p controlclient.ProblemError
	b, err := io.ReadAll(resp.Body)
	noError(t, err)
	if resp.StatusCode >= http.StatusBadRequest {
		equal(t, "media type", resp.Header.Get("Content-Type"), "application/problem+json")
		noError(t, json.Unmarshal(b, &p))
		equal(t, "status in the problem", p.Status, resp.StatusCode)
	}
	return answer{resp.StatusCode, resp.Header}, p
}

// answer is what is left of one when it was read.
type answer struct {
	status int
	header http.Header
}

func configError(t *testing.T, err error, field string) {
	t.Helper()
	var c *control.ConfigError
	if !errors.As(err, &c) || !errors.Is(err, control.ErrConfig) {
		t.Fatalf("got %v, want a config error", err)
	}
	equal(t, "field of "+err.Error(), c.Field, field)
}

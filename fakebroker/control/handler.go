package control

import (
	_ "embed" // openapi.json
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/internal/nearest"
)

// openAPI describes what is served.
//
//go:embed openapi.json
var openAPI []byte

// api is the resources of one broker.
type api struct {
	broker *fakebroker.Broker
	config Config

	mu     sync.Mutex
	faults []*fault // oldest first
	last   int      // the number of the newest fault
}

// route is what is served at a place. The OpenAPI document has the same, which a
// test holds them to.
type route struct {
	method, path string
	serve        func(*api, *http.Request) (status int, answer any, err error)
	parameters   []string // of the query
	always       bool     // also when the broker was closed
}

var routes = []route{
	{method: "GET", path: "/health", serve: (*api).health},
	{method: "GET", path: "/version", serve: (*api).version, always: true},
	{method: "GET", path: "/openapi.json", serve: (*api).document, always: true},
	{method: "GET", path: "/brokers", serve: (*api).brokers},
	{method: "GET", path: "/topics", serve: (*api).topics},
	{method: "POST", path: "/topics", serve: (*api).createTopic},
	{method: "GET", path: "/topics/{topic}", serve: (*api).topic},
	{method: "DELETE", path: "/topics/{topic}", serve: (*api).deleteTopic},
	{method: "GET", path: "/topics/{topic}/records", serve: (*api).records, parameters: recordParameters},
	{method: "POST", path: "/topics/{topic}/records", serve: (*api).produce},
	{method: "GET", path: "/groups", serve: (*api).groups},
	{method: "GET", path: "/groups/{group}", serve: (*api).group},
	{method: "POST", path: "/groups/{group}/reset", serve: (*api).reset},
	{method: "GET", path: "/transactions", serve: (*api).transactions},
	{method: "GET", path: "/faults", serve: (*api).listFaults},
	{method: "POST", path: "/faults", serve: (*api).createFault},
	{method: "DELETE", path: "/faults", serve: (*api).clearFaults},
	{method: "GET", path: "/faults/{id}", serve: (*api).getFault},
	{method: "DELETE", path: "/faults/{id}", serve: (*api).clearFault},
}

// Handler is the resources of a broker, for a server of one's own. Of the
// config, Addr matters only as a name by which requests may call the server, and
// whether a token is needed is for the caller to know.
func Handler(b *fakebroker.Broker, c Config) (http.Handler, error) {
	token := c.Token
	if token == "" {
		c.Token = "none" // which withDefaults would ask for
	}
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	c.Token = token
	return newHandler(b, c), nil
}

// answer serves a request, while there is a broker.
func (a *api) answer(r route, req *http.Request) (status int, answer any, err error) {
	values, err := parameters(req.URL.RawQuery)
	if err != nil {
		return 0, nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(r.parameters, name) {
			return 0, nil, bad(name, "there is no such parameter%s", nearest.Hint(name, r.parameters, strconv.Quote))
		}
	}
	if r.always {
		return r.serve(a, req)
	}
	if err := a.alive(); err != nil {
		return 0, nil, err
	}
	if status, answer, err = r.serve(a, req); err == nil {
		err = a.alive() // of a broker that is gone meanwhile, what is listed is nothing
	}
	return status, answer, err
}

// parameters are those of a query, none of which is passed over.
func parameters(query string) (url.Values, error) {
	values, err := url.ParseQuery(query)
	if err == nil {
		return values, nil
	}
	for pair := range strings.SplitSeq(query, "&") {
		if _, err := url.ParseQuery(pair); err != nil {
			name, _, _ := strings.Cut(pair, "=")
			return nil, bad(name, "the query is malformed: %v", err)
		}
	}
	return nil, bad("", "the query is malformed: %v", err)
}

func newHandler(b *fakebroker.Broker, c Config) http.Handler {
	a := &api{broker: b, config: c}
	mux := http.NewServeMux()
	var methods []string
	for _, r := range routes {
		if !slices.Contains(methods, r.method) {
			methods = append(methods, r.method)
		}
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			status, answer, err := a.answer(r, req)
			if topic := req.PathValue("topic"); topic != "" && errors.Is(err, fakebroker.ErrUnknownTopic) {
				err = problemf(http.StatusNotFound, "", "there is no topic %q", topic)
			}
			if err != nil {
				refuse(w, err)
				return
			}
			reply(w, status, answer)
		})
	}
	return a.guard(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, pattern := mux.Handler(req); pattern != "" {
			mux.ServeHTTP(w, req)
			return
		}
		var allowed []string
		for _, m := range methods {
			other := req.Clone(req.Context())
			other.Method = m
			if _, pattern := mux.Handler(other); pattern != "" {
				allowed = append(allowed, m)
			}
		}
		if len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			refuse(w, problemf(http.StatusMethodNotAllowed, "", "%s is not possible here; use %s", req.Method, strings.Join(allowed, " or ")))
			return
		}
		refuse(w, problemf(http.StatusNotFound, "", "there is nothing at %s; see /openapi.json", req.URL.Path))
	}))
}

package control

import (
	_ "embed" // openapi.json
	"net/http"
	"slices"
	"strings"
	"sync"

	"example.com/kafkatest/fakebroker"
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
}

var routes = []route{
	{"GET", "/health", (*api).health},
	{"GET", "/version", (*api).version},
	{"GET", "/openapi.json", (*api).document},
	{"GET", "/brokers", (*api).brokers},
	{"GET", "/topics", (*api).topics},
	{"POST", "/topics", (*api).createTopic},
	{"GET", "/topics/{topic}", (*api).topic},
	{"DELETE", "/topics/{topic}", (*api).deleteTopic},
	{"GET", "/topics/{topic}/records", (*api).records},
	{"POST", "/topics/{topic}/records", (*api).produce},
	{"GET", "/groups", (*api).groups},
	{"GET", "/groups/{group}", (*api).group},
	{"POST", "/groups/{group}/reset", (*api).reset},
	{"GET", "/transactions", (*api).transactions},
	{"GET", "/faults", (*api).listFaults},
	{"POST", "/faults", (*api).createFault},
	{"DELETE", "/faults", (*api).clearFaults},
	{"GET", "/faults/{id}", (*api).getFault},
	{"DELETE", "/faults/{id}", (*api).clearFault},
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

func newHandler(b *fakebroker.Broker, c Config) http.Handler {
	a := &api{broker: b, config: c}
	mux := http.NewServeMux()
	var methods []string
	for _, r := range routes {
		if !slices.Contains(methods, r.method) {
			methods = append(methods, r.method)
		}
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			status, answer, err := r.serve(a, req)
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

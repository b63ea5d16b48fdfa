package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard keeps out who must not ask, before anything is looked at.
func (a *api) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !a.knownHost(r.Host):
			refuse(w, problemf(http.StatusForbidden, "Host", "the server is not called %q; use its address, or start it with that name", r.Host))
		case len(r.Header.Values("Origin")) > 0:
			refuse(w, problemf(http.StatusForbidden, "Origin", "web pages may not ask"))
		case !a.authorized(r):
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, problemf(http.StatusUnauthorized, "Authorization", "a token is needed: Authorization: Bearer TOKEN"))
		case hasBody(r) && !isJSON(r):
			refuse(w, problemf(http.StatusUnsupportedMediaType, "Content-Type", "what is sent must be application/json"))
		default:
			r.Body = http.MaxBytesReader(w, r.Body, a.config.MaxBody)
			next.ServeHTTP(w, r)
		}
	})
}

// knownHost reports whether a request names the server as itself. A page whose
// name was made to resolve to this machine names the page's host, which is
// neither an address nor a name of ours.
func (a *api) knownHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return strings.EqualFold(host, "localhost") ||
		slices.ContainsFunc(a.config.Hosts, func(known string) bool { return strings.EqualFold(known, host) })
}

func (a *api) authorized(r *http.Request) bool {
	if a.config.Token == "" {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(a.config.Token))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// hasBody reports whether a request sends something, or has a method that does.
func hasBody(r *http.Request) bool { return r.ContentLength != 0 || r.Method == http.MethodPost }

// isJSON reports whether what is sent says it is JSON, which a page cannot say
// without asking first.
func isJSON(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == "application/json"
}

package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"example.com/kafkatest/fakebroker"
)

// Config says how to serve.
type Config struct {
	// Addr is the HOST:PORT to listen on; port 0 takes a free one. Empty means
	// 127.0.0.1:0.
	Addr string

	// Token is what requests must bring, as "Authorization: Bearer TOKEN". It
	// can be left out on loopback only.
	Token string

	// Hosts are the names, without port, by which requests may call the server
	// besides localhost, IP addresses and the host of Addr. Nothing else may be in
	// one: a request would never have it.
	Hosts []string

	// MaxBody bounds what is sent in a request, in bytes. Zero means 16 MiB.
	MaxBody int64

	// Version is what /version says. Empty means the module's.
	Version string

	// Logger gets what goes wrong with connections, and what closing did to them,
	// at debug level. Nil means nothing is logged.
	Logger *slog.Logger
}

// ErrConfig is wrapped by every [ConfigError].
var ErrConfig = errors.New("invalid control config")

// ConfigError says which field of a Config cannot be used.
type ConfigError struct {
	Field string // such as "Addr"
	Err   error
}

// Error names the field and what to do.
func (e *ConfigError) Error() string { return fmt.Sprintf("%s: %v", e.Field, e.Err) }

// Unwrap gives ErrConfig and the cause.
func (e *ConfigError) Unwrap() []error { return []error{ErrConfig, e.Err} }

func (c Config) withDefaults() (Config, error) {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return c, &ConfigError{"Addr", fmt.Errorf("%q is not HOST:PORT, such as 127.0.0.1:9099", c.Addr)}
	}
	if c.Token == "" && !loopback(host) {
		return c, &ConfigError{"Token", fmt.Errorf("%s can be reached from elsewhere; set a token, or listen on 127.0.0.1", c.Addr)}
	}
	for _, name := range c.Hosts {
		if name == "" || strings.ContainsAny(name, ":/ \t,") {
			return c, &ConfigError{"Hosts", fmt.Errorf("%q is not the name of a host, such as kafka.test; leave out scheme, port and path", name)}
		}
	}
	if c.MaxBody < 0 {
		return c, &ConfigError{"MaxBody", fmt.Errorf("%d is negative; use 0 for the default", c.MaxBody)}
	}
	if c.MaxBody == 0 {
		c.MaxBody = 16 << 20
	}
	if c.Version == "" {
		c.Version = moduleVersion()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if host != "" {
		c.Hosts = append(c.Hosts[:len(c.Hosts):len(c.Hosts)], host)
	}
	return c, nil
}

// loopback reports whether only this machine reaches a host.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// module is what this is a part of.
const module = "example.com/kafkatest"

func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(devel)"
	}
	if info.Main.Path == module && info.Main.Version != "" {
		return info.Main.Version
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return "(devel)"
}

// Server serves one broker's control. Its methods are safe for concurrent use.
type Server struct {
	http   http.Server
	addr   net.Addr
	silent sync.Map // connections that have not asked anything yet

	requests sync.WaitGroup // that are being answered
	grace    time.Duration  // how long Close lets them

	done chan struct{} // closed when nothing is accepted any more
	err  error         // why, once done
}

// Start serves until the server is closed. An error is a [ConfigError], or says
// why it cannot listen; then nothing is left running. Closing the broker does
// not close the server, which then answers 503.
func Start(b *fakebroker.Broker, c Config) (*Server, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	network := "tcp"
	if host, _, _ := net.SplitHostPort(c.Addr); net.ParseIP(host).To4() != nil {
		network = "tcp4" // else 0.0.0.0 would be every interface of both families
	}
	ln, err := net.Listen(network, c.Addr)
	if err != nil {
		return nil, &ConfigError{"Addr", fmt.Errorf("cannot listen on %s; choose another address: %w", c.Addr, err)}
	}
	s := &Server{addr: ln.Addr(), grace: 5 * time.Second, done: make(chan struct{})}
	s.http = http.Server{
		Handler:           s.counted(newHandler(b, c)),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.silent.Store(c, nil)
			} else {
				s.silent.Delete(c)
			}
		},
		ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.err = err
		}
		silent := 0
		s.silent.Range(func(c, _ any) bool { // Shutdown would wait for them
			_ = c.(net.Conn).Close() // nobody waits for an answer
			silent++
			return true
		})
		c.Logger.Debug("control: no longer listening", "silent_connections_closed", silent)
	}()
	return s, nil
}

// counted lets Close know what is being answered, also when it had to cut the
// connections.
func (s *Server) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		defer s.requests.Done()
		next.ServeHTTP(w, r)
	})
}

// Addr is the HOST:PORT that it listens on.
func (s *Server) Addr() string { return s.addr.String() }

// URL is where its resources are, without a slash at the end.
func (s *Server) URL() string { return "http://" + s.Addr() }

// Close stops listening, lets requests that are under way end for up to five
// seconds, and waits until nothing runs any more. Faults stay until they or the
// broker are done with. It may be called more than once.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.grace)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	<-s.done
	s.requests.Wait()
	return errors.Join(err, s.err)
}

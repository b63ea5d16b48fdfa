package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"example.com/kafkatest/adapter"
)

// clusterFlags say how to reach a cluster.
type clusterFlags struct {
	Brokers        *string       `placeholder:"HOST:PORT,..." help:"Brokers to start from, separated by commas. Without it, those in KAFKA_BROKERS."`
	ConnectTimeout time.Duration `default:"10s" help:"How long to wait for a broker to answer."`

	TLS                   bool   `name:"tls" help:"Use TLS. So does each of the flags below."`
	TLSCA                 string `name:"tls-ca" placeholder:"FILE" help:"Certificates (PEM) to trust in place of the system's."`
	TLSCert               string `name:"tls-cert" placeholder:"FILE" help:"Certificate (PEM) to show to the brokers."`
	TLSKey                string `name:"tls-key" placeholder:"FILE" help:"Key (PEM) of that certificate."`
	TLSInsecureSkipVerify bool   `name:"tls-insecure-skip-verify" help:"Accept any certificate: for tests only."`

	SASLMechanism    string `name:"sasl-mechanism" placeholder:"NAME" help:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."`
	SASLUser         string `name:"sasl-user" placeholder:"USER" help:"User to authenticate as. The password is read from KAFKA_SASL_PASSWORD."`
	SASLPasswordFile string `name:"sasl-password-file" placeholder:"FILE" help:"Read the password from a file instead."`
}

// brokersVariable names the brokers where --brokers does not. Empty is as good
// as absent.
const brokersVariable = "KAFKA_BROKERS"

// passwordVariable holds the password: an argument would be on the list of
// processes for all to see.
const passwordVariable = "KAFKA_SASL_PASSWORD"

// config is what the flags say, in the adapter's terms.
func (f clusterFlags) config(logger *slog.Logger) (adapter.Config, error) {
	config := adapter.Config{ClientID: "backuprequest", ConnectTimeout: f.ConnectTimeout, Logger: logger}
	if f.ConnectTimeout <= 0 {
		return config, usagef("--connect-timeout is %v: give a time above zero, such as 10s", f.ConnectTimeout)
	}
	var err error
	if config.Brokers, err = f.addresses(); err != nil {
		return config, err
	}
	if config.TLS, err = f.tls(); err != nil {
		return config, err
	}
	config.SASL, err = f.sasl()
	return config, err
}

// required is config for a command that has no broker of its own.
func (f clusterFlags) required(logger *slog.Logger) (adapter.Config, error) {
	config, err := f.config(logger)
	if err == nil && len(config.Brokers) == 0 {
		err = usagef("no brokers: name them with --brokers HOST:PORT, or in KAFKA_BROKERS")
	}
	return config, err
}

// addresses are the brokers'. There are none when none are named; naming
// nothing, as an unset variable of a script does, is a mistake.
func (f clusterFlags) addresses() ([]string, error) {
	list := os.Getenv(brokersVariable)
	if f.Brokers != nil {
		list = *f.Brokers
	} else if list == "" {
		return nil, nil
	}
	var addresses []string
	for _, address := range strings.Split(list, ",") {
		if address = strings.TrimSpace(address); address == "" {
			continue
		}
		if err := checkAddress(address); err != nil {
			return nil, err
		}
		addresses = append(addresses, address)
	}
	if len(addresses) == 0 {
		return nil, usagef("--brokers names no broker: give HOST:PORT, such as localhost:9092, or leave it out")
	}
	return addresses, nil
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		var n uint64
		n, err = strconv.ParseUint(port, 10, 16)
		if n == 0 || host == "" {
			err = errors.Join(err, errors.New("no host, or no port"))
		}
	}
	if err != nil {
		return usagef("--brokers: %q is not HOST:PORT, such as localhost:9092", address)
	}
	return nil
}

// tls is nil when no flag asks for TLS. The server's name is the address's.
func (f clusterFlags) tls() (*tls.Config, error) {
	if !f.TLS && f.TLSCA == "" && f.TLSCert == "" && f.TLSKey == "" && !f.TLSInsecureSkipVerify {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.TLSInsecureSkipVerify}
	if f.TLSCA != "" {
		pem, err := os.ReadFile(f.TLSCA)
		if err != nil {
			return nil, usagef("--tls-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("--tls-ca: %s has no certificate: give a PEM file", f.TLSCA)
		}
	}
	if (f.TLSCert == "") != (f.TLSKey == "") {
		return nil, usagef("--tls-cert and --tls-key belong together: give both or none")
	}
	if f.TLSCert != "" {
		certificate, err := tls.LoadX509KeyPair(f.TLSCert, f.TLSKey)
		if err != nil {
			return nil, usagef("--tls-cert and --tls-key: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// sasl is nil when no flag asks for SASL.
func (f clusterFlags) sasl() (*adapter.SASL, error) {
	if f.SASLMechanism == "" && f.SASLUser == "" && f.SASLPasswordFile == "" {
		return nil, nil
	}
	s := &adapter.SASL{Mechanism: strings.ToUpper(f.SASLMechanism), User: f.SASLUser, Password: os.Getenv(passwordVariable)}
	if f.SASLPasswordFile != "" {
		content, err := os.ReadFile(f.SASLPasswordFile)
		if err != nil {
			return nil, usagef("--sasl-password-file: %w", err)
		}
		s.Password = strings.TrimRight(string(content), "\r\n")
	}
	switch s.Mechanism {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
	default:
		return nil, usagef("--sasl-mechanism is %q: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", f.SASLMechanism)
	}
	if s.User == "" {
		return nil, usagef("no user: name one with --sasl-user")
	}
	if s.Password == "" {
		return nil, usagef("no password: set %s, or give --sasl-password-file", passwordVariable)
	}
	return s, nil
}

// needsBrokers is the first flag that means nothing without --brokers, or
// empty.
func (f clusterFlags) needsBrokers() string {
	switch {
	case f.TLS, f.TLSCA != "", f.TLSCert != "", f.TLSKey != "", f.TLSInsecureSkipVerify:
		return "--tls"
	case f.SASLMechanism != "":
		return "--sasl-mechanism"
	case f.SASLUser != "":
		return "--sasl-user"
	case f.SASLPasswordFile != "":
		return "--sasl-password-file"
	}
	return ""
}

// clientOptions are an adapter's settings for a client that is not the
// adapter's: one that reads without a group.
func clientOptions(c adapter.Config) []kgo.Opt {
	options := []kgo.Opt{kgo.ClientID(cmp.Or(c.ClientID, "backuprequest"))}
	if len(c.Brokers) > 0 {
		options = append(options, kgo.SeedBrokers(c.Brokers...))
	}
	if c.TLS != nil {
		options = append(options, kgo.DialTLSConfig(c.TLS))
	}
	if c.SASL != nil {
		auth := scram.Auth{User: c.SASL.User, Pass: c.SASL.Password}
		switch c.SASL.Mechanism {
		case "SCRAM-SHA-256":
			options = append(options, kgo.SASL(auth.AsSha256Mechanism()))
		case "SCRAM-SHA-512":
			options = append(options, kgo.SASL(auth.AsSha512Mechanism()))
		default:
			options = append(options, kgo.SASL(plain.Auth{User: c.SASL.User, Pass: c.SASL.Password}.AsMechanism()))
		}
	}
	return append(options, c.ClientOptions...)
}

// connect is an adapter that has reached a broker. The error names the brokers
// and the last cause.
func connect(ctx context.Context, c adapter.Config) (*adapter.Adapter, error) {
	a, err := adapter.New(c)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	if err := a.Ready(limited); err != nil {
		var unreachable *adapter.NotConnectedError
		if errors.As(err, &unreachable) && ctx.Err() == nil {
			err = fmt.Errorf("%w: check the addresses, and that --tls and the credentials are what the brokers want", err)
		}
		_ = a.Close(context.WithoutCancel(ctx)) // there is nothing in it
		return nil, err
	}
	return a, nil
}

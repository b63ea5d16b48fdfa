package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"example.com/kafkatest/fakebroker"
)

// users are those of the flag, its variable, and the file.
func (s settings) users() (out []fakebroker.User, err error) {
	type login struct{ mechanism, name string }
	seen := make(map[login]bool)
	add := func(text string) error {
		u, err := fakebroker.ParseUser(text)
		if err != nil {
			return err
		}
		l := login{u.Mechanism, u.Name}
		if seen[l] {
			return fmt.Errorf("user %q of %s is there twice; give it once", u.Name, u.Mechanism)
		}
		seen[l] = true
		out = append(out, u)
		return nil
	}
	for _, text := range s.SASLUser {
		if err := add(text); err != nil {
			return nil, s.wrong("sasl-user", "%w", err)
		}
	}
	if s.SASLUserFile == "" {
		return out, nil
	}
	b, err := os.ReadFile(s.SASLUserFile)
	if err != nil {
		return nil, s.wrong("sasl-user-file", "%w", err)
	}
	number := 0
	for text := range strings.Lines(strings.TrimPrefix(string(b), "\ufeff")) {
		number++
		text = strings.TrimRight(text, "\r\n")
		if start := strings.TrimSpace(text); start == "" || start[0] == '#' {
			continue
		}
		if err := add(text); err != nil {
			return nil, s.wrong("sasl-user-file", "%s:%d: %w", s.SASLUserFile, number, err)
		}
	}
	return out, nil
}

// tls is the brokers' side of TLS, nil when no listener has it. Without a
// certificate, the package makes one.
func (s settings) tls() (*tls.Config, error) {
	if len(s.TLSListen)+len(s.SASLTLSListen) == 0 {
		for _, given := range [][2]string{
			{"tls-cert", s.TLSCert}, {"tls-key", s.TLSKey}, {"tls-dir", s.TLSDir}, {"tls-client-ca", s.TLSClientCA}, {"tls-client-auth", s.TLSClientAuth},
		} {
			if given[1] != "" {
				return nil, s.wrong(given[0], "no listener has TLS; give --tls-listen or --sasl-tls-listen")
			}
		}
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case s.TLSDir != "" && s.TLSCert+s.TLSKey != "":
		return nil, s.wrong("tls-dir", "it is for a certificate made at start; leave it out, or --tls-cert and --tls-key")
	case s.TLSDir != "":
	case s.TLSCert == "" && s.TLSKey != "":
		return nil, s.wrong("tls-key", "the certificate that it is for is missing; give --tls-cert")
	case s.TLSKey == "" && s.TLSCert != "":
		return nil, s.wrong("tls-cert", "its key is missing; give --tls-key")
	case s.TLSCert == "":
		return nil, mistake{errors.New("TLS needs a certificate: give --tls-cert and --tls-key, or --tls-dir for one made at start")}
	default:
		for _, given := range [][2]string{{"tls-cert", s.TLSCert}, {"tls-key", s.TLSKey}} {
			if _, err := os.ReadFile(given[1]); err != nil {
				return nil, s.wrong(given[0], "%w", err)
			}
		}
		pair, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		if err != nil {
			return nil, mistake{fmt.Errorf("%s %s and %s %s cannot be used together: %w", s.name("tls-cert"), s.TLSCert, s.name("tls-key"), s.TLSKey, err)}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if s.TLSClientCA != "" {
		b, err := os.ReadFile(s.TLSClientCA)
		if err != nil {
			return nil, s.wrong("tls-client-ca", "%w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(b) {
			return nil, s.wrong("tls-client-ca", "%s has no certificate in PEM", s.TLSClientCA)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	switch s.TLSClientAuth {
	case "":
	case "none":
		if s.TLSClientCA != "" {
			return nil, s.wrong("tls-client-auth", "with none, nobody looks at what --tls-client-ca is for; leave one of the two out")
		}
		c.ClientAuth = tls.NoClientCert
	case "requested":
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case "required":
		c.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil, s.wrong("tls-client-auth", "%q is not one of: none, requested, required", s.TLSClientAuth)
	}
	if c.ClientAuth != tls.NoClientCert && s.TLSClientCA == "" && s.TLSDir == "" {
		return nil, s.wrong("tls-client-auth", "nobody says whose certificates clients show; give --tls-client-ca")
	}
	return c, nil
}

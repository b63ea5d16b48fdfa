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
	for _, text := range s.SASLUser {
		u, err := fakebroker.ParseUser(text)
		if err != nil {
			return nil, fmt.Errorf("--sasl-user: %w", err)
		}
		out = append(out, u)
	}
	if s.SASLUserFile == "" {
		return out, nil
	}
	b, err := os.ReadFile(s.SASLUserFile)
	if err != nil {
		return nil, fmt.Errorf("--sasl-user-file: %w", err)
	}
	number := 0
	for text := range strings.Lines(string(b)) {
		number++
		if text = strings.TrimRight(text, "\r\n"); strings.TrimSpace(text) == "" {
			continue
		}
		u, err := fakebroker.ParseUser(text)
		if err != nil {
			return nil, fmt.Errorf("--sasl-user-file: %s:%d: %w", s.SASLUserFile, number, err)
		}
		out = append(out, u)
	}
	return out, nil
}

// tls is the brokers' side of TLS, nil when no listener has it. Without a
// certificate, the package makes one.
func (s settings) tls() (*tls.Config, error) {
	given := map[string]string{
		"--tls-cert": s.TLSCert, "--tls-key": s.TLSKey, "--tls-dir": s.TLSDir, "--tls-client-ca": s.TLSClientCA, "--tls-client-auth": s.TLSClientAuth,
	}
	if len(s.TLSListen)+len(s.SASLTLSListen) == 0 {
		for _, flag := range []string{"--tls-cert", "--tls-key", "--tls-dir", "--tls-client-ca", "--tls-client-auth"} {
			if given[flag] != "" {
				return nil, fmt.Errorf("%s: no listener has TLS; give --tls-listen or --sasl-tls-listen", flag)
			}
		}
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case s.TLSDir != "" && s.TLSCert+s.TLSKey != "":
		return nil, errors.New("--tls-dir: it is for a certificate made at start; leave it out, or --tls-cert and --tls-key")
	case s.TLSDir != "":
	case s.TLSCert == "" || s.TLSKey == "":
		return nil, errors.New("TLS needs a certificate: give --tls-cert and --tls-key, or --tls-dir for one made at start")
	default:
		pair, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert %s and --tls-key %s cannot be used together: %w", s.TLSCert, s.TLSKey, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if s.TLSClientCA != "" {
		b, err := os.ReadFile(s.TLSClientCA)
		if err != nil {
			return nil, fmt.Errorf("--tls-client-ca: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("--tls-client-ca: %s has no certificate in PEM", s.TLSClientCA)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	switch s.TLSClientAuth {
	case "":
	case "none":
		c.ClientAuth = tls.NoClientCert
	case "requested":
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case "required":
		c.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil, fmt.Errorf("--tls-client-auth: %q is none of none, requested and required", s.TLSClientAuth)
	}
	if c.ClientAuth != tls.NoClientCert && s.TLSClientCA == "" && s.TLSDir == "" {
		return nil, errors.New("--tls-client-auth: nobody says whose certificates clients show; give --tls-client-ca")
	}
	return c, nil
}

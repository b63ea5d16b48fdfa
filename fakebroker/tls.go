package fakebroker

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Files in Config.TLSDir. Keys can be read by their owner only.
const (
	caFile        = "ca.pem"
	caKeyFile     = "ca-key.pem"
	brokerFile    = "broker.pem"
	brokerKeyFile = "broker-key.pem"
	clientFile    = "client.pem"
	clientKeyFile = "client-key.pem"
)

// caName is the issuer of every certificate that is made here, by which they are
// known again.
const caName = "fakebroker CA"

// certificates are made at start, for brokers whose user has none.
type certificates struct {
	ca     tls.Certificate
	broker tls.Certificate
	client tls.Certificate // of Subject CN=client
}

// makeCertificates makes what a broker and a client need. The CA is the one in
// the folder when there is one, so that clients need not learn to trust another
// after a restart.
func makeCertificates(dir string, hosts []string) (*certificates, error) {
	var c certificates
	var err error
	if c.ca, err = readCA(dir); err != nil {
		return nil, err
	}
	if c.ca.Leaf == nil {
		if c.ca, err = makeCertificate(&x509.Certificate{
			Subject: pkix.Name{CommonName: caName}, IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}, nil); err != nil {
			return nil, err
		}
	}
	broker := &x509.Certificate{
		Subject: pkix.Name{CommonName: hosts[0]}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			broker.IPAddresses = append(broker.IPAddresses, ip)
		} else {
			broker.DNSNames = append(broker.DNSNames, h)
		}
	}
	if c.broker, err = makeCertificate(broker, &c.ca); err != nil {
		return nil, err
	}
	if c.client, err = makeCertificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "client"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, &c.ca); err != nil {
		return nil, err
	}
	return &c, c.write(dir)
}

// makeCertificate makes a certificate and its key; without a parent it signs
// itself. Behind it in the chain comes the parent's.
func makeCertificate(template *x509.Certificate, parent *tls.Certificate) (tls.Certificate, error) {
	const serialBits, day = 127, 24 * time.Hour
	const life, caLife = 800 * day, 10 * 365 * day // some clients refuse brokers' that are valid for longer than 825 days
	fail := func(err error) (tls.Certificate, error) {
		return tls.Certificate{}, fmt.Errorf("making a certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return fail(err)
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour) // clocks differ
	template.NotAfter = template.NotBefore.Add(life)
	signer, signKey := template, any(key)
	if template.IsCA {
		// It may be used again with another clock: a bubble's starts in 2000.
		template.NotBefore = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
		template.NotAfter = time.Now().Add(caLife)
	}
	if parent != nil {
		signer, signKey = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signKey)
	if err != nil {
		return fail(err)
	}
	out := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if parent != nil {
		out.Certificate = append(out.Certificate, parent.Certificate[0])
	}
	if out.Leaf, err = x509.ParseCertificate(der); err != nil {
		return fail(err)
	}
	return out, nil
}

// readCA reads the CA of an earlier start; its Leaf is nil when there is none.
// What is in the folder under our names must be ours, as it will be replaced.
func readCA(dir string) (tls.Certificate, error) {
	if dir == "" {
		return tls.Certificate{}, nil
	}
	if err := makeFolder(dir); err != nil {
		return tls.Certificate{}, err
	}
	for _, f := range [][2]string{{caFile, caKeyFile}, {brokerFile, brokerKeyFile}, {clientFile, clientKeyFile}} {
		if err := checkOurs(filepath.Join(dir, f[0]), filepath.Join(dir, f[1])); err != nil {
			return tls.Certificate{}, err
		}
	}
	path := filepath.Join(dir, caFile)
	ca, err := tls.LoadX509KeyPair(path, filepath.Join(dir, caKeyFile))
	switch _, there := os.Stat(path); {
	case errors.Is(there, fs.ErrNotExist):
		return tls.Certificate{}, nil
	case err != nil:
		return tls.Certificate{}, fmt.Errorf("the CA in %s cannot be used; delete it to have one made: %w", dir, err)
	case !ca.Leaf.IsCA || time.Now().After(ca.Leaf.NotAfter):
		return tls.Certificate{}, fmt.Errorf("%s is no CA, or has expired; delete it to have one made", path)
	}
	return ca, nil
}

// checkOurs reports that a certificate or its key is there and was not made here.
func checkOurs(cert, key string) error {
	foreign := func(path string) error {
		return fmt.Errorf("%s was not made here and would be replaced; choose another folder", path)
	}
	b, err := os.ReadFile(cert)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(key); err == nil {
			return foreign(key)
		}
		return nil
	}
	if err != nil {
		return err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return foreign(cert)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil || c.Issuer.CommonName != caName {
		return foreign(cert)
	}
	return nil
}

// write puts the certificates where programs find them.
func (c *certificates) write(dir string) error {
	if dir == "" {
		return nil
	}
	const public, secret = 0o644, 0o600
	for _, f := range []struct {
		name, key string
		cert      tls.Certificate
	}{
		{caFile, caKeyFile, c.ca}, {brokerFile, brokerKeyFile, c.broker}, {clientFile, clientKeyFile, c.client},
	} {
		key, err := x509.MarshalPKCS8PrivateKey(f.cert.PrivateKey)
		if err != nil {
			return err
		}
		var chain bytes.Buffer
		for _, der := range f.cert.Certificate {
			chain.Write(pemOf("CERTIFICATE", der))
		}
		if err := replaceFile(filepath.Join(dir, f.name), chain.Bytes(), public); err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(dir, f.key), pemOf("PRIVATE KEY", key), secret); err != nil {
			return err
		}
	}
	return nil
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// replaceFile writes a file that nobody sees half of, whatever was there.
func replaceFile(path string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone when it was renamed
	_, err = f.Write(b)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// CA is the certificate of the CA that was made at start, in PEM; nil when the
// config has a certificate of its own, or no listener has TLS.
func (b *Broker) CA() []byte {
	if b.made == nil {
		return nil
	}
	return pemOf("CERTIFICATE", b.made.ca.Certificate[0])
}

func hasCertificate(c *tls.Config) bool {
	return c != nil && (len(c.Certificates) > 0 || c.GetCertificate != nil || c.GetConfigForClient != nil)
}

// certify makes the certificates that the config lacks.
func (b *Broker) certify() error {
	secure := false
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	for _, l := range b.cfg.Listeners {
		secure = secure || l.TLS
		for _, addr := range append(append([]string(nil), l.Advertise...), l.Listen...) {
			if a := parseHostport(addr); l.TLS && !a.unspecified() {
				hosts = append(hosts, a.host)
			}
		}
	}
	if !secure || hasCertificate(b.cfg.TLS) {
		return nil
	}
	made, err := makeCertificates(b.cfg.TLSDir, hosts)
	if err != nil {
		return &ConfigError{Field: "TLSDir", Err: err}
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if b.cfg.TLS != nil {
		c = b.cfg.TLS.Clone()
	}
	c.Certificates = []tls.Certificate{made.broker}
	if c.ClientAuth != tls.NoClientCert {
		if c.ClientCAs == nil {
			c.ClientCAs = x509.NewCertPool()
		} else {
			c.ClientCAs = c.ClientCAs.Clone()
		}
		c.ClientCAs.AddCert(made.ca.Leaf)
	}
	b.made, b.cfg.TLS = made, c
	return nil
}

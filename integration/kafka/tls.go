package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// keyFile has, in a node's folder, its key and certificates.
const keyFile = "keystore.pem"

// makeCertificates makes an authority, and a key store for each node.
func (k *Kafka) makeCertificates() error {
	caKey, ca, err := newCertificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "kafkatest"}, SerialNumber: big.NewInt(1),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}, nil, nil)
	if err != nil {
		return err
	}
	k.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
	k.caFile = filepath.Join(k.dir, "ca.pem")
	if err := os.WriteFile(k.caFile, k.ca, 0o644); err != nil {
		return fmt.Errorf("writing the authority's certificate: %w", err)
	}
	for id := 1; id <= k.config.Nodes; id++ {
		key, cert, err := newCertificate(&x509.Certificate{
			Subject: pkix.Name{CommonName: "localhost"}, SerialNumber: big.NewInt(int64(1 + id)),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.ParseIP(host)},
		}, caKey, ca)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return fmt.Errorf("writing the key of node %d: %w", id, err)
		}
		store := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		store = append(store, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
		store = append(store, k.ca...)
		if err := errors.Join(os.MkdirAll(k.nodeDir(id), 0o700), os.WriteFile(filepath.Join(k.nodeDir(id), keyFile), store, 0o600)); err != nil {
			return fmt.Errorf("writing the key of node %d: %w", id, err)
		}
	}
	return nil
}

// newCertificate signs itself when it is given no authority.
func newCertificate(template *x509.Certificate, caKey *ecdsa.PrivateKey, ca *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	if ca == nil {
		caKey, ca = key, template
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		return nil, nil, fmt.Errorf("making a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("making a certificate: %w", err)
	}
	return key, cert, nil
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control"
)

// announcement is what --json prints.
type announcement struct {
	Brokers   []brokerAnnounced   `json:"brokers"`
	Listeners []listenerAnnounced `json:"listeners"`
	CAFile    string              `json:"ca_file,omitempty"`
	DataDir   string              `json:"data_dir,omitempty"`
	Control   string              `json:"control,omitempty"` // a URL
}

type brokerAnnounced struct {
	ID        int32             `json:"id"`
	Rack      string            `json:"rack,omitempty"`
	Addresses map[string]string `json:"addresses"` // what clients are told, by protocol
}

type listenerAnnounced struct {
	Protocol   string   `json:"protocol"`   // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
	Listen     []string `json:"listen"`     // by broker
	Advertised []string `json:"advertised"` // what clients are told, by broker
}

// announce says where clients connect: a line for each address, or one JSON
// object on one line.
func announce(w io.Writer, b *fakebroker.Broker, c *control.Server, s settings) error {
	a := announcement{}
	if c != nil {
		a.Control = c.URL()
	}
	if b.CA() != nil {
		a.CAFile = absolute(filepath.Join(s.TLSDir, "ca.pem"))
	}
	if s.DataDir != "" {
		a.DataDir = absolute(s.DataDir)
	}
	for i, id := range b.NodeIDs() {
		o := brokerAnnounced{ID: id, Addresses: make(map[string]string)}
		if i < len(s.Rack) {
			o.Rack = s.Rack[i]
		}
		a.Brokers = append(a.Brokers, o)
	}
	for _, l := range b.Listeners() {
		a.Listeners = append(a.Listeners, listenerAnnounced{l.Protocol(), l.Listen, l.Advertise})
		for i, addr := range l.Advertise {
			a.Brokers[i].Addresses[l.Protocol()] = addr
		}
	}
	if s.JSON {
		return json.NewEncoder(w).Encode(a)
	}
	return a.lines(w)
}

func (a announcement) lines(w io.Writer) error {
	how := map[string]string{"SSL": " with TLS", "SASL_PLAINTEXT": " with SASL", "SASL_SSL": " with SASL and TLS"}
	for _, l := range a.Listeners {
		for i, addr := range l.Listen {
			line := "listening" + how[l.Protocol] + " on " + addr
			if l.Advertised[i] != addr {
				line += " as " + l.Advertised[i]
			}
			if _, err := fmt.Fprintln(w, line); err != nil {
				return err
			}
		}
	}
	if a.CAFile != "" {
		if _, err := fmt.Fprintln(w, "clients trust", a.CAFile); err != nil {
			return err
		}
	}
	if a.Control != "" {
		_, err := fmt.Fprintln(w, "control on", a.Control)
		return err
	}
	return nil
}

// absolute is for other processes, which may be elsewhere.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

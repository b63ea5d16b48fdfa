package main

import (
	"encoding/json"
	"fmt"
	"io"

	"example.com/kafkatest/fakebroker"
)

// announcement is what --json prints.
type announcement struct {
	Brokers []brokerAnnounced `json:"brokers"`
}

type brokerAnnounced struct {
	ID      int32  `json:"id"`
	Address string `json:"address"`
}

// announce says where clients connect: a line for each address, or one JSON
// object on one line.
func announce(w io.Writer, b *fakebroker.Broker, asJSON bool) error {
	if asJSON {
		var a announcement
		for i, addr := range b.Addrs() {
			a.Brokers = append(a.Brokers, brokerAnnounced{ID: int32(i), Address: addr})
		}
		return json.NewEncoder(w).Encode(a)
	}
	for _, addr := range b.Addrs() {
		if _, err := fmt.Fprintln(w, "listening on", addr); err != nil {
			return err
		}
	}
	return nil
}

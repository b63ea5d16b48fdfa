package control

import (
	"errors"
	"net/http"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control/controlclient"
)

// alive asks the cluster something, and fails when that is gone: what is listed
// then is nothing.
func (a *api) alive() error {
	if _, err := a.broker.Partitions("any"); errors.Is(err, fakebroker.ErrClosed) {
		return err
	}
	return nil
}

func (*api) health(*http.Request) (int, any, error) {
	return http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"}, nil
}

func (a *api) version(*http.Request) (int, any, error) {
	return http.StatusOK, controlclient.Version{Version: a.config.Version, Module: module}, nil
}

func (a *api) document(*http.Request) (int, any, error) { return http.StatusOK, openAPI, nil }

func (a *api) brokers(*http.Request) (int, any, error) {
	out := []controlclient.Broker{}
	for _, n := range a.broker.Nodes() {
		out = append(out, controlclient.Broker{ID: n.ID, Addr: n.Addr, Rack: n.Rack, Up: n.Up})
	}
	return http.StatusOK, struct {
		Brokers []controlclient.Broker `json:"brokers"`
	}{out}, nil
}

func (a *api) transactions(*http.Request) (int, any, error) {
	out := []controlclient.Transaction{}
	for _, t := range a.broker.Transactions() {
		tx := controlclient.Transaction{
			ID: t.ID, State: t.State, Coordinator: t.Coordinator, ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch,
			TimeoutMS: t.Timeout.Milliseconds(), Partitions: t.Partitions,
		}
		if !t.Started.IsZero() {
			tx.Started = &t.Started
		}
		if tx.Partitions == nil {
			tx.Partitions = map[string][]int32{}
		}
		out = append(out, tx)
	}
	return http.StatusOK, struct {
		Transactions []controlclient.Transaction `json:"transactions"`
	}{out}, nil
}

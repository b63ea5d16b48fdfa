package kafkaname_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/internal/kafkaname"
)

func TestAPI(t *testing.T) {
	for name, want := range map[string]kmsg.Key{
		"Produce": kmsg.Produce, "produce": kmsg.Produce, "SaslHandshake": kmsg.SASLHandshake, "SASLHandshake": kmsg.SASLHandshake,
		"AlterPartitionReassignments": kmsg.AlterPartitionAssignments, "AlterPartitionAssignments": kmsg.AlterPartitionAssignments,
		"InitProducerId": kmsg.InitProducerID, "ListConfigResources": kmsg.ListConfigResources,
	} {
		if got, known := kafkaname.API(name); !known || got != want {
			t.Errorf("%s: got %v, %t", name, got, known)
		}
	}
	for _, name := range []string{"", "Unknown", "Prodcue"} {
		if got, known := kafkaname.API(name); known {
			t.Errorf("%s: got %v", name, got)
		}
	}
	for n := range int16(kmsg.MaxKey + 1) {
		key := kmsg.Key(n)
		if key.Name() == "Unknown" {
			continue
		}
		if got, known := kafkaname.API(kafkaname.OfAPI(key)); !known || got != key {
			t.Errorf("%s: got %v", kafkaname.OfAPI(key), got)
		}
	}
	if got := kafkaname.OfAPI(kmsg.AlterPartitionAssignments); got != "AlterPartitionReassignments" {
		t.Error(got)
	}
}

func TestError(t *testing.T) {
	for name, want := range map[string]*kerr.Error{
		"NOT_LEADER_OR_FOLLOWER": kerr.NotLeaderForPartition, "NOT_LEADER_FOR_PARTITION": kerr.NotLeaderForPartition,
		"UNKNOWN_SERVER_ERROR": kerr.UnknownServerError, "NOT_COORDINATOR": kerr.NotCoordinator, "NONE": nil, "": nil, "NOT_LEADER": nil,
	} {
		if got := kafkaname.Error(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	if got := kafkaname.OfError(kerr.NotLeaderForPartition); got != "NOT_LEADER_OR_FOLLOWER" {
		t.Error(got)
	}
	if got := kafkaname.OfError(kerr.NotCoordinator); got != "NOT_COORDINATOR" {
		t.Error(got)
	}
}

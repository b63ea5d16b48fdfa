// Package kafkaname has the names that Apache Kafka gives APIs (ApiKeys) and errors
// (Errors), where kmsg and kerr have names of their own.
package kafkaname

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var apis = map[kmsg.Key]string{
	kmsg.LeaderAndISR:                 "LeaderAndIsr",
	kmsg.SASLHandshake:                "SaslHandshake",
	kmsg.InitProducerID:               "InitProducerId",
	kmsg.DescribeACLs:                 "DescribeAcls",
	kmsg.CreateACLs:                   "CreateAcls",
	kmsg.DeleteACLs:                   "DeleteAcls",
	kmsg.SASLAuthenticate:             "SaslAuthenticate",
	kmsg.AlterPartitionAssignments:    "AlterPartitionReassignments",
	kmsg.DescribeUserSCRAMCredentials: "DescribeUserScramCredentials",
	kmsg.AlterUserSCRAMCredentials:    "AlterUserScramCredentials",
	kmsg.AllocateProducerIDs:          "AllocateProducerIds",
}

// OfAPI is the name of an API.
func OfAPI(key kmsg.Key) string {
	if name, other := apis[key]; other {
		return name
	}
	return key.Name()
}

// API is an API by its name, or by the one that kmsg has, in any case.
func API(name string) (key kmsg.Key, known bool) {
	for n := range int16(kmsg.MaxKey + 1) {
		key := kmsg.Key(n)
		if key.Name() != "Unknown" && (strings.EqualFold(name, OfAPI(key)) || strings.EqualFold(name, key.Name())) {
			return key, true
		}
	}
	return 0, false
}

// OfError is the name of an error.
func OfError(err *kerr.Error) string {
	if err.Code == kerr.NotLeaderForPartition.Code {
		return "NOT_LEADER_OR_FOLLOWER" // since Kafka 2.6
	}
	return err.Message
}

// Error is an error by its name, or by the one that kerr has; nil when there is
// none.
func Error(name string) *kerr.Error {
	const first, last = -1, 200 // more than there are
	for code := int16(first); code <= last; code++ {
		e := kerr.TypedErrorForCode(code)
		if e != nil && e.Code == code && (OfError(e) == name || e.Message == name) {
			return e
		}
	}
	return nil
}

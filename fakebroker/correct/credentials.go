package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func credentials(Cluster) []Correction {
	return []Correction{
		{
			Rule: wire.Rule{
				Name:   "SCRAM credentials are refused with a reason",
				Keys:   wire.Keys(kmsg.AlterUserSCRAMCredentials),
				Answer: answered(saysWhyNotAltered),
			},
			Restores:  "KIP-554; ScramControlManager: one answer for each user, with a message",
			Upstream:  "51_alter_user_scram_credentials.go has codes only, and an answer for each credential",
			Behaviour: "cluster/SCRAM credentials are refused with a reason",
		},
		{
			Rule: wire.Rule{
				Name:   "SCRAM credentials that there are not are described with a reason",
				Keys:   wire.Keys(kmsg.DescribeUserSCRAMCredentials),
				Answer: answered(saysWhyNotDescribed),
			},
			Restores:  "KIP-554; ScramImage.describe",
			Upstream:  "50_describe_user_scram_credentials.go has codes only",
			Behaviour: "cluster/SCRAM credentials are described or missed with a reason",
		},
		{
			Rule: wire.Rule{
				Name: "SCRAM credentials of all users are described when none is named",
				Keys: wire.Keys(kmsg.DescribeUserSCRAMCredentials),
				Request: asked(func(x *wire.Exchange, req *kmsg.DescribeUserSCRAMCredentialsRequest) {
					if req.Users != nil && len(req.Users) == 0 {
						all := *req
						all.Users = nil
						x.SetRequest(&all)
					}
				}),
				Answer: answered(saysNothingIsWrong),
			},
			Restores:  "KIP-554: null and empty stand for all users; ScramImage.describe: the message of an answer without error is empty",
			Upstream:  "50_describe_user_scram_credentials.go takes empty for nobody, and its answer has no message",
			Behaviour: "cluster/SCRAM credentials of all users are described when none is named",
		},
	}
}

const maxIterations = 16384

func saysWhyNotAltered(_ *wire.Exchange, req *kmsg.AlterUserSCRAMCredentialsRequest, resp *kmsg.AlterUserSCRAMCredentialsResponse) bool {
	seen := make(map[string]bool)
	resp.Results = slices.DeleteFunc(resp.Results, func(r kmsg.AlterUserSCRAMCredentialsResponseResult) bool {
		again := seen[r.User]
		seen[r.User] = true
		return again
	})
	for i := range resp.Results {
		r := &resp.Results[i]
		if r.ErrorMessage != nil {
			continue
		}
		var message string
		switch r.ErrorCode {
		case kerr.ResourceNotFound.Code:
			message = "Attempt to delete a user credential that does not exist"
		case kerr.DuplicateResource.Code:
			message = "A user credential cannot be altered twice in the same request"
		case kerr.UnsupportedSaslMechanism.Code:
			message = "Unknown SCRAM mechanism"
		case kerr.UnacceptableCredential.Code:
			message = "Too few iterations"
			if r.User == "" {
				message = "Username must not be empty"
			}
			if slices.ContainsFunc(req.Upsertions, func(u kmsg.AlterUserSCRAMCredentialsRequestUpsertion) bool {
				return u.Name == r.User && u.Iterations > maxIterations
			}) {
				message = "Too many iterations"
			}
		default:
			continue
		}
		r.ErrorMessage = &message
	}
	return true
}

func saysWhyNotDescribed(_ *wire.Exchange, _ *kmsg.DescribeUserSCRAMCredentialsRequest, resp *kmsg.DescribeUserSCRAMCredentialsResponse) bool {
	for i := range resp.Results {
		r := &resp.Results[i]
		var message string
		switch {
		case r.ErrorMessage != nil:
			continue
		case r.ErrorCode == kerr.ResourceNotFound.Code:
			message = "Attempt to describe a user credential that does not exist: " + r.User
		case r.ErrorCode == kerr.DuplicateResource.Code:
			message = "Cannot describe SCRAM credentials for the same user twice in a single request: " + r.User
		}
		r.ErrorMessage = &message
	}
	return true
}

func saysNothingIsWrong(_ *wire.Exchange, _ *kmsg.DescribeUserSCRAMCredentialsRequest, resp *kmsg.DescribeUserSCRAMCredentialsResponse) bool {
	if resp.ErrorCode != 0 {
		return false
	}
	resp.ErrorMessage = kmsg.StringPtr("")
	return true
}

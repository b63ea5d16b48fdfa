package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func versions(c Cluster) []Correction {
	told := &versionsTold{cluster: c}
	return []Correction{{
		Rule: wire.Rule{
			Name:  "OffsetForLeaderEpoch v2 is understood",
			Keys:  wire.Keys(kmsg.OffsetForLeaderEpoch),
			Wants: func(h wire.Header) bool { return h.Version == 2 },
			Request: asked(func(x *wire.Exchange, req *kmsg.OffsetForLeaderEpochRequest) {
				req.Version = 3 // which also says who asks
				x.SetRequest(req)
			}),
		},
		Restores:  "KIP-320: the version that clients first used",
		Upstream:  "23_offset_for_leader_epoch.go begins with v3",
		Behaviour: "cluster/OffsetForLeaderEpoch v2 is understood",
	}, {
		Rule: wire.Rule{
			Name:  "ListOffsets v11 is understood",
			Keys:  wire.Keys(kmsg.ListOffsets),
			Wants: func(h wire.Header) bool { return h.Version == 11 },
			Request: asked(func(x *wire.Exchange, req *kmsg.ListOffsetsRequest) {
				const tiered, pending = -5, -6 // neither is anywhere without tiered storage
				req.Version = 10
				for _, t := range req.Topics {
					for i := range t.Partitions {
						if t.Partitions[i].Timestamp == pending {
							t.Partitions[i].Timestamp = tiered
						}
					}
				}
				x.SetRequest(req)
			}),
		},
		Restores:  "KIP-1023: the offset that is to be moved to tiered storage next",
		Upstream:  "02_list_offsets.go ends with v10",
		Behaviour: "topics/special timestamps",
	}, {
		Rule: wire.Rule{
			Name:    "ApiVersions has the versions of Kafka's, and no more than is served",
			Keys:    wire.Keys(kmsg.ApiVersions, kmsg.UpdateFeatures),
			Request: told.repeat,
			Answer:  told.answer,
		},
		Restores:  "KIP-896, KIP-714, KIP-1022: versions that are gone, telemetry only with a receiver, and no supported feature that starts at 0 in v3",
		Upstream:  "18_api_versions.go names whatever is implemented",
		Behaviour: "cluster/APIs have the versions of Kafka's",
	}}
}

// nameVersions has an answer name what Kafka 4 does. One that speaks as an older
// release keeps what that has, but for old versions that are served all the same:
// old clients look for them.
func nameVersions(resp *kmsg.ApiVersionsResponse, older bool) {
	for i := range resp.ApiKeys {
		k := &resp.ApiKeys[i]
		if v, ok := oldestVersions[kmsg.Key(k.ApiKey)]; ok && v <= k.MaxVersion && (!older || v < k.MinVersion) {
			k.MinVersion = v
		}
		if v, ok := newestVersions[kmsg.Key(k.ApiKey)]; ok && !older {
			k.MaxVersion = v
		}
	}
	if older {
		return
	}
	resp.ApiKeys = slices.DeleteFunc(resp.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool {
		return k.ApiKey == kmsg.GetTelemetrySubscriptions.Int16() || k.ApiKey == kmsg.PushTelemetry.Int16()
	})
	for _, k := range served() {
		if !slices.ContainsFunc(resp.ApiKeys, func(have kmsg.ApiVersionsResponseApiKey) bool { return have.ApiKey == k.ApiKey }) {
			resp.ApiKeys = append(resp.ApiKeys, k)
		}
	}
	slices.SortFunc(resp.ApiKeys, func(a, b kmsg.ApiVersionsResponseApiKey) int { return int(a.ApiKey) - int(b.ApiKey) })
}

// oldestVersions are the versions that Kafka 4 begins with, where kfake has
// others. Those of produce before 3 are named and not served, for librdkafka.
var oldestVersions = map[kmsg.Key]int16{
	kmsg.Produce: 0, kmsg.ListOffsets: 1, kmsg.OffsetCommit: 2, kmsg.OffsetFetch: 1, kmsg.SASLHandshake: 0,
	kmsg.CreateTopics: 2, kmsg.DeleteTopics: 1, kmsg.OffsetForLeaderEpoch: 2, kmsg.WriteTxnMarkers: 1,
	kmsg.DescribeACLs: 1, kmsg.CreateACLs: 1, kmsg.DeleteACLs: 1, kmsg.DescribeConfigs: 1,
	kmsg.AlterReplicaLogDirs: 1, kmsg.DescribeLogDirs: 1,
	kmsg.ShareGroupHeartbeat: 1, kmsg.ShareGroupDescribe: 1, kmsg.ShareFetch: 1, kmsg.ShareAcknowledge: 1,
	kmsg.CreateDelegationToken: 1, kmsg.RenewDelegationToken: 1, kmsg.ExpireDelegationToken: 1, kmsg.DescribeDelegationToken: 1,
}

// newestVersions are those of Kafka 4.3 that kfake does not have, and corrections
// understand.
var newestVersions = map[kmsg.Key]int16{kmsg.ListOffsets: 11}

// served are the APIs that corrections answer by themselves.
func served() []kmsg.ApiVersionsResponseApiKey {
	key := func(k kmsg.Key, oldest, newest int16) kmsg.ApiVersionsResponseApiKey {
		return kmsg.ApiVersionsResponseApiKey{ApiKey: k.Int16(), MinVersion: oldest, MaxVersion: newest}
	}
	return []kmsg.ApiVersionsResponseApiKey{
		key(kmsg.DescribeQuorum, 0, 2),
		key(kmsg.CreateDelegationToken, 1, 3), key(kmsg.RenewDelegationToken, 1, 2),
		key(kmsg.ExpireDelegationToken, 1, 2), key(kmsg.DescribeDelegationToken, 1, 3),
		key(kmsg.StreamsGroupDescribe, 0, 0),
	}
}

func hideFeatures(resp *kmsg.ApiVersionsResponse) {
	const firstFrom0 = 4 // KAFKA-17011: clients of v3 fail on them
	if resp.Version < firstFrom0 {
		resp.SupportedFeatures = slices.DeleteFunc(resp.SupportedFeatures, func(f kmsg.ApiVersionsResponseSupportedFeature) bool {
			return f.MinVersion == 0
		})
	}
	// The quorum is a static one, which is what there was before this feature.
	resp.FinalizedFeatures = slices.DeleteFunc(resp.FinalizedFeatures, func(f kmsg.ApiVersionsResponseFinalizedFeature) bool {
		return f.Name == "kraft.version"
	})
}

package brokertest

import (
	"encoding/base64"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func clusterBehaviours() []Behaviour {
	return []Behaviour{
		{
			Name:   "cluster/APIs have the versions of Kafka's",
			Source: "KIP-896, KIP-714; the protocol guide of 4.3",
			Run:    versionsOfKafka,
		},
		{
			Name:   "cluster/features are those of the release",
			Source: "KIP-584, KIP-1022, KAFKA-17011",
			Run:    featuresOfKafka,
		},
		{
			Name:   "cluster/a version of ApiVersions that is not known is answered in v0",
			Source: "KIP-511",
			Run:    unknownVersion,
		},
		{
			Name:   "cluster/versions that are gone end the connection",
			Source: "KIP-896; SocketServer.parseRequestHeader",
			Run:    goneVersionsEndTheConnection,
		},
		{
			Name:   "cluster/OffsetForLeaderEpoch v2 is understood",
			Source: "KIP-320",
			Run:    epochsInVersion2,
		},
		{
			Name:   "cluster/a coordinator that is not found is no node",
			Source: "KIP-699; FindCoordinatorResponse, KafkaApis.handleFindCoordinatorRequest",
			Run:    coordinatorIsNoNode,
		},
		{
			Name:   "cluster/nobody subscribes to the metrics of clients",
			Source: "KIP-714; ClientMetricsManager",
			Run:    nobodySubscribes,
		},
		{
			Name:   "cluster/authorized operations are those that there are",
			Source: "KIP-430; AclEntry.supportedOperations",
			Run:    authorizedOperations,
		},
		{
			Name:   "cluster/the id is a uuid",
			Source: "Uuid.toString",
			Run:    clusterID,
		},
		{
			Name:   "cluster/a broker does not describe controllers",
			Source: "KIP-919",
			Run:    endpointTypes,
		},
		{
			Name:   "cluster/metadata v0 without topics is of all topics",
			Source: "MetadataRequest.json",
			Run:    metadataOfAll,
		},
		{
			Name:   "cluster/the quorum is described",
			Source: "KIP-595, KIP-836, KIP-853",
			Run:    describesQuorum,
		},
		{
			Name:   "cluster/delegation tokens are refused",
			Source: "KIP-48; KafkaApis.allowTokenRequests",
			Run:    refusesTokens,
		},
	}
}

// versionsOf43 are the oldest and the newest version that 4.3 names of each API.
func versionsOf43() map[kmsg.Key][2]int16 {
	return map[kmsg.Key][2]int16{
		kmsg.Produce: {0, 13}, kmsg.Fetch: {4, 18}, kmsg.ListOffsets: {1, 11}, kmsg.Metadata: {0, 13}, kmsg.OffsetCommit: {2, 10},
		kmsg.OffsetFetch: {1, 10}, kmsg.FindCoordinator: {0, 6}, kmsg.JoinGroup: {0, 9}, kmsg.Heartbeat: {0, 4},
		kmsg.LeaveGroup: {0, 5}, kmsg.SyncGroup: {0, 5}, kmsg.DescribeGroups: {0, 6}, kmsg.ListGroups: {0, 5},
		kmsg.SASLHandshake: {0, 1}, kmsg.ApiVersions: {0, 4}, kmsg.CreateTopics: {2, 7}, kmsg.DeleteTopics: {1, 6},
		kmsg.DeleteRecords: {0, 2}, kmsg.InitProducerID: {0, 5}, kmsg.OffsetForLeaderEpoch: {2, 4},
		kmsg.AddPartitionsToTxn: {0, 5}, kmsg.AddOffsetsToTxn: {0, 4}, kmsg.EndTxn: {0, 5}, kmsg.WriteTxnMarkers: {1, 2},
		kmsg.TxnOffsetCommit: {0, 5}, kmsg.DescribeACLs: {1, 3}, kmsg.CreateACLs: {1, 3}, kmsg.DeleteACLs: {1, 3},
		kmsg.DescribeConfigs: {1, 4}, kmsg.AlterConfigs: {0, 2}, kmsg.AlterReplicaLogDirs: {1, 2},
		kmsg.DescribeLogDirs: {1, 5}, kmsg.SASLAuthenticate: {0, 2}, kmsg.CreatePartitions: {0, 3},
		kmsg.CreateDelegationToken: {1, 3}, kmsg.RenewDelegationToken: {1, 2}, kmsg.ExpireDelegationToken: {1, 2},
		kmsg.DescribeDelegationToken: {1, 3}, kmsg.DeleteGroups: {0, 2}, kmsg.ElectLeaders: {0, 2},
		kmsg.IncrementalAlterConfigs: {0, 1}, kmsg.AlterPartitionAssignments: {0, 1}, kmsg.ListPartitionReassignments: {0, 0},
		kmsg.OffsetDelete: {0, 0}, kmsg.DescribeClientQuotas: {0, 1}, kmsg.AlterClientQuotas: {0, 1},
		kmsg.DescribeUserSCRAMCredentials: {0, 0}, kmsg.AlterUserSCRAMCredentials: {0, 0}, kmsg.DescribeQuorum: {0, 2},
		kmsg.UpdateFeatures: {0, 2}, kmsg.DescribeCluster: {0, 2}, kmsg.DescribeProducers: {0, 0},
		kmsg.DescribeTransactions: {0, 0}, kmsg.ListTransactions: {0, 2}, kmsg.ConsumerGroupHeartbeat: {0, 1},
		kmsg.ConsumerGroupDescribe: {0, 1}, kmsg.ListConfigResources: {0, 1}, kmsg.DescribeTopicPartitions: {0, 0},
		kmsg.ShareGroupHeartbeat: {1, 1}, kmsg.ShareGroupDescribe: {1, 1}, kmsg.ShareFetch: {1, 2},
		kmsg.ShareAcknowledge: {1, 2}, kmsg.DescribeShareGroupOffsets: {0, 1}, kmsg.AlterShareGroupOffsets: {0, 0},
		kmsg.DeleteShareGroupOffsets: {0, 0}, kmsg.StreamsGroupDescribe: {0, 0},
	}
}

func apiVersions(t T, c Cluster, v int16) *kmsg.ApiVersionsResponse {
	t.Helper()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "brokertest", "1"
	resp, ok := dial(t, c.Options).ask(v, req).(*kmsg.ApiVersionsResponse)
	if !ok {
		t.Errorf("v%d: no answer", v)
		t.FailNow()
	}
	return resp
}

// There are APIs of Kafka's that a broker to test against can do without. They are
// not looked at.
func versionsOfKafka(t T, c Cluster) {
	for v := int16(0); v <= 4; v++ {
		resp := apiVersions(t, c, v)
		code(t, "versions", resp.ErrorCode, nil)
		have := make(map[kmsg.Key][2]int16)
		for _, k := range resp.ApiKeys {
			have[kmsg.Key(k.ApiKey)] = [2]int16{k.MinVersion, k.MaxVersion}
		}
		for k, want := range versionsOf43() {
			if have[k] != want {
				t.Errorf("v%d: %s is %v, want %v", v, k.Name(), have[k], want)
			}
		}
		for _, k := range []kmsg.Key{kmsg.GetTelemetrySubscriptions, kmsg.PushTelemetry} {
			if _, ok := have[k]; ok {
				t.Errorf("v%d: %s is named without a receiver", v, k.Name())
			}
		}
	}
}

// goneVersionsEndTheConnection asks in all versions before the oldest ones, those of
// Produce included that are named without being served.
func goneVersionsEndTheConnection(t T, c Cluster) {
	oldest := map[kmsg.Key]int16{kmsg.ListOffsets: 1, kmsg.Produce: 3}
	for k, v := range versionsOf43() {
		oldest[k] = max(oldest[k], v[0])
	}
	for k, first := range oldest {
		for v := range first {
			conn := dial(t, c.Options)
			if conn.ask(v, kmsg.RequestForKey(k.Int16())) != nil {
				t.Errorf("%s v%d is answered", k.Name(), v)
				continue
			}
			conn.closed()
		}
	}
}

func featuresOfKafka(t T, c Cluster) {
	wantSupported := map[string][2]int16{
		"metadata.version": {7, 30}, "kraft.version": {0, 1}, "transaction.version": {0, 2}, "group.version": {0, 1},
		"share.version": {0, 1}, "streams.version": {0, 1}, "eligible.leader.replicas.version": {0, 1},
	}
	wantFinalized := map[string]int16{
		"metadata.version": 30, "transaction.version": 2, "group.version": 1, "share.version": 1,
		"streams.version": 1, "eligible.leader.replicas.version": 1,
	}
	for _, v := range []int16{3, 4} {
		resp := apiVersions(t, c, v)
		supported, finalized := make(map[string][2]int16), make(map[string]int16)
		for _, f := range resp.SupportedFeatures {
			supported[f.Name] = [2]int16{f.MinVersion, f.MaxVersion}
		}
		for _, f := range resp.FinalizedFeatures {
			finalized[f.Name] = f.MaxVersionLevel
		}
		if v == 3 {
			equal(t, "supported in v3", supported, map[string][2]int16{"metadata.version": {7, 30}})
		} else {
			equal(t, "supported", supported, wantSupported)
		}
		equal(t, "finalized", finalized, wantFinalized)
		if resp.FinalizedFeaturesEpoch < 0 {
			t.Errorf("epoch %d of finalized features", resp.FinalizedFeaturesEpoch)
		}
	}
}

func unknownVersion(t T, c Cluster) {
	const newest = 4
	for _, v := range []int16{newest + 1, newest + 5} {
		resp := apiVersions(t, c, v)
		code(t, "version "+number(int32(v)), resp.ErrorCode, kerr.UnsupportedVersion)
		if len(resp.ApiKeys) != 1 {
			t.Errorf("%d APIs, want ApiVersions only", len(resp.ApiKeys))
			continue
		}
		k := resp.ApiKeys[0]
		equal(t, "API", k.ApiKey, kmsg.ApiVersions.Int16())
		equal(t, "newest", k.MaxVersion, int16(newest))
	}
}

func epochsInVersion2(t T, c Cluster) {
	cl := newClient(t, c, version(kmsg.OffsetForLeaderEpoch, 2))
	topic := newTopic(t, cl, 1)
	produce(t, cl, topic, "a", "b")
	epoch := partition(t, cl, topic).LeaderEpoch
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	rp.LeaderEpoch, rp.CurrentLeaderEpoch = epoch, epoch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, ok := dial(t, c.Options).ask(2, req).(*kmsg.OffsetForLeaderEpochResponse)
	if !ok {
		t.Errorf("no answer")
		return
	}
	p := resp.Topics[0].Partitions[0]
	if p.ErrorCode == kerr.NotLeaderForPartition.Code {
		return // understood, by another broker than the leader
	}
	code(t, "partition", p.ErrorCode, nil)
	equal(t, "end", p.EndOffset, int64(2))
}

func nobodySubscribes(t T, c Cluster) {
	resp, ok := dial(t, c.Options).ask(0, kmsg.NewPtrGetTelemetrySubscriptionsRequest()).(*kmsg.GetTelemetrySubscriptionsResponse)
	if !ok {
		t.Errorf("no answer")
		return
	}
	code(t, "subscriptions", resp.ErrorCode, nil)
	equal(t, "metrics", len(resp.RequestedMetrics), 0)
	equal(t, "interval", resp.PushIntervalMillis, int32(300000))
	equal(t, "compressions", resp.AcceptedCompressionTypes, []int8{4, 3, 1, 2})
}

// operations are Kafka's names of the bits of a field of operations.
func operations(bits int32) (names []string) {
	for op := kmsg.ACLOperationAll; op <= kmsg.ACLOperationIdempotentWrite; op++ {
		if bits&(1<<op) != 0 {
			names = append(names, op.String())
		}
	}
	return names
}

func authorizedOperations(t T, c Cluster) {
	ofCluster := []string{"CREATE", "ALTER", "DESCRIBE", "CLUSTER_ACTION", "DESCRIBE_CONFIGS", "ALTER_CONFIGS", "IDEMPOTENT_WRITE"}
	ofTopic := []string{"READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"}
	const notAsked = -1 << 31
	topic := newTopic(t, newClient(t, c), 1)
	for _, v := range []int16{8, 10, 13} {
		for _, asked := range []bool{true, false} {
			req := kmsg.NewPtrMetadataRequest()
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic = &topic
			req.Topics = append(req.Topics, rt)
			req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = asked, asked
			resp, ok := dial(t, c.Options).ask(v, req).(*kmsg.MetadataResponse)
			if !ok {
				t.Errorf("metadata v%d: no answer", v)
				continue
			}
			if !asked || v > 10 {
				equal(t, "cluster's, not asked for", resp.AuthorizedOperations, int32(notAsked))
			} else {
				equal(t, "cluster's", operations(resp.AuthorizedOperations), ofCluster)
			}
			if asked {
				equal(t, "topic's", operations(resp.Topics[0].AuthorizedOperations), ofTopic)
			} else {
				equal(t, "topic's, not asked for", resp.Topics[0].AuthorizedOperations, int32(notAsked))
			}
		}
	}
	for v := int16(0); v <= 2; v++ {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.IncludeClusterAuthorizedOperations = true
		if resp, ok := dial(t, c.Options).ask(v, req).(*kmsg.DescribeClusterResponse); ok {
			equal(t, "cluster's", operations(resp.ClusterAuthorizedOperations), ofCluster)
		} else {
			t.Errorf("cluster v%d: no answer", v)
		}
	}
}

func clusterID(t T, c Cluster) {
	cl := newClient(t, c)
	id := ask[*kmsg.MetadataResponse](t, cl, kmsg.NewPtrMetadataRequest()).ClusterID
	raw, err := base64.RawURLEncoding.DecodeString(text(id))
	noError(t, err)
	equal(t, "bytes of "+text(id), len(raw), 16)
	equal(t, "described id", ask[*kmsg.DescribeClusterResponse](t, cl, kmsg.NewPtrDescribeClusterRequest()).ClusterID, text(id))
}

func endpointTypes(t T, c Cluster) {
	for v := int16(1); v <= 2; v++ {
		for endpoint, want := range map[int8]*kerr.Error{1: nil, 2: kerr.MismatchedEndpointType, 3: kerr.UnsupportedEndpointType} {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.EndpointType = endpoint
			resp, ok := dial(t, c.Options).ask(v, req).(*kmsg.DescribeClusterResponse)
			if !ok {
				t.Errorf("v%d: no answer", v)
				continue
			}
			code(t, "endpoint type "+number(int32(endpoint)), resp.ErrorCode, want)
			equal(t, "with brokers", len(resp.Brokers) > 0, want == nil)
			equal(t, "message", resp.ErrorMessage != nil && *resp.ErrorMessage != "", want != nil)
		}
	}
}

func metadataOfAll(t T, c Cluster) {
	topic := newTopic(t, newClient(t, c), 1)
	for v := int16(0); v <= 1; v++ {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{}
		resp, ok := dial(t, c.Options).ask(v, req).(*kmsg.MetadataResponse)
		if !ok {
			t.Errorf("v%d: no answer", v)
			continue
		}
		listed := slices.ContainsFunc(resp.Topics, func(r kmsg.MetadataResponseTopic) bool { return text(r.Topic) == topic })
		equal(t, "all topics listed in v"+number(int32(v)), listed, v == 0)
	}
}

func describesQuorum(t T, c Cluster) {
	cl := newClient(t, c)
	brokers := ask[*kmsg.MetadataResponse](t, cl, kmsg.NewPtrMetadataRequest()).Brokers
	const metadata = "__cluster_metadata"
	for v := int16(0); v <= 2; v++ {
		req := kmsg.NewPtrDescribeQuorumRequest()
		for _, topic := range []string{metadata, "other"} {
			rt := kmsg.NewDescribeQuorumRequestTopic()
			rt.Topic = topic
			rt.Partitions = append(rt.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
			req.Topics = append(req.Topics, rt)
		}
		conn := dial(t, c.Options)
		other := *req
		req.Topics, other.Topics = req.Topics[:1], req.Topics[1:]
		resp, ok := conn.ask(v, req).(*kmsg.DescribeQuorumResponse)
		if !ok {
			t.Errorf("v%d: no answer", v)
			continue
		}
		code(t, "quorum", resp.ErrorCode, nil)
		p := resp.Topics[0].Partitions[0]
		code(t, "partition", p.ErrorCode, nil)
		equal(t, "topic", resp.Topics[0].Topic, metadata)
		var voters, known []int32
		for i, s := range slices.Concat(p.CurrentVoters, p.Observers) {
			if known = append(known, s.ReplicaID); i < len(p.CurrentVoters) {
				voters = append(voters, s.ReplicaID)
			}
			equal(t, "log end", s.LogEndOffset > 0, true)
			if v > 0 {
				equal(t, "time of the last fetch", s.LastFetchTimestamp > 0, true)
				equal(t, "time of having caught up", s.LastCaughtUpTimestamp > 0, true)
			}
		}
		equal(t, "leader votes", slices.Contains(voters, p.LeaderID), true)
		equal(t, "high watermark", p.HighWatermark > 0, true)
		for _, b := range brokers {
			equal(t, "broker "+number(b.NodeID)+" takes part", slices.Contains(known, b.NodeID), true)
		}
		if v >= 2 {
			equal(t, "message", text(resp.ErrorMessage), "")
			equal(t, "nodes are the voters", len(resp.Nodes), len(voters))
			for _, n := range resp.Nodes {
				equal(t, "a listener", len(n.Listeners) == 1 && n.Listeners[0].Port > 0, true)
			}
		}
		if resp, ok := conn.ask(v, &other).(*kmsg.DescribeQuorumResponse); ok {
			code(t, "another topic", resp.Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
		} else {
			t.Errorf("another topic, v%d: no answer", v)
		}
	}
}

func refusesTokens(t T, c Cluster) {
	conn := dial(t, c.Options)
	want := kerr.DelegationTokenRequestNotAllowed
	if resp, ok := conn.ask(3, kmsg.NewPtrCreateDelegationTokenRequest()).(*kmsg.CreateDelegationTokenResponse); ok {
		code(t, "create", resp.ErrorCode, want)
	} else {
		t.Errorf("create: no answer")
		return
	}
	if resp, ok := conn.ask(2, kmsg.NewPtrRenewDelegationTokenRequest()).(*kmsg.RenewDelegationTokenResponse); ok {
		code(t, "renew", resp.ErrorCode, want)
	}
	if resp, ok := conn.ask(2, kmsg.NewPtrExpireDelegationTokenRequest()).(*kmsg.ExpireDelegationTokenResponse); ok {
		code(t, "expire", resp.ErrorCode, want)
	}
	if resp, ok := conn.ask(3, kmsg.NewPtrDescribeDelegationTokenRequest()).(*kmsg.DescribeDelegationTokenResponse); ok {
		code(t, "describe", resp.ErrorCode, want)
	}
}

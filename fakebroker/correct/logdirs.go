package correct

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

// logDir is the only log directory of each of kfake's brokers.
const logDir = "/mem/kfake"

// usable is what kfake says is left there, in bytes.
const usable = 32 << 30

func storing(c Cluster) []Correction {
	const rule = "AlterReplicaLogDirs knows the directories"
	return []Correction{
		{
			Rule: wire.Rule{
				Name: "DescribeLogDirs lists the directory, with what is on the broker",
				Keys: wire.Keys(kmsg.DescribeLogDirs),
				Answer: answered(func(x *wire.Exchange, _ *kmsg.DescribeLogDirsRequest, resp *kmsg.DescribeLogDirsResponse) bool {
					correctLogDirs(c, x.Node, resp)
					return true
				}),
			},
			Restores:  "KIP-113, KIP-827: each log directory is listed, with the replicas that the broker has; its total is not less than what is usable",
			Upstream:  "35_describe_log_dirs.go has none without partitions, and the partitions of all brokers",
			Behaviour: "topics/log directories are listed",
		},
		{
			Rule: wire.Rule{
				Name:    rule,
				Keys:    wire.Keys(kmsg.AlterReplicaLogDirs),
				Request: asked(func(x *wire.Exchange, req *kmsg.AlterReplicaLogDirsRequest) { leaveInPlace(x, req, rule) }),
				Answer: completed(rule, func(_ *wire.Exchange, refused []kmsg.AlterReplicaLogDirsResponseTopic, resp *kmsg.AlterReplicaLogDirsResponse) {
					resp.Topics = append(resp.Topics, refused...)
				}),
			},
			Restores:  "KIP-113: LOG_DIR_NOT_FOUND for a directory that the broker does not have",
			Upstream:  "34_alter_replica_log_dirs.go moves partitions anywhere",
			Behaviour: "topics/a replica does not move to a directory that is not there",
		},
	}
}

func correctLogDirs(c Cluster, node int32, resp *kmsg.DescribeLogDirsResponse) {
	if resp.ErrorCode != 0 {
		return
	}
	if len(resp.Dirs) == 0 {
		d := kmsg.NewDescribeLogDirsResponseDir()
		d.Dir, d.UsableBytes = logDir, usable
		resp.Dirs = append(resp.Dirs, d)
	}
	for i := range resp.Dirs {
		d := &resp.Dirs[i]
		d.TotalBytes = d.UsableBytes
		for j := range d.Topics {
			t := &d.Topics[j]
			topic, ok := c.Topic(t.Topic)
			t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.DescribeLogDirsResponseDirTopicPartition) bool {
				return !ok || int(p.Partition) >= len(topic.Leaders) || !slices.Contains(replicasOf(c, topic, p.Partition), node)
			})
			slices.SortFunc(t.Partitions, func(a, b kmsg.DescribeLogDirsResponseDirTopicPartition) int { return int(a.Partition - b.Partition) })
			for _, p := range t.Partitions {
				d.TotalBytes += p.Size
			}
		}
		d.Topics = slices.DeleteFunc(d.Topics, func(t kmsg.DescribeLogDirsResponseDirTopic) bool { return len(t.Partitions) == 0 })
	}
}

// leaveInPlace does not tell the broker about partitions that cannot move.
func leaveInPlace(x *wire.Exchange, req *kmsg.AlterReplicaLogDirsRequest, rule string) {
	rest := *req
	rest.Dirs = nil
	var refused []kmsg.AlterReplicaLogDirsResponseTopic
	for _, d := range req.Dirs {
		if d.Dir == logDir {
			rest.Dirs = append(rest.Dirs, d)
			continue
		}
		for _, t := range d.Topics {
			rt := kmsg.NewAlterReplicaLogDirsResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p, kerr.LogDirNotFound.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			refused = append(refused, rt)
		}
	}
	if refused != nil {
		keep(x, rule, refused)
		x.SetRequest(&rest)
	}
}

package fakebroker_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

// refusable are requests about topics a and b, two partitions each, and groups g and h.
// Here OffsetFetch is refused as a whole.
func refusable(ids map[string][16]byte) map[string]kmsg.Request {
	all := map[string]kmsg.Request{}
	topics := []string{"a", "b"}

	produce := kmsg.NewPtrProduceRequest()
	produce.Acks = 1
	fetch := kmsg.NewPtrFetchRequest()
	list := kmsg.NewPtrListOffsetsRequest()
	epochs := kmsg.NewPtrOffsetForLeaderEpochRequest()
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Group, commit.Generation = "g", -1
	truncate := kmsg.NewPtrDeleteRecordsRequest()
	metadata := kmsg.NewPtrMetadataRequest()
	create := kmsg.NewPtrCreateTopicsRequest()
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.TopicNames = topics
	for _, name := range topics {
		pt, ft, lt, et := kmsg.NewProduceRequestTopic(), kmsg.NewFetchRequestTopic(), kmsg.NewListOffsetsRequestTopic(), kmsg.NewOffsetForLeaderEpochRequestTopic()
		ct, tt := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewDeleteRecordsRequestTopic()
		pt.Topic, pt.TopicID, ft.Topic, ft.TopicID = name, ids[name], name, ids[name]
		lt.Topic, et.Topic, ct.Topic, tt.Topic = name, name, name, name
		ct.TopicID = ids[name]
		for p := range int32(2) {
			pp, fp, lp, ep := kmsg.NewProduceRequestTopicPartition(), kmsg.NewFetchRequestTopicPartition(), kmsg.NewListOffsetsRequestTopicPartition(), kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			cp, tp := kmsg.NewOffsetCommitRequestTopicPartition(), kmsg.NewDeleteRecordsRequestTopicPartition()
			pp.Partition, fp.Partition, lp.Partition, ep.Partition, cp.Partition, tp.Partition = p, p, p, p, p, p
			pp.Records = oneRecord()
			fp.PartitionMaxBytes, cp.Offset = 1<<20, 1
			pt.Partitions, ft.Partitions, lt.Partitions = append(pt.Partitions, pp), append(ft.Partitions, fp), append(lt.Partitions, lp)
			et.Partitions, ct.Partitions, tt.Partitions = append(et.Partitions, ep), append(ct.Partitions, cp), append(tt.Partitions, tp)
		}
		produce.Topics, fetch.Topics, list.Topics, epochs.Topics = append(produce.Topics, pt), append(fetch.Topics, ft), append(list.Topics, lt), append(epochs.Topics, et)
		commit.Topics, truncate.Topics = append(commit.Topics, ct), append(truncate.Topics, tt)
		mt, nt := kmsg.NewMetadataRequestTopic(), kmsg.NewCreateTopicsRequestTopic()
		mt.Topic, nt.Topic, nt.NumPartitions, nt.ReplicationFactor = &name, name, 1, 1
		metadata.Topics, create.Topics = append(metadata.Topics, mt), append(create.Topics, nt)
	}
	add := func(req kmsg.Request, versions ...int16) {
		for _, v := range versions {
			c := kmsg.RequestForKey(req.Key())
			req.SetVersion(v)
			c.SetVersion(v)
			if err := c.ReadFrom(req.AppendTo(nil)); err != nil {
				panic(err)
			}
			all[fmt.Sprintf("%s v%d", kmsg.NameForKey(req.Key()), v)] = c
		}
	}
	add(produce, 3, 9, 13)
	add(fetch, 4, 12, 13)
	add(list, 1, 7)
	add(epochs, 2, 4)
	add(commit, 2, 9, 10)
	add(truncate, 0, 2)
	add(metadata, 1, 12)
	add(create, 2, 7)
	add(remove, 1, 5)

	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey, find.CoordinatorKeys = "g", []string{"g", "h"}
	add(find, 0, 3, 4)
	describe, deleteGroups := kmsg.NewPtrDescribeGroupsRequest(), kmsg.NewPtrDeleteGroupsRequest()
	describe.Groups, deleteGroups.Groups = []string{"g", "h"}, []string{"g", "h"}
	add(describe, 0, 5)
	add(deleteGroups, 0, 2)
	join, share := kmsg.NewPtrJoinGroupRequest(), kmsg.NewPtrShareGroupHeartbeatRequest()
	join.Group, share.GroupID = "g", "g"
	add(join, 2, 9)
	add(share, 1)
	add(kmsg.NewPtrInitProducerIDRequest(), 0, 4)
	end := kmsg.NewPtrEndTxnRequest()
	end.TransactionalID = "tx"
	add(end, 1, 4)
	return all
}

// oneRecord is a batch as producers send it.
func oneRecord() []byte {
	const head, crcAt = 12, 17
	r := kmsg.Record{Length: 7, Value: []byte{1}}
	b := kmsg.RecordBatch{Magic: 2, PartitionLeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: r.AppendTo(nil)}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-head))
	binary.BigEndian.PutUint32(raw[crcAt:], crc32.Checksum(raw[crcAt+4:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// errorsIn are the errors of an answer, each with what it is about.
func errorsIn(v reflect.Value, about string) (all []string) {
	for _, name := range []string{"Topic", "TopicID", "Partition", "Group", "Key"} {
		if name == "TopicID" && strings.Contains(about, "Topic") {
			continue // its name says it
		}
		if f := reflect.Indirect(v.FieldByName(name)); f.IsValid() && f.Kind() != reflect.Slice && !f.IsZero() {
			about += fmt.Sprintf(" %s %v", name, f.Interface())
		}
	}
	if code := v.FieldByName("ErrorCode"); code.IsValid() && code.Int() != 0 {
		all = append(all, fmt.Sprintf("%s: %d", about, code.Int()))
	}
	for i := range v.NumField() {
		if list := v.Field(i); list.Kind() == reflect.Slice && list.Type().Elem().Kind() == reflect.Struct {
			for j := range list.Len() {
				all = append(all, errorsIn(list.Index(j), about)...)
			}
		}
	}
	return all
}

// refuses is a broker with topics that have ids.
func refuses(t *testing.T) (*fakebroker.Broker, map[string][16]byte) {
	t.Helper()
	b := fakebroker.Run(t, "a:2", "b:2")
	ids := map[string][16]byte{}
	for _, topic := range askAt(t, b.Addrs()[0], 12, kmsg.NewPtrMetadataRequest()).(*kmsg.MetadataResponse).Topics {
		ids[*topic.Topic] = topic.TopicID
	}
	return b, ids
}

// What is refused behind a proxy is what the cluster would refuse, and nothing else.
func TestRefuse_behindAProxyAsHere(t *testing.T) {
	apis := refusable(nil)
	for name, s := range map[string]fakebroker.Scope{
		"everything":       {},
		"a topic":          {Topic: "a"},
		"a partition":      {Topic: "b", Partitions: []int32{1}},
		"partitions":       {Partitions: []int32{0}},
		"a group":          {Group: "g"},
		"another topic":    {Topic: "other"},
		"a group's topics": {Group: "g", Topic: "b"},
	} {
		for api, req := range apis {
			if req.Key() == kmsg.Metadata.Int16() && len(s.Partitions) > 0 {
				continue // it names no partitions; here those of its answer are looked at
			}
			t.Run(name+"/"+api, func(t *testing.T) {
				var told [2][]string
				for i := range told {
					b, ids := refuses(t)
					var w wired = b
					if i == 1 {
						w = fakebroker.ProxyConfig{Brokers: b.Addrs()}.Run(t)
						askAt(t, w.Addrs()[0], 12, kmsg.NewPtrMetadataRequest()) // or the topics have no names
					}
					req := refusable(ids)[api]
					s := s
					s.APIs = []kmsg.Key{kmsg.Key(req.Key())}
					f := w.Refuse(kerr.PolicyViolation, s)
					resp := askAt(t, w.Addrs()[0], req.GetVersion(), req)
					all := errorsIn(reflect.ValueOf(resp).Elem(), "")
					for name, id := range ids { // they differ
						for j := range all {
							all[j] = strings.ReplaceAll(all[j], fmt.Sprint(id), name)
						}
					}
					slices.Sort(all)
					for _, topic := range b.Topics() {
						parts, err := b.Partitions(topic.Name)
						noError(t, err)
						all = append(all, fmt.Sprintf("%s: %d, %d records", topic.Name, parts[0].HighWatermark, parts[1].HighWatermark))
					}
					g, _ := b.Group("g")
					for _, o := range g.Offsets {
						all = append(all, fmt.Sprintf("committed: %s %d", o.Topic, o.Partition))
					}
					told[i] = append(all, fmt.Sprintf("hits: %d", f.Hits()))
				}
				if !slices.Equal(told[0], told[1]) {
					t.Errorf("behind a proxy:\n%s\nhere:\n%s", strings.Join(told[1], "\n"), strings.Join(told[0], "\n"))
				}
			})
		}
	}
}

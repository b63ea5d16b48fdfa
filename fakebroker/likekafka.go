package fakebroker

import (
	"crypto/rand"
	"encoding/base64"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"
)

// kafkaVersions are the versions of the release that brokers are, unless
// [Config.AsVersion] says otherwise. They are not to be changed.
var kafkaVersions = sync.OnceValue(kversion.V4_3_0)

// likeKafka has the cluster be one of the release that answers are held to, and
// have an id as Kafka makes them: a random uuid. A cluster in a DataDir keeps
// the id that it has there.
func likeKafka() []kfake.Opt {
	uuid := make([]byte, 16)
	for uuid[0]>>2 == 0 || uuid[0]>>2 == 62 { // an id does not begin with a dash, which it would as an argument
		_, _ = rand.Read(uuid) // never fails
	}
	return []kfake.Opt{
		kfake.MaxVersions(kafkaVersions()),
		kfake.ClusterID(base64.RawURLEncoding.EncodeToString(uuid)),
	}
}

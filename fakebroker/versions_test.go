package fakebroker_test

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"example.com/kafkatest/fakebroker"
)

func TestAsVersion_speaksAsAReleaseDid(t *testing.T) {
	for _, release := range []string{"0.11.0", "1.0", "2.4", "2.8", "3.9", "4.1"} {
		t.Run(release, func(t *testing.T) {
			c := orders(1)
			c.Brokers = 2
			c.AsVersion = release
			onBoth(t, c, func(t *testing.T, b *fakebroker.Broker) {
				cl := client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"))
				resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(within(t), cl)
				noError(t, err)
				want := kversion.FromString(release)
				for _, k := range resp.ApiKeys {
					newest, known := want.LookupMaxKeyVersion(k.ApiKey)
					if !known || k.MaxVersion > newest {
						t.Fatalf("%s v%d to v%d; the release has v%d", kmsg.NameForKey(k.ApiKey), k.MinVersion, k.MaxVersion, newest)
					}
					// Old librdkafka takes a broker without these for one that has none.
					if (k.ApiKey == kmsg.Produce.Int16() || k.ApiKey == kmsg.SASLHandshake.Int16()) && k.MinVersion != 0 {
						t.Errorf("%s begins with v%d", kmsg.NameForKey(k.ApiKey), k.MinVersion)
					}
				}
				equal(t, "KIP-848", slices.ContainsFunc(resp.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey == kmsg.ConsumerGroupHeartbeat.Int16() }),
					want.HasKey(kmsg.ConsumerGroupHeartbeat.Int16()))
				produce(t, cl, "orders", 0, 3)
				consume(t, cl, 3)
				noError(t, cl.CommitUncommittedOffsets(within(t)))
				equal(t, "inspection", len(values(t, b, "orders")), 3)
				g, _ := b.Group("g")
				equal(t, "committed", g.Offsets[0].Committed, int64(3))
				b.TakeDown(0)
				produce(t, cl, "orders", 3, 3)
			})
		})
	}
}

func TestAsVersion_whatItDoesNotKnowEndsTheConnection(t *testing.T) {
	b := fakebroker.Config{AsVersion: "2.8"}.Run(t)
	for _, c := range []struct {
		req     kmsg.Request
		version int16
		known   bool
	}{
		{kmsg.NewPtrMetadataRequest(), 11, true},
		{kmsg.NewPtrMetadataRequest(), 12, false},
		{kmsg.NewPtrConsumerGroupHeartbeatRequest(), 0, false},
		{kmsg.NewPtrListOffsetsRequest(), 0, true}, // which is gone since
	} {
		_, err := rawRequest(t, b, "me", c.version, c.req)
		if (err == nil) != c.known {
			t.Errorf("%s v%d: %v", kmsg.NameForKey(c.req.Key()), c.version, err)
		}
	}
	// ApiVersions is answered in version 0, with its own versions (KIP-511).
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "x", "1"
	resp, err := rawRequest(t, b, "me", 4, req)
	noError(t, err)
	v := resp.(*kmsg.ApiVersionsResponse)
	equal(t, "answer", []any{v.GetVersion(), v.ErrorCode, len(v.ApiKeys), v.ApiKeys[0].MaxVersion}, []any{int16(0), int16(35), 1, int16(3)})
}

func TestReleases_canAllBeNamed(t *testing.T) {
	names := fakebroker.Releases()
	for _, want := range []string{"0.10.0", "2.8", "3.9", "4.1"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not one of %v", want, names)
		}
	}
	for _, name := range names {
		b, err := fakebroker.Start(fakebroker.Config{AsVersion: name})
		noError(t, err)
		noError(t, b.Close())
	}
}

func TestAsVersion_isNoneThatTheBrokersDoNotKnow(t *testing.T) {
	all := fakebroker.Releases()
	equal(t, "newest", all[len(all)-1], "4.3")
	for _, release := range []string{"4.4", "v4.4", "4.4.0", "5.0", "4.30"} {
		_, err := fakebroker.Start(fakebroker.Config{AsVersion: release})
		isError(t, err, fakebroker.ErrConfig)
	}
	for _, release := range []string{"4.3", "v4.3", "4.3.1"} {
		noError(t, fakebroker.Config{AsVersion: release}.Run(t).Close())
	}
}

func TestApiVersions_tellsOfFeaturesThatWereUpdated(t *testing.T) {
	b := fakebroker.Run(t)
	level := func() int16 {
		t.Helper()
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "x", "1"
		resp, err := rawRequest(t, b, "me", 4, req)
		noError(t, err)
		for _, f := range resp.(*kmsg.ApiVersionsResponse).FinalizedFeatures {
			if f.Name == "group.version" {
				return f.MaxVersionLevel
			}
		}
		return 0
	}
	equal(t, "at first", []int16{level(), level()}, []int16{1, 1})
	update := kmsg.NewPtrUpdateFeaturesRequest()
	f := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	f.Feature, f.UpgradeType = "group.version", 2
	update.FeatureUpdates = append(update.FeatureUpdates, f)
	resp, err := rawRequest(t, b, "me", 2, update)
	noError(t, err)
	equal(t, "refused with", resp.(*kmsg.UpdateFeaturesResponse).ErrorCode, int16(0))
	equal(t, "afterwards", []int16{level(), level()}, []int16{0, 0})
}

package fakebroker

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"example.com/kafkatest/fakebroker/wire"
)

// release are the versions of APIs that a release of Kafka has, nil for an empty
// name. It is a name of kversion's, such as 2.8.
func release(name string) (*kversion.Versions, error) {
	if name == "" {
		return nil, nil
	}
	v := kversion.FromString(name)
	newer := slices.ContainsFunc(tooNew(), func(n string) bool { return strings.HasPrefix(strings.TrimPrefix(name, "v"), n) })
	if v == nil || newer {
		return nil, badConfig("AsVersion", "%q is not known; use one of %s", name, strings.Join(Releases(), ", "))
	}
	return v, nil
}

// Releases are the releases of Kafka that Config.AsVersion can name, oldest
// first.
func Releases() []string {
	names := allReleases()
	return names[:len(names)-len(tooNew())]
}

// newestRelease is the one that the brokers are like.
const newestRelease = "4.3"

// tooNew are the releases that kversion knows and the brokers do not.
func tooNew() []string {
	names := allReleases()
	return names[slices.Index(names, newestRelease)+1:]
}

// allReleases are those that kversion knows, oldest first.
func allReleases() []string {
	names := kversion.VersionStrings()
	slices.Reverse(names)
	for i, n := range names {
		names[i] = strings.TrimPrefix(n, "v")
	}
	return names
}

// isBefore4 reports whether a release is one before Kafka 4, which has versions that
// are gone since (KIP-896).
func isBefore4(v *kversion.Versions) bool {
	const firstOf4 = 13
	newest, _ := v.LookupMaxKeyVersion(kmsg.Metadata.Int16())
	return newest < firstOf4
}

// speakAs has the brokers know no more of the protocol than a release of Kafka
// did. It is done here and not by kfake, so that what the broker asks itself
// does not depend on it.
func (b *Broker) speakAs(v *kversion.Versions) wire.Rule {
	newest := func(k kmsg.Key) int16 {
		if n, known := v.LookupMaxKeyVersion(k.Int16()); known {
			return n
		}
		return -1
	}
	return wire.Rule{
		Name:  "the protocol of an older release",
		Wants: func(h wire.Header) bool { return h.Key == kmsg.ApiVersions || h.Version > newest(h.Key) },
		Request: func(x *wire.Exchange) {
			// What a broker does not know ends the connection, but for
			// ApiVersions where there is such a thing (KIP-511).
			if x.Key != kmsg.ApiVersions || newest(x.Key) < 0 {
				x.Cut()
			}
		},
		Answer: func(x *wire.Exchange) {
			a, err := x.Response()
			if err != nil {
				return
			}
			resp, is := a.(*kmsg.ApiVersionsResponse)
			if !is {
				return
			}
			resp.ApiKeys = slices.DeleteFunc(resp.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool {
				return newest(kmsg.Key(k.ApiKey)) < k.MinVersion
			})
			for i := range resp.ApiKeys {
				k := &resp.ApiKeys[i]
				k.MaxVersion = min(k.MaxVersion, newest(kmsg.Key(k.ApiKey)))
			}
			if x.Version > newest(x.Key) {
				resp.SetVersion(0)
				resp.ErrorCode = kerr.UnsupportedVersion.Code
				resp.ApiKeys = slices.DeleteFunc(resp.ApiKeys, func(k kmsg.ApiVersionsResponseApiKey) bool { return k.ApiKey != kmsg.ApiVersions.Int16() })
			}
			setFeatures(resp, v)
			x.SetResponse(resp)
		},
	}
}

// setFeatures lists what a release supports, and what its clusters start with
// (KIP-584).
func setFeatures(resp *kmsg.ApiVersionsResponse, v *kversion.Versions) {
	resp.SupportedFeatures, resp.FinalizedFeatures = nil, nil
	v.EachSupportedFeature(func(name string, oldest, newest int16) {
		f := kmsg.NewApiVersionsResponseSupportedFeature()
		f.Name, f.MinVersion, f.MaxVersion = name, oldest, newest
		resp.SupportedFeatures = append(resp.SupportedFeatures, f)
	})
	v.EachFinalizedFeature(func(name string, level int16) {
		if level == 0 {
			return
		}
		f := kmsg.NewApiVersionsResponseFinalizedFeature()
		f.Name, f.MinVersionLevel, f.MaxVersionLevel = name, level, level
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, f)
	})
	if len(resp.FinalizedFeatures) == 0 {
		resp.FinalizedFeaturesEpoch = -1
	}
}

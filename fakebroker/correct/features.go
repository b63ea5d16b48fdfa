package correct

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker/wire"
)

func features(c Cluster) []Correction {
	return []Correction{{
		Rule: wire.Rule{
			Name:    "UpdateFeatures updates all or nothing",
			Keys:    wire.Keys(kmsg.UpdateFeatures),
			Request: asked(func(x *wire.Exchange, req *kmsg.UpdateFeaturesRequest) { refuseFeatures(x, req, c) }),
		},
		Restores:  "KIP-584, KIP-1022; FeatureControlManager: error 95 of the whole request, and which feature is the reason",
		Upstream:  "57_update_features.go has an error for each feature, and goes down to any level of metadata.version",
		Behaviour: "cluster/features are updated all or none",
	}}
}

func refuseFeatures(x *wire.Exchange, req *kmsg.UpdateFeaturesRequest, c Cluster) {
	ask := kmsg.NewPtrApiVersionsRequest()
	ask.Version, ask.ClientSoftwareName, ask.ClientSoftwareVersion = 4, "fakebroker", "1"
	answer, err := c.Ask(x.Context(), x.Node, ask)
	if err != nil {
		return
	}
	known, ok := answer.(*kmsg.ApiVersionsResponse)
	if !ok {
		return
	}
	for _, u := range req.FeatureUpdates {
		message := wrongFeature(u, req.Version, known, c.ID(x.Node))
		if message == "" {
			continue
		}
		resp := kmsg.NewPtrUpdateFeaturesResponse()
		resp.ErrorCode = kerr.InvalidUpdateVersion.Code
		resp.ErrorMessage = kmsg.StringPtr("The update failed for all features since the following feature had an error: " + message)
		x.Reply(resp)
		return
	}
}

func wrongFeature(u kmsg.UpdateFeaturesRequestFeatureUpdate, version int16, known *kmsg.ApiVersionsResponse, node int32) string {
	const upgrade, safeDowngrade, unsafeDowngrade = 1, 2, 3
	var lowest, highest, level int16
	supported := false
	for _, f := range known.SupportedFeatures {
		if f.Name == u.Feature {
			lowest, highest, supported = f.MinVersion, f.MaxVersion, true
		}
	}
	for _, f := range known.FinalizedFeatures {
		if f.Name == u.Feature {
			level = f.MaxVersionLevel
		}
	}
	how := u.UpgradeType
	if version == 0 {
		how = upgrade
	}
	wrong := func(why string) string {
		return fmt.Sprintf("Invalid update version %d for feature %s. %s", u.MaxVersionLevel, u.Feature, why)
	}
	switch {
	case u.MaxVersionLevel < 0:
		return wrong("A feature version cannot be less than 0.")
	case how < upgrade || how > unsafeDowngrade:
		return wrong("The controller does not support the given upgrade type.")
	case !supported && u.MaxVersionLevel == 0:
		return wrong(fmt.Sprintf("Feature %s not found.", u.Feature))
	case !supported:
		return wrong(fmt.Sprintf("Local controller %d does not support this feature.", node))
	case u.MaxVersionLevel != 0 && (u.MaxVersionLevel < lowest || u.MaxVersionLevel > highest):
		return wrong(fmt.Sprintf("Local controller %d only supports versions %d-%d", node, lowest, highest))
	case u.MaxVersionLevel >= level:
		return ""
	case how == upgrade:
		return wrong("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.")
	case u.Feature != "metadata.version":
		return ""
	}
	why := "Refusing to perform the requested downgrade because it might delete metadata information."
	if how == unsafeDowngrade {
		why = "Unsafe metadata downgrade is not supported in this version."
	}
	return fmt.Sprintf("Unsupported metadata.version downgrade from %d to %d. %s", level, u.MaxVersionLevel, why)
}

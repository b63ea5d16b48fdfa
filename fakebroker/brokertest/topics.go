package brokertest

import "slices"

func topicBehaviours() []Behaviour {
	return slices.Concat(
		placementBehaviours(),
		createBehaviours(),
		leaderBehaviours(),
		metadataBehaviours(),
		recordBehaviours(),
		timestampBehaviours(),
		describeBehaviours(),
		internalBehaviours(),
		topicBasicsBehaviours(),
	)
}

package control

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control/controlclient"
	"example.com/kafkatest/fakebroker/correct"
)

func (a *api) topics(*http.Request) (int, any, error) {
	out := []controlclient.Topic{}
	for _, t := range a.broker.Topics() {
		out = append(out, controlclient.Topic(t))
	}
	return http.StatusOK, struct {
		Topics []controlclient.Topic `json:"topics"`
	}{out}, nil
}

func (a *api) createTopic(r *http.Request) (int, any, error) {
	var t controlclient.Topic
	if err := decode(r, &t); err != nil {
		return 0, nil, err
	}
	if t.Partitions < 0 {
		return 0, nil, bad("partitions", "%d partitions; use 1 or more", t.Partitions)
	}
	if err := checkConfigs(t.Configs); err != nil {
		return 0, nil, err
	}
	if _, err := fakebroker.ParseTopic(fmt.Sprintf("x:%d", max(t.Partitions, 1))); err != nil {
		return 0, nil, bad("partitions", "%d partitions are too many", t.Partitions)
	}
	if err := a.broker.CreateTopic(fakebroker.Topic(t)); err != nil {
		return 0, nil, inField("name", err)
	}
	made, err := a.details(t.Name)
	return http.StatusCreated, made, err
}

// checkConfigs checks configurations each by itself, and how they go together.
func checkConfigs(configs map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		if _, err := correct.TopicConfigs(map[string]string{name: configs[name]}); err != nil {
			return bad(below("configs", name), "%v", err)
		}
	}
	if _, err := correct.TopicConfigs(configs); err != nil {
		return bad("configs", "%v", err)
	}
	return nil
}

func (a *api) topic(r *http.Request) (int, any, error) {
	t, err := a.details(r.PathValue("topic"))
	return http.StatusOK, t, err
}

func (a *api) details(name string) (controlclient.TopicDetails, error) {
	parts, err := a.broker.Partitions(name)
	if err != nil {
		return controlclient.TopicDetails{}, err
	}
	out := controlclient.TopicDetails{Topic: controlclient.Topic{Name: name, Partitions: int32(len(parts))}}
	all := a.broker.Topics()
	if i := slices.IndexFunc(all, func(t fakebroker.Topic) bool { return t.Name == name }); i >= 0 {
		out.Configs = all[i].Configs
	}
	for _, p := range parts {
		out.PartitionDetails = append(out.PartitionDetails, controlclient.Partition(p))
	}
	return out, nil
}

func (a *api) deleteTopic(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, a.broker.DeleteTopic(r.PathValue("topic"))
}

package integration

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"example.com/kafkatest/fakebroker"
)

// ofATest are the names that behaviours give to what they make.
var ofATest = regexp.MustCompile(`-[A-Z2-7]{8}$`)

// namesOfTests are the groups and topics whose names look like those of behaviours.
func namesOfTests(ctx context.Context, cl *kgo.Client) (groups, topics []string, err error) {
	listed, err := kadm.NewClient(cl).ListGroups(ctx)
	if err != nil {
		return nil, nil, err
	}
	// Not by kadm, which would go on telling what it has learned at first.
	meta, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, cl)
	if err != nil {
		return nil, nil, err
	}
	for _, topic := range meta.Topics {
		topics = append(topics, *topic.Topic)
	}
	others := func(name string) bool { return !ofATest.MatchString(name) }
	return slices.DeleteFunc(listed.Groups(), others), slices.DeleteFunc(topics, others), nil
}

// removeLeftovers deletes, when the test ends, groups and topics that behaviours have
// made since: groups with offsets would stay for days, and so would topics that a
// broker has made because somebody asked for them.
func removeLeftovers(t *testing.T, opts ...kgo.Opt) {
	t.Helper()
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	oldGroups, oldTopics, err := namesOfTests(t.Context(), cl)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cl.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		groups, topics, err := namesOfTests(ctx, cl)
		if err != nil {
			t.Errorf("asking what is left on the cluster: %v", err)
			return
		}
		groups = slices.DeleteFunc(groups, func(g string) bool { return slices.Contains(oldGroups, g) })
		topics = slices.DeleteFunc(topics, func(name string) bool { return slices.Contains(oldTopics, name) })
		adm := kadm.NewClient(cl)
		deleted, err := adm.DeleteGroups(ctx, groups...)
		if err != nil {
			t.Errorf("groups are left on the cluster: %v", err)
		}
		for _, g := range deleted {
			// One whose members' sessions have not ended goes by itself, without offsets.
			if g.Err != nil && !errors.Is(g.Err, kerr.NonEmptyGroup) {
				t.Errorf("group %s is left on the cluster: %v", g.Group, g.Err)
			}
		}
		if answers, err := adm.DeleteTopics(ctx, topics...); err != nil || answers.Error() != nil {
			t.Errorf("topics are left on the cluster: %v", errors.Join(err, answers.Error()))
		}
	})
}

func TestRemoveLeftovers_removesWhatBehavioursHaveMade(t *testing.T) {
	b := fakebroker.Run(t)
	cl, err := kgo.NewClient(b.ClientOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	made := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if r, err := adm.CreateTopic(t.Context(), 1, 1, nil, name); err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
			offsets := make(kadm.Offsets)
			offsets.AddOffset(name, 0, 0, -1)
			if r, err := adm.CommitOffsets(t.Context(), name, offsets); err != nil || r.Error() != nil {
				t.Fatal(err, r.Error())
			}
		}
	}
	made("before-ABCDEFGH")
	t.Run("behaviours", func(t *testing.T) {
		removeLeftovers(t, b.ClientOptions()...)
		made("since-ABCDEFGH", "of-others")
	})
	groups, err := adm.ListGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := kgo.NewClient(b.ClientOptions()...) // the other one goes on telling what it has learned at first
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	topics, err := kadm.NewClient(fresh).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"before-ABCDEFGH", "of-others"}
	if !slices.Equal(groups.Groups(), want) || !slices.Equal(topics.Names(), want) {
		t.Errorf("groups %v and topics %v are left, want %v", groups.Groups(), topics.Names(), want)
	}
}

package adapter

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// NotReady is one reason for which an adapter is not ready.
type NotReady struct {
	// Group, Topic and Partition are what it is about. Group is empty where it is
	// the connection, Topic where it is the whole consumer. Without a Topic,
	// Partition means nothing.
	Group     string `json:"group,omitempty"`
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition"`
	// Reason says what is wrong.
	Reason string `json:"reason"`
}

// String is the reason, after what it is about.
func (n NotReady) String() string {
	switch {
	case n.Topic != "":
		return fmt.Sprintf("group %s, %s[%d]: %s", n.Group, n.Topic, n.Partition, n.Reason)
	case n.Group != "":
		return fmt.Sprintf("group %s: %s", n.Group, n.Reason)
	}
	return n.Reason
}

// Readiness is why the adapter is not ready to do its work, and nothing when it is:
// no broker answers; a consumer is not a member of its group, or has stopped by
// itself and none has come in its place; a handler ignores that its context was
// cancelled; a record cannot get where it is to go, or as many are held as may be. A
// closed gate is no such reason: what it stands for has a readiness of its own.
func (a *Adapter) Readiness() []NotReady {
	var reasons []NotReady
	if v := a.conn.state.view(); v.State != Connected {
		text := "the adapter is " + v.State.String()
		if v.Cause != nil {
			text += ": " + v.Cause.Error()
		}
		reasons = append(reasons, NotReady{Reason: text})
	}
	a.mu.Lock()
	for _, group := range sortedKeys(a.stopped) {
		reasons = append(reasons, NotReady{Group: group, Reason: "the consumer has stopped: " + a.stopped[group].Error()})
	}
	a.mu.Unlock()
	consumers := a.Consumers()
	slices.SortFunc(consumers, func(x, y *Consumer) int { return x.made - y.made })
	for _, c := range consumers {
		reasons = append(reasons, c.Status().notReady()...)
	}
	return reasons
}

func (s Status) notReady() []NotReady {
	var reasons []NotReady
	if !s.Joined {
		reasons = append(reasons, NotReady{Group: s.Group, Reason: "the consumer is not a member of the group"})
	}
	if s.Stuck > 0 {
		reasons = append(reasons, NotReady{Group: s.Group, Reason: fmt.Sprintf("%d handlers ignore that their context was cancelled", s.Stuck)})
	}
	for _, p := range s.Partitions {
		if p.Blocked != nil {
			reasons = append(reasons, NotReady{s.Group, p.Topic, p.Partition, "blocked: " + p.Blocked.Error()})
		}
		if p.Full != nil {
			reasons = append(reasons, NotReady{s.Group, p.Topic, p.Partition, "no more records are started: " + p.Full.Error()})
		}
	}
	return reasons
}

// ReadinessHandler answers every request with Readiness: status 200 and
// {"ready":true}, or status 503 and {"ready":false,"reasons":[...]}, where each
// reason is a NotReady.
func (a *Adapter) ReadinessHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reasons := a.Readiness()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if len(reasons) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(struct { // whoever asked has gone
			Ready   bool       `json:"ready"`
			Reasons []NotReady `json:"reasons,omitempty"`
		}{len(reasons) == 0, reasons})
	})
}

package controlclient_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control"
	"example.com/kafkatest/fakebroker/control/controlclient"
)

func TestNew_needsAURL(t *testing.T) {
	for _, base := range []string{"", "127.0.0.1:9099", "kafka://127.0.0.1", "http://", "%"} {
		if _, err := controlclient.New(base); err == nil {
			t.Errorf("%q is taken for a URL", base)
		}
	}
}

func TestToken_isSent(t *testing.T) {
	s, err := control.Start(fakebroker.Run(t), control.Config{Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	without, err := controlclient.New(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	var p *controlclient.ProblemError
	if err := without.Health(t.Context()); !errors.As(err, &p) || p.Status != http.StatusUnauthorized {
		t.Fatalf("got %v", err)
	}
	with, err := controlclient.New(s.URL()+"/", controlclient.Token("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if err := with.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestClient_somethingElseAnswers(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"an error page": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad gateway", http.StatusBadGateway) },
		"no JSON":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(answer)
			defer s.Close()
			c, err := controlclient.New(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Topics(t.Context())
			var p *controlclient.ProblemError
			if err == nil || errors.As(err, &p) || !strings.Contains(err.Error(), "GET /topics") {
				t.Fatalf("got %v", err)
			}
			for _, err := range c.Records(t.Context(), "t", controlclient.Filter{}) {
				if err == nil {
					t.Fatal("a record")
				}
			}
		})
	}
}

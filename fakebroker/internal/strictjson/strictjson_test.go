package strictjson_test

import (
	"errors"
	"testing"

	"example.com/kafkatest/fakebroker/internal/strictjson"
)

func TestMembers(t *testing.T) {
	got, err := strictjson.Members([]byte(` {"b": {"x": 1, "x": 2}, "a": "A"} `))
	if err != nil || len(got) != 2 || got[0].Name != "b" || string(got[0].Value) != `{"x": 1, "x": 2}` || string(got[1].Value) != `"A"` {
		t.Fatalf("%v, %v", got, err)
	}
	var doubled *strictjson.DoubledError
	if _, err := strictjson.Members([]byte(`{"a": 1, "b": 2, "a": null}`)); !errors.As(err, &doubled) || doubled.Name != "a" {
		t.Fatal(err)
	}
	for _, text := range []string{`[]`, `7`, `null`} {
		if _, err := strictjson.Members([]byte(text)); !errors.Is(err, strictjson.ErrNoObject) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{``, `{`, `{"a": 1} {}`, `{"a"}`} {
		if got, err := strictjson.Members([]byte(text)); err == nil || errors.Is(err, strictjson.ErrNoObject) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

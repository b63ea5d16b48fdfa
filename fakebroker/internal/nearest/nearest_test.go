package nearest_test

import (
	"strconv"
	"testing"

	"example.com/kafkatest/fakebroker/internal/nearest"
)

func TestHint(t *testing.T) {
	names := []string{"topic", "tls-dir", "data-dir", "auto-create-topics", "acl", "rack"}
	for written, want := range map[string]string{
		"topics": "topic", "Topic": "topic", "tpoic": "topic", "datadir": "data-dir", "data_dir": "data-dir", "auto-create": "",
		"auto-create-topic": "auto-create-topics", "tls-dri": "tls-dir", "": "", "zookeeper": "", "acls": "acl", "xy": "",
	} {
		if want != "" {
			want = "; did you mean " + strconv.Quote(want) + "?"
		}
		if got := nearest.Hint(written, names, strconv.Quote); got != want {
			t.Errorf("%q: got %q, want %q", written, got, want)
		}
	}
}

package adapter

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDeadLetterTopic(t *testing.T) {
	for _, c := range []struct{ topic, group, want string }{
		{"orders", "billing", "orders.billing.dlt"},
		{"a.b", "c", "a.b.c.dlt"},
		{"a", "b.c", "a.b_2ec.dlt"},
		{"a", "b_c", "a.b_5fc.dlt"},
		{"a", "ünï x/1", "a._c3_bcn_c3_af_20x_2f1.dlt"},
	} {
		assert.Equal(t, c.want, DeadLetterTopic(c.topic, c.group))
	}
}

func TestDeadLetterTopic_longNamesAreCutAndStayApart(t *testing.T) {
	long := strings.Repeat("t", 249)
	a, b := DeadLetterTopic(long, "g1"), DeadLetterTopic(long, "g2")
	assert.Len(t, a, 249)
	assert.NotEqual(t, a, b)
	assert.Len(t, DeadLetterTopic(strings.Repeat("t", 249-len(".g.dlt")), "g"), 249)
	assert.Len(t, DeadLetterTopic("t", strings.Repeat("ü", 200)), 249)
}

// FuzzDeadLetterTopic: no two pairs of topic and group share a name, and every
// name is one that Kafka takes.
func FuzzDeadLetterTopic(f *testing.F) {
	f.Add("a.b", "c", "a", "b.c")
	f.Add("a", "b_2ec", "a", "b.c")
	f.Add("t", "", "t", "\x00")
	f.Fuzz(func(t *testing.T, t1, g1, t2, g2 string) {
		n1, n2 := DeadLetterTopic(clean(t1), g1), DeadLetterTopic(clean(t2), g2)
		if same := clean(t1) == clean(t2) && g1 == g2; (n1 == n2) != same {
			t.Fatalf("(%q, %q) and (%q, %q): %q and %q", t1, g1, t2, g2, n1, n2)
		}
		if len(n1) > 249 || clean(n1) != n1 {
			t.Fatalf("%q is no name for a topic", n1)
		}
	})
}

// clean leaves of a text what a topic's name can have.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return -1
	}, s)
	return s[:min(len(s), 249)]
}

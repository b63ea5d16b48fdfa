package adapter

import (
	"strings"
	"testing"
	"time"

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

func TestRedriveTopic(t *testing.T) {
	assert.Equal(t, "a.b.c_2ed.redrive", RedriveTopic("a.b", "c.d"))
}

func TestRetryTopic(t *testing.T) {
	for delay, want := range map[time.Duration]string{
		250 * time.Millisecond:  "250ms",
		10 * time.Second:        "10s",
		90 * time.Second:        "1m30s",
		10 * time.Minute:        "10m",
		time.Hour:               "1h",
		90 * time.Minute:        "1h30m",
		36 * time.Hour:          "36h",
		1500 * time.Microsecond: "1ms500us",
		1:                       "1ns",
		0:                       "0s",
		-time.Second:            "0s",
	} {
		assert.Equal(t, "orders.billing_2e1.retry."+want, RetryTopic("orders", "billing.1", delay))
	}
}

func TestOwnTopics_longNamesAreCutAndStayApart(t *testing.T) {
	long := strings.Repeat("t", 249)
	names := map[string]bool{}
	for _, group := range []string{"g1", "g2"} {
		for _, name := range []string{
			DeadLetterTopic(long, group), RedriveTopic(long, group),
			RetryTopic(long, group, time.Second), RetryTopic(long, group, time.Minute),
		} {
			assert.Len(t, name, 249)
			names[name] = true
		}
	}
	assert.Len(t, names, 8)
	assert.Equal(t, long[:243]+".g.dlt", DeadLetterTopic(long[:243], "g"), "as long as a name may be")
	assert.Len(t, DeadLetterTopic("t", strings.Repeat("ü", 200)), 249)
}

// FuzzOwnTopics: no two of topic, group and what it is for share a name, and every
// name is one that Kafka takes.
func FuzzOwnTopics(f *testing.F) {
	f.Add("a.b", "c", int64(0), "a", "b.c", int64(0))
	f.Add("a", "b_2ec", int64(1), "a", "b.c", int64(1))
	f.Add("t", "", int64(2), "t", "\x00", int64(2))
	f.Add("a.g.retry", "1s", int64(0), "a", "g", int64(time.Second))
	f.Add("a", "retry", int64(1), "a.retry", "", int64(1))
	f.Add("a", "g", int64(time.Hour), "a", "g", int64(time.Hour+time.Nanosecond))
	f.Fuzz(func(t *testing.T, t1, g1 string, k1 int64, t2, g2 string, k2 int64) {
		name := func(topic, group string, kind int64) string {
			switch kind {
			case 0:
				return DeadLetterTopic(topic, group)
			case 1:
				return RedriveTopic(topic, group)
			}
			return RetryTopic(topic, group, time.Duration(kind))
		}
		k1, k2 = max(k1, 0), max(k2, 0)
		t1, t2 = clean(t1), clean(t2)
		n1, n2 := name(t1, g1, k1), name(t2, g2, k2)
		if same := t1 == t2 && g1 == g2 && k1 == k2; (n1 == n2) != same {
			t.Fatalf("(%q, %q, %d) and (%q, %q, %d): %q and %q", t1, g1, k1, t2, g2, k2, n1, n2)
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

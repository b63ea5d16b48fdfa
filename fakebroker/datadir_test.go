package fakebroker_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"example.com/kafkatest/fakebroker"
)

func TestDataDir_isOneBrokersAtATime(t *testing.T) {
	c := orders(1)
	c.DataDir = filepath.Join(t.TempDir(), "made", "data")
	first := c.Run(t)
	for range 2 {
		_, err := fakebroker.Start(c)
		isError(t, err, fakebroker.ErrConfig)
		if !strings.Contains(err.Error(), "DataDir: "+c.DataDir+" is in use by another broker") {
			t.Fatal(err)
		}
	}
	produce(t, client(t, first), "orders", 0, 1)
	noError(t, first.Close())
	second := c.Run(t)
	equal(t, "records", len(values(t, second, "orders")), 1)
	noError(t, second.Close())

	// What fails to start leaves the folder to others.
	bad := c
	bad.Topics = append(bad.Topics, fakebroker.Topic{Name: "or.ders"}, fakebroker.Topic{Name: "or_ders"})
	_, err := fakebroker.Start(bad)
	isError(t, err, fakebroker.ErrInvalidTopic)
	bad = c
	taken := fakebroker.Run(t)
	bad.Listen = taken.Addrs()
	_, err = fakebroker.Start(bad)
	isError(t, err, fakebroker.ErrConfig)
	noError(t, c.Run(t).Close())
}

func TestDataDir_saysWhatIsNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	noError(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := fakebroker.Start(fakebroker.Config{DataDir: dir})
		isError(t, err, fakebroker.ErrConfig)
		equal(t, "error", err.Error(), "DataDir: "+file+" is not a folder")
	}
}

func TestDataDir_topicsGrowAndNeverShrink(t *testing.T) {
	for _, brokers := range []int{1, 3} {
		dir := t.TempDir()
		for _, c := range []struct {
			asked, want int32
		}{{3, 3}, {0, 3}, {3, 3}, {5, 5}, {4, 0}, {1, 0}, {0, 5}} {
			conf := fakebroker.Config{Brokers: brokers, DataDir: dir, Topics: []fakebroker.Topic{{Name: "orders", Partitions: c.asked}}}
			b, err := fakebroker.Start(conf)
			if c.want == 0 {
				isError(t, err, fakebroker.ErrTopicExists)
				if !strings.Contains(err.Error(), "orders has 5 partitions in "+dir) {
					t.Fatal(err)
				}
				continue
			}
			noError(t, err)
			parts, err := b.Partitions("orders")
			noError(t, err)
			equal(t, "partitions", int32(len(parts)), c.want)
			produce(t, client(t, b), "orders", int(c.want)-1, 1)
			noError(t, b.Close())
		}
	}
}

func TestDataDir_saysWhenItsACLsAreNotInForce(t *testing.T) {
	c := orders(1)
	c.DataDir = t.TempDir()
	c.Superusers = []string{"root"}
	c.ACLs = []fakebroker.ACL{acl(t, "alice:allow:write:topic:orders")}
	var log bytes.Buffer
	c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	noError(t, c.Run(t).Close())
	equal(t, "in force", log.String(), "")

	c.ACLs, c.Superusers = nil, nil
	b := c.Run(t)
	for _, want := range []string{"not in force", c.DataDir, "acls=1"} {
		if !strings.Contains(log.String(), want) {
			t.Fatalf("%q does not say %s", log.String(), want)
		}
	}
	produce(t, client(t, b), "orders", 0, 1)
	all := kadm.NewACLs().AnyResource().ResourcePatternType(kadm.ACLPatternAny).Operations().Allow().Deny().AllowHosts().DenyHosts()
	_, err := kadm.NewClient(client(t, b)).DeleteACLs(within(t), all)
	noError(t, err)
	noError(t, b.Close())
	log.Reset()
	noError(t, c.Run(t).Close())
	equal(t, "without ACLs", log.String(), "")
}

func TestDataDir_leavesOtherFoldersAlone(t *testing.T) {
	dir := t.TempDir()
	noError(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("mine"), 0o600))
	_, err := fakebroker.Start(fakebroker.Config{DataDir: dir})
	isError(t, err, fakebroker.ErrConfig)
	if !strings.Contains(err.Error(), "thesis.txt") {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	noError(t, err)
	equal(t, "files", len(entries), 1)
	noError(t, os.Rename(filepath.Join(dir, "thesis.txt"), filepath.Join(dir, "lost+found")))
	noError(t, fakebroker.Config{DataDir: dir}.Run(t).Close())
}

// A file that cannot be read to its end is left as it is, whatever has happened to
// it; what it had would be lost at the first write.
func TestDataDir_doesNotLoseWhatIsDamaged(t *testing.T) {
	for name, change := range map[string]struct {
		file  string
		of    func(b []byte) []byte
		says  string
		keeps int // records, once the file is cut as it says
	}{
		"noise":    {"partitions/orders-0/0.dat", func([]byte) []byte { return bytes.Repeat([]byte{0xa5}, 30) }, "none of it can be read", 0},
		"behind":   {"partitions/orders-0/0.dat", func(b []byte) []byte { return append(b, 1, 2, 3) }, "is damaged after %d of its", 2},
		"flipped":  {"partitions/orders-0/0.dat", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, "is damaged after", 1},
		"cut":      {"partitions/orders-0/0.dat", func(b []byte) []byte { return b[:len(b)-1] }, "is damaged after", 1},
		"producer": {"pids.log", func(b []byte) []byte { return b[:len(b)-1] }, "is damaged", 2},
		"groups":   {"groups.log", func(b []byte) []byte { return append(b, 7) }, "is damaged", 2},
		"topics":   {"topics.json", func(b []byte) []byte { return b[:len(b)-2] }, "none of it can be read", 0},
		"snapshot": {"partitions/orders-0/snapshot.json", func([]byte) []byte { return []byte("{") }, "none of it can be read", 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := orders(1)
			c.DataDir = t.TempDir()
			b := c.Run(t)
			cl := client(t, b)
			produce(t, cl, "orders", 0, 1)
			produce(t, cl, "orders", 1, 1)
			_, err := b.ResetOffsets("g", fakebroker.Reset{Topic: "orders", To: fakebroker.Earliest})
			noError(t, err)
			noError(t, b.Close())
			noError(t, c.Run(t).Close()) // as it is
			path := filepath.Join(c.DataDir, filepath.FromSlash(change.file))
			was, err := os.ReadFile(path)
			if !os.IsNotExist(err) {
				noError(t, err)
			}
			damaged := change.of(bytes.Clone(was))
			noError(t, os.WriteFile(path, damaged, 0o600))
			_, err = fakebroker.Start(c)
			isError(t, err, fakebroker.ErrConfig)
			for _, want := range []string{path, strings.Replace(change.says, "%d", strconv.Itoa(len(was)), 1)} {
				if !strings.Contains(err.Error(), want) {
					t.Fatalf("%v does not say %s", err, want)
				}
			}
			now, err := os.ReadFile(path)
			noError(t, err)
			equal(t, "file", now, damaged)

			// What it says to do helps.
			if _, size, cut := strings.Cut(err2text(fakebroker.Start(c)), "cut it to "); cut {
				n, err := strconv.Atoi(strings.Fields(size)[0])
				noError(t, err)
				noError(t, os.Truncate(path, int64(n)))
			} else {
				noError(t, os.Remove(path))
			}
			again := c.Run(t)
			if name != "topics" {
				equal(t, "records", len(values(t, again, "orders")), change.keeps)
			}
			noError(t, again.Close())
		})
	}
}

func err2text(_ *fakebroker.Broker, err error) string { return err.Error() }

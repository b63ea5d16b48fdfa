package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"example.com/kafkatest/integration/kafka"
)

func TestRun_isReadyForEverything(t *testing.T) {
	for _, c := range []kafka.Config{{}, {Nodes: 3}} {
		t.Run(fmt.Sprintf("%d nodes", max(1, c.Nodes)), func(t *testing.T) {
			if kafka.SkipUnlessWanted(t) == kafka.FromExisting {
				t.Skip("this is about what is started, and KAFKA_BROKERS names a cluster that runs")
			}
			begun := time.Now()
			k := kafka.Run(t, c)
			t.Logf("ready after %v", time.Since(begun))
			ctx := within(t)
			cl := client(t, k.ClientOptions()...)
			if release, err := k.Release(ctx); err != nil || !strings.HasPrefix(kafka.Version(), release+".") {
				t.Errorf("release is %q, want that of %s; error %v", release, kafka.Version(), err)
			}
			adm := kadm.NewClient(cl)
			if meta, err := adm.BrokerMetadata(ctx); err != nil || len(meta.Brokers) != max(1, c.Nodes) {
				t.Fatalf("%d brokers, error %v", len(meta.Brokers), err)
			}
			// Nothing is asked twice: what is ready answers the first time.
			for i := range 10 {
				group := fmt.Sprint("g", i)
				if resp, err := adm.FetchOffsets(ctx, group); err != nil || len(resp) != 0 {
					t.Fatalf("group %s: %v, error %v", group, resp, err)
				}
				p := client(t, append(k.ClientOptions(), kgo.TransactionalID(fmt.Sprint("t", i)), kgo.RequestRetries(0))...)
				if _, _, err := p.ProducerID(ctx); err != nil {
					t.Fatalf("transactional id t%d: %v", i, err)
				}
			}
			if _, err := adm.CreateTopic(ctx, int32(max(1, c.Nodes)), 1, nil, "topic"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestRun_listeners(t *testing.T) {
	admin, user := kafka.User{Name: "admin", Password: "admin-secret", Super: true}, kafka.User{Name: "alice", Password: "alice-secret"}
	k := kafka.Run(t, kafka.Config{Users: []kafka.User{admin, user}, TLS: true, ACLs: true, Properties: map[string]string{"message.max.bytes": "2000000"}})
	tls := kgo.DialTLSConfig(k.TLSConfig())
	for _, u := range []kafka.User{admin, user} {
		for _, m := range []sasl.Mechanism{
			plain.Auth{User: u.Name, Pass: u.Password}.AsMechanism(),
			scram.Auth{User: u.Name, Pass: u.Password}.AsSha256Mechanism(),
			scram.Auth{User: u.Name, Pass: u.Password}.AsSha512Mechanism(),
		} {
			noError(t, client(t, kgo.SeedBrokers(k.SASLAddrs()...), kgo.SASL(m)).Ping(within(t)))
			noError(t, client(t, kgo.SeedBrokers(k.SASLTLSAddrs()...), tls, kgo.SASL(m)).Ping(within(t)))
		}
	}
	wrong := client(t, kgo.SeedBrokers(k.SASLAddrs()...), kgo.SASL(plain.Auth{User: "alice", Pass: "wrong"}.AsMechanism()))
	if err := wrong.Ping(within(t)); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Fatalf("a wrong password: %v", err)
	}
	adm := kadm.NewClient(client(t, kgo.SeedBrokers(k.TLSAddrs()...), tls))
	_, err := adm.CreateTopic(within(t), 1, 1, nil, "secret")
	noError(t, err)
	configs, err := adm.DescribeBrokerConfigs(within(t), 1)
	noError(t, err)
	if got := configs[0].Configs[slices.IndexFunc(configs[0].Configs, func(c kadm.Config) bool { return c.Key == "message.max.bytes" })]; got.MaybeValue() != "2000000" {
		t.Fatalf("message.max.bytes is %s", got.MaybeValue())
	}

	// An ACL about somebody else shuts out alice, and not the admin.
	acl := kadm.NewACLs().Topics("secret").Allow("User:bob").AllowHosts().Operations(kadm.OpAll).ResourcePatternType(kadm.ACLPatternLiteral)
	_, err = adm.CreateACLs(within(t), acl)
	noError(t, err)
	produce := func(u kafka.User) error {
		cl := client(t, kgo.SeedBrokers(k.SASLAddrs()...), kgo.SASL(plain.Auth{User: u.Name, Pass: u.Password}.AsMechanism()))
		return cl.ProduceSync(within(t), &kgo.Record{Topic: "secret", Value: []byte("v")}).FirstErr()
	}
	ctx := within(t)
	for err := produce(user); !errors.Is(err, kerr.TopicAuthorizationFailed); err = produce(user) {
		if err != nil || ctx.Err() != nil { // the broker hears of an ACL later than it is made
			t.Fatalf("alice: %v", err)
		}
	}
	noError(t, produce(admin))
}

func TestStart_saysWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	defer func() { _ = taken.Close() }() // nothing was sent
	port := taken.Addr().(*net.TCPAddr).Port
	full := t.TempDir()
	noError(t, os.WriteFile(filepath.Join(full, "file"), nil, 0o600))

	chosen, err := kafka.Chosen()
	noError(t, err)
	for name, c := range map[string]struct {
		config kafka.Config
		env    map[string]string
		want   []string
		starts bool // something has to be started to find out
	}{
		"too many nodes":    {config: kafka.Config{Nodes: 10}, want: []string{"Nodes is 10; use 1 to 9"}},
		"ports and nodes":   {config: kafka.Config{Nodes: 2, Ports: []int{9092}}, want: []string{"1 Ports for 2 Nodes"}},
		"no such port":      {config: kafka.Config{Ports: []int{70000}}, want: []string{"port 70000"}},
		"empty password":    {config: kafka.Config{Users: []kafka.User{{Name: "u"}}}, want: []string{`user "u"`, "must not be empty"}},
		"password's quote":  {config: kafka.Config{Users: []kafka.User{{Name: "u", Password: `a"b`}}}, want: []string{`user "u"`, "ASCII"}},
		"port taken":        {config: kafka.Config{Ports: []int{port}}, want: []string{fmt.Sprintf("port %d cannot be had", port), "choose another"}},
		"no java":           {env: map[string]string{"PATH": "/nonexistent", "JAVA_HOME": ""}, want: []string{"no java", "install a Java runtime, 17 or later"}},
		"no mvn":            {env: map[string]string{"PATH": onlyJava(t), "KAFKATEST_CACHE": t.TempDir()}, want: []string{"no mvn", "install Maven"}},
		"no such source":    {config: kafka.Config{Source: "jar"}, want: []string{`Source is "jar"; use one of ["jars" "container" "existing"]`}},
		"existing with TLS": {config: kafka.Config{TLS: true}, env: map[string]string{"KAFKA_BROKERS": "127.0.0.1:1"}, want: []string{"not to be had", "a listener with TLS", "KAFKATEST_REAL=jars"}},
		"nobody there":      {env: map[string]string{"KAFKA_BROKERS": "127.0.0.1:1"}, want: []string{"no Kafka answers at 127.0.0.1:1, which KAFKA_BROKERS names"}},
		"existing, unnamed": {config: kafka.Config{Source: kafka.FromExisting}, want: []string{"set KAFKA_BROKERS"}},
		"container, nodes":  {config: kafka.Config{Nodes: 3}, env: map[string]string{"KAFKATEST_REAL": "container"}, want: []string{"not to be had", "3 nodes", "KAFKATEST_REAL=jars"}},
		"no container":      {config: kafka.Config{Source: kafka.FromContainer}, env: map[string]string{"KAFKATEST_IMAGE": "no image"}, want: []string{"starting a container of no image", "KAFKATEST_IMAGE names another", "KAFKATEST_REAL=jars needs no Docker"}},
		"folder not empty":  {config: kafka.Config{Dir: full}, want: []string{"is not empty"}, starts: true},
		"unusable property": {config: kafka.Config{Properties: map[string]string{"num.network.threads": "many"}}, want: []string{"formatting", "num.network.threads"}, starts: true},
		"broker that ends":  {config: kafka.Config{Properties: map[string]string{"authorizer.class.name": "no.such.Class"}}, want: []string{"node 1 ended", "no.such.Class"}, starts: true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.starts && chosen != kafka.FromJars {
				t.Skip("this starts the jars: opt in with KAFKATEST_REAL=jars")
			}
			t.Setenv("KAFKATEST_REAL", "")
			t.Setenv("KAFKA_BROKERS", "")
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			k, err := kafka.Start(t.Context(), c.config)
			if err == nil {
				t.Fatal("it started", k.Close())
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v does not say %q", err, w)
				}
			}
		})
	}
}

// A fetch that fails leaves nothing that the next one takes for whole.
func TestJars_anInterruptedFetchDoesNotCount(t *testing.T) {
	cache, bin := t.TempDir(), onlyJava(t)
	t.Setenv("KAFKATEST_CACHE", cache)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	mvn := func(script string) {
		noError(t, os.WriteFile(filepath.Join(bin, "mvn"), []byte("#!/bin/sh\nfor a; do case $a in -DoutputDirectory=*) out=${a#*=};; esac; done\n"+script), 0o700))
	}
	mvn("touch $out/half.jar; echo no route to repository; exit 1\n")
	if _, err := kafka.Jars(t.Context()); err == nil || !strings.Contains(err.Error(), "no route to repository") {
		t.Fatalf("a failed fetch: %v", err)
	}
	mvn("touch $out/half.jar; kill -9 $$\n")
	if _, err := kafka.Jars(t.Context()); err == nil {
		t.Fatal("a killed fetch has no error")
	}
	mvn("touch $out/whole.jar; echo x >>" + cache + "/runs\n")
	type result struct {
		dir string
		err error
	}
	results := make(chan result)
	for range 2 {
		go func() {
			dir, err := kafka.Jars(context.WithoutCancel(t.Context()))
			results <- result{dir, err}
		}()
	}
	for range 2 {
		r := <-results
		noError(t, r.err)
		jars, err := filepath.Glob(filepath.Join(r.dir, "*.jar"))
		noError(t, err)
		if len(jars) != 1 || filepath.Base(jars[0]) != "whole.jar" {
			t.Errorf("jars are %v", jars)
		}
	}
	if runs, err := os.ReadFile(filepath.Join(cache, "runs")); err != nil || string(runs) != "x\n" {
		t.Errorf("fetched %d times, error %v", len(runs)/2, err)
	}
}

// The broker of a process that is killed goes with it.
func TestStart_nothingIsLeftByAProcessThatDies(t *testing.T) {
	if os.Getenv("KAFKATEST_DIES") != "" {
		k := kafka.Run(t, kafka.Config{})
		fmt.Println("address", k.Addrs()[0])
		select {}
	}
	chosen, err := kafka.Chosen()
	noError(t, err)
	if chosen != kafka.FromJars {
		t.Skip("this kills what started the jars: opt in with KAFKATEST_REAL=jars")
	}
	cmd := exec.CommandContext(within(t), os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "KAFKATEST_DIES=1", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	noError(t, err)
	noError(t, cmd.Start())
	var addr string
	_, err = fmt.Fscanf(out, "address %s\n", &addr)
	noError(t, err)
	conn, err := net.Dial("tcp", addr)
	noError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // nothing was sent
	noError(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	noError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the broker is still there: %v", err)
	}
}

// onlyJava is a folder with java and nothing else, to be a PATH.
func onlyJava(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	java, err := exec.LookPath("java")
	if err != nil {
		java = "/bin/true" // nothing runs it before what is missing is noticed
	}
	noError(t, os.Symlink(java, filepath.Join(dir, "java")))
	return dir
}

func client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(opts...)
	noError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

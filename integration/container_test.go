package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"example.com/kafkatest/integration/kafka"
)

// image is a container image of Apache Kafka that is made of the installed Java
// runtime and Kafka's jars, with docker: nothing is pulled.
type image string

// startScript does what Apache's own image does at its start: it formats the data
// folder and becomes the broker, with the flags of kafka-server-start.sh. From
// Kafka's defaults it differs in what one node alone needs, and in that a first
// rebalance starts without delay, as testing images have it.
const startScript = `/bin/cat > /tmp/server.properties <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093
advertised.listeners=PLAINTEXT://%s
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=/tmp/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
END
/java/bin/java -Xshare:auto -cp '/kafka/*' kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qg -c /tmp/server.properties || exit 1
exec /java/bin/java -server -Xmx1G -Xms1G -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true -cp '/kafka/*' kafka.Kafka /tmp/server.properties
`

// kafkaImage makes the image, unless it is there. It skips the benchmark without
// docker, or without a JDK to make a runtime with.
func kafkaImage(b *testing.B) image {
	b.Helper()
	if err := exec.CommandContext(b.Context(), "docker", "info").Run(); err != nil {
		b.Skip("no docker engine answers")
	}
	name := "kafkatest-kafka:" + kafka.Version()
	if exec.CommandContext(b.Context(), "docker", "image", "inspect", name).Run() == nil {
		return image(name)
	}
	jars, err := kafka.Jars(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	jlink, err := exec.LookPath("jlink")
	if err != nil {
		b.Skip("no jlink on the PATH: install a JDK, 17 or later")
	}
	root := filepath.Join(b.TempDir(), "root")
	for _, dir := range []string{"bin", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			b.Fatal(err)
		}
	}
	run(b, jlink, "--output", filepath.Join(root, "java"), "--strip-debug", "--no-header-files", "--no-man-pages", "--add-modules",
		"java.base,java.desktop,java.logging,java.management,java.naming,java.security.sasl,java.security.jgss,java.sql,java.xml,java.instrument,jdk.crypto.ec,jdk.management,jdk.unsupported")
	run(b, "cp", "-r", jars, filepath.Join(root, "kafka"))
	run(b, "cp", "-L", "/bin/sh", "/bin/cat", filepath.Join(root, "bin"))
	programs := []string{"/bin/sh", "/bin/cat", filepath.Join(root, "java", "bin", "java")}
	libraries, err := filepath.Glob(filepath.Join(root, "java", "lib", "*.so"))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(run(b, "ldd", append(append(programs, libraries...), filepath.Join(root, "java", "lib", "server", "libjvm.so"))...)) {
		for _, field := range strings.Fields(line) {
			if strings.HasPrefix(field, "/") && !strings.HasPrefix(field, root) && !strings.HasSuffix(field, ":") {
				if err := os.MkdirAll(filepath.Join(root, filepath.Dir(field)), 0o755); err != nil {
					b.Fatal(err)
				}
				run(b, "cp", "-L", field, filepath.Join(root, field))
			}
		}
	}
	run(b, "sh", "-c", `tar -C "$1" -c . | docker import - "$2"`, "sh", root, name)
	return image(name)
}

func run(b *testing.B, program string, args ...string) (said string) {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), program, args...).CombinedOutput()
	if err != nil {
		b.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

// start starts a container with a port of this machine's loopback, and waits until
// a topic can be created.
func (i image) start(b *testing.B) (addr string, stop func()) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr = ln.Addr().String()
	_ = ln.Close() // the port is what it was for
	id := strings.TrimSpace(run(b, "docker", "run", "--detach", "--publish", addr+":9092", string(i), "/bin/sh", "-c", fmt.Sprintf(startScript, addr)))
	stop = func() {
		b.StopTimer()
		defer b.StartTimer()
		run(b, "docker", "rm", "--force", "--volumes", id)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RequestRetries(0), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		made, err := kadm.NewClient(cl).CreateTopic(ctx, 1, 1, nil, "ready")
		if err == nil && made.Err == nil {
			return addr, stop
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			said := run(b, "docker", "logs", "--tail", "20", id)
			stop()
			b.Fatalf("no broker after two minutes: %v\n%s", err, said)
		}
	}
}

package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"
)

// Image is the image of a container: the environment's KAFKATEST_IMAGE, or Apache
// Kafka's own, pinned to [Version]. Another one must start Kafka as that one does:
// by /etc/kafka/docker/run, with the server.properties in /mnt/shared/config.
func Image() string { return cmp.Or(os.Getenv(envImage), "apache/kafka:"+Version()) }

const (
	// containerPort is where the broker listens in the container.
	containerPort = 9092

	// startFile is what the container waits for: the address that clients are told
	// is known only when the port is mapped, and that only when it runs.
	startFile = "/tmp/start"

	internal = "INTERNAL" // listener of the broker for itself
)

// container is a node in a container.
type container struct {
	*testcontainers.DockerContainer
	addr string
}

func startContainer(ctx context.Context, config Config) (*Kafka, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("it was not ready within %v", startLimit))
	defer cancel()
	k := &Kafka{config: config, container: &container{}}
	port := strconv.Itoa(containerPort) + "/tcp"
	begin := func(ctx context.Context, c testcontainers.Container) error {
		if err := wait.ForMappedPort(port).WaitUntilReady(ctx, c); err != nil {
			return err
		}
		addr, err := c.PortEndpoint(ctx, port, "")
		if err != nil {
			return err
		}
		k.container.addr = addr
		return c.CopyToContainer(ctx, startScript(config, addr), startFile, 0o755)
	}
	c, err := testcontainers.Run(ctx, Image(),
		testcontainers.WithLogger(log.NewNoopLogger()),
		testcontainers.WithExposedPorts(port),
		testcontainers.WithEnv(map[string]string{"KAFKA_HEAP_OPTS": "-Xmx512m"}),
		testcontainers.WithEntrypoint("/bin/sh"),
		testcontainers.WithCmd("-c", "while [ ! -s "+startFile+" ]; do sleep 0.05; done; exec /bin/sh "+startFile),
		testcontainers.WithAdditionalLifecycleHooks(testcontainers.ContainerLifecycleHooks{PostStarts: []testcontainers.ContainerHook{begin}}),
	)
	k.container.DockerContainer = c
	if err != nil {
		err = fmt.Errorf("starting a container of %s (%s names another, %s=jars needs no Docker): %w", Image(), envImage, envReal, err)
		if c != nil {
			err = fmt.Errorf("%w; it logged:\n%s", err, k.Logs())
		}
		return nil, errors.Join(err, k.Close())
	}
	if err := k.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// startScript configures the broker and becomes it.
func startScript(config Config, addr string) []byte {
	const controllerPort, internalPort = containerPort + 1, containerPort + 2
	p := config.properties(&node{id: 1, dir: "/tmp/kafka", ports: map[string]int{plaintext: containerPort}}, controllerPort)
	// What clients are told is of no use in the container, where the broker is a client
	// of itself: of its coordinators.
	self := fmt.Sprintf("%s://%s:%d", internal, host, internalPort)
	p["listeners"] = fmt.Sprintf("%s://:%d,%s,%s://%s:%d", plaintext, containerPort, self, controller, host, controllerPort)
	p["advertised.listeners"] = plaintext + "://" + addr + "," + self
	p["inter.broker.listener.name"] = internal
	p["listener.security.protocol.map"] += "," + internal + ":" + plaintext
	return fmt.Appendf(nil, "cat > /mnt/shared/config/%s <<'END'\n%sEND\nexec /etc/kafka/docker/run\n", configFile, propertiesFile(p))
}

// stop removes the container, its data included.
func (c *container) stop() error {
	if c.DockerContainer == nil {
		return nil
	}
	return testcontainers.TerminateContainer(c.DockerContainer, testcontainers.StopTimeout(0))
}

// ended says that the container runs no longer.
func (c *container) ended(ctx context.Context) error {
	state, err := c.State(ctx)
	if err != nil {
		return fmt.Errorf("asking for the state of the container: %w", err)
	}
	if !state.Running {
		return fmt.Errorf("the container ended with code %d", state.ExitCode)
	}
	return nil
}

// log is the end of what the container logged.
func (c *container) log() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	logs, err := c.Logs(ctx)
	if err != nil {
		return "\t" + err.Error()
	}
	defer func() { _ = logs.Close() }() // it is only read
	text, err := io.ReadAll(logs)
	if err != nil {
		return "\t" + err.Error()
	}
	return lastLines(string(text), 20)
}

package kafka

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"example.com/kafkatest/integration/internal/process"
)

// stopLimit is how long a node may take to stop before it is killed.
const stopLimit = 15 * time.Second

// logFile and configFile are in a node's folder.
const (
	logFile    = "kafka.log"
	configFile = "server.properties"
)

// node is a process of a cluster.
type node struct {
	id    int
	dir   string
	java  string
	jars  string
	ports map[string]int // by listener

	process *process.Process // nil before start
}

func (n *node) configure(properties map[string]string) error {
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return fmt.Errorf("making a folder for node %d: %w", n.id, err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, configFile), propertiesFile(properties), 0o600); err != nil {
		return fmt.Errorf("configuring node %d: %w", n.id, err)
	}
	return nil
}

// flags are those of the virtual machine for everything that runs on it: what is
// used for seconds need not be compiled well.
func (n *node) flags() []string {
	return []string{
		"-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-cp", filepath.Join(n.jars, "*"),
	}
}

// format makes the node's data folder.
func (n *node) format(ctx context.Context, clusterID string, users []User, flags []string) error {
	args := append(n.flags(), flags...)
	args = append(args, "kafka.tools.StorageTool", "format", "--cluster-id="+clusterID, "--config", filepath.Join(n.dir, configFile))
	for _, u := range users {
		for _, m := range mechanisms[1:] {
			args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", m, u.Name, u.Password))
		}
	}
	if out, err := exec.CommandContext(ctx, n.java, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("formatting the data folder of node %d: %w%s; it said:\n%s", n.id, err, hint(string(out)), lastLines(string(out), 10))
	}
	return nil
}

// start starts the process.
func (n *node) start(flags []string) error {
	log, err := os.OpenFile(filepath.Join(n.dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of node %d: %w", n.id, err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	cmd := exec.Command(n.java, append(append(n.flags(), flags...), "kafka.Kafka", filepath.Join(n.dir, configFile))...)
	cmd.Dir = n.dir
	cmd.Stdout, cmd.Stderr = log, log
	if n.process, err = process.Start(cmd); err != nil {
		return fmt.Errorf("starting node %d: %w", n.id, err)
	}
	return nil
}

// stop ends the process and waits for its end.
func (n *node) stop() error {
	if n.process == nil {
		return nil
	}
	if err := n.process.Stop(stopLimit); err != nil {
		return fmt.Errorf("stopping node %d: %w", n.id, err)
	}
	return nil
}

// log is the end of what the node logged.
func (n *node) log() string {
	text, err := os.ReadFile(filepath.Join(n.dir, logFile))
	if err != nil {
		return ""
	}
	return lastLines(string(text), 20)
}

// findJava is the java of JAVA_HOME, or the one of the PATH.
func findJava() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if java, err := exec.LookPath(filepath.Join(home, "bin", "java")); err == nil {
			return java, nil
		}
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("no java in JAVA_HOME or on the PATH: install a Java runtime, 17 or later (Debian: apt-get install openjdk-17-jre-headless)")
	}
	return java, nil
}

// hint is what to do about what a virtual machine said.
func hint(said string) string {
	switch {
	case strings.Contains(said, "UnsupportedClassVersionError"):
		return " (this Java is too old: install 17 or later, or set JAVA_HOME)"
	case strings.Contains(said, "Could not reserve enough space"), strings.Contains(said, "insufficient memory"):
		return " (a node needs half a gigabyte of memory)"
	case strings.Contains(said, "Address already in use"):
		return " (another process took its port: try again)"
	}
	return ""
}

// lastLines are the last n lines that are not those of a stack trace.
func lastLines(text string, n int) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line != "" && !strings.HasPrefix(line, "\tat ") && !strings.HasPrefix(line, "SLF4J: ") {
			lines = append(lines, "\t"+line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

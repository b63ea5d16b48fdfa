package kafka

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rogpeppe/go-internal/lockedfile"
)

//go:embed pom.xml
var pom []byte

// Version is the version of Apache Kafka that Start runs, such as 4.3.1. It is
// the one of pom.xml.
func Version() string {
	var p struct {
		Version string `xml:"properties>kafka.version"`
	}
	if err := xml.Unmarshal(pom, &p); err != nil || p.Version == "" {
		panic(fmt.Sprintf("pom.xml names no kafka.version: %v", err)) // it is part of the program
	}
	return p.Version
}

// Cache is the folder, outside of any checkout, for what is fetched once: the
// environment's KAFKATEST_CACHE, or kafkatest in the user's cache folder
// ([os.UserCacheDir]). It need not exist.
func Cache() (string, error) {
	if dir := os.Getenv("KAFKATEST_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for what is fetched: set KAFKATEST_CACHE to one: %w", err)
	}
	return filepath.Join(dir, "kafkatest"), nil
}

// Jars returns the folder with the jars of Apache Kafka and its command-line
// tools, for a class path of DIR/*. The first call fetches them with Maven into
// [Cache], which takes a minute or so; calls from other goroutines and processes
// wait for it. What an interrupted fetch left is not used, but fetched again.
func Jars(ctx context.Context) (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "kafka-"+Version()+"-jars")
	if complete(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making a folder for Kafka's jars (KAFKATEST_CACHE chooses another): %w", err)
	}
	unlock, err := lockedfile.MutexAt(dir + ".lock").Lock()
	if err != nil {
		return "", fmt.Errorf("waiting for other processes to fetch Kafka's jars: %w", err)
	}
	defer unlock()
	if complete(dir) {
		return dir, nil
	}
	return dir, fetch(ctx, dir)
}

// A folder is complete when it has the pom.xml that it was filled by, which is
// written last.
func complete(dir string) bool {
	have, err := os.ReadFile(filepath.Join(dir, "pom.xml"))
	return err == nil && bytes.Equal(have, pom)
}

// fetch fills a folder beside the one that is wanted and renames it.
func fetch(ctx context.Context, dir string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("no mvn on the PATH to fetch Apache Kafka with: install Maven 3.6 or later (Debian: apt-get install maven)")
	}
	part := dir + ".part"
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(part, 0o755)); err != nil {
		return fmt.Errorf("making a folder for Kafka's jars: %w", err)
	}
	work, err := os.MkdirTemp("", "kafka-jars")
	if err != nil {
		return fmt.Errorf("making a folder for Maven: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // a temporary folder
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o644); err != nil {
		return fmt.Errorf("writing the project for Maven: %w", err)
	}
	cmd := exec.CommandContext(ctx, mvn, "--batch-mode", "--quiet", "dependency:copy-dependencies", "-DoutputDirectory="+part)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetching Apache Kafka %s: mvn: %w; it said:\n%s", Version(), err, lastLines(string(out), 10))
	}
	if err := os.WriteFile(filepath.Join(part, "pom.xml"), pom, 0o644); err != nil {
		return fmt.Errorf("finishing the folder of Kafka's jars: %w", err)
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(part, dir)); err != nil {
		return fmt.Errorf("finishing the folder of Kafka's jars: %w", err)
	}
	return nil
}

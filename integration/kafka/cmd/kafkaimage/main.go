// Command kafkaimage makes a container image of Apache Kafka from the installed JDK
// and Kafka's jars, where Kafka's own image cannot be pulled:
//
//	go run ./kafka/cmd/kafkaimage kafka:local
//	KAFKATEST_REAL=container KAFKATEST_IMAGE=kafka:local go test .
//
// It needs Linux, a JDK (17 or later), docker, and Maven the first time. The image
// has a Java runtime, the jars, a shell, and what these load; of Kafka's own it has
// the program that configures the broker, and none of the tools' scripts.
package main

import (
	"archive/zip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"example.com/kafkatest/integration/kafka"
)

//go:embed run.sh
var startScript []byte

// modules are those of Java that Kafka uses.
const modules = "java.base,java.desktop,java.logging,java.management,java.naming,java.security.sasl,java.security.jgss,java.sql,java.xml,java.instrument,jdk.crypto.ec,jdk.management,jdk.unsupported"

// programs are those of the shell scripts.
var programs = []string{"/bin/sh", "/bin/cat", "/bin/sleep"}

type flags struct {
	Name string `arg:"" help:"Name of the image, such as kafka:local. One that has it already loses it."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("kafkaimage"), kong.Description("Makes a container image of Apache Kafka "+kafka.Version()+" from the installed JDK and Kafka's jars."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := build(ctx, f.Name)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kafkaimage:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, name string) (err error) {
	if err := run(ctx, "docker", "version"); err != nil {
		return fmt.Errorf("no docker engine answers: install and start one (Debian: apt-get install docker.io): %w", err)
	}
	jlink, err := exec.LookPath("jlink")
	if err != nil {
		return errors.New("no jlink on the PATH: install a JDK, 17 or later (Debian: apt-get install default-jdk-headless)")
	}
	jars, err := kafka.Jars(ctx)
	if err != nil {
		return err
	}
	root, err := os.MkdirTemp("", "kafkaimage")
	if err != nil {
		return fmt.Errorf("making a folder for the image: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	for _, dir := range []string{"bin", "tmp", "opt/java", "opt/kafka/config", "etc/kafka/docker", "mnt/shared/config"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return fmt.Errorf("making the folders of the image: %w", err)
		}
	}
	java := filepath.Join(root, "opt", "java", "openjdk")
	if err := errors.Join(
		os.WriteFile(filepath.Join(root, "etc", "kafka", "docker", "run"), startScript, 0o755),
		run(ctx, jlink, "--output", java, "--strip-debug", "--no-header-files", "--no-man-pages", "--add-modules", modules),
		run(ctx, "cp", "-r", jars, filepath.Join(root, "opt", "kafka", "libs")),
		run(ctx, "cp", append(append([]string{"-L"}, programs...), filepath.Join(root, "bin"))...),
	); err != nil {
		return err
	}
	if err := copyLibraries(ctx, root, java, jars); err != nil {
		return err
	}
	return run(ctx, "sh", "-c", `tar -C "$1" -c . | docker import - "$2"`, "sh", root, name)
}

// copyLibraries copies the shared libraries that the programs, the Java runtime and
// the libraries in the jars load.
func copyLibraries(ctx context.Context, root, java, jars string) (err error) {
	libraries, err := filepath.Glob(filepath.Join(java, "lib", "*.so"))
	if err != nil {
		return err
	}
	natives, err := os.MkdirTemp("", "kafkaimage")
	if err != nil {
		return fmt.Errorf("making a folder for the libraries in the jars: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(natives)) }()
	packed, err := unpackLibraries(jars, natives)
	if err != nil {
		return fmt.Errorf("looking for libraries in the jars: %w", err)
	}
	load := slices.Concat(libraries, packed, programs, []string{filepath.Join(java, "lib", "server", "libjvm.so"), filepath.Join(java, "bin", "java")})
	out, err := exec.CommandContext(ctx, "ldd", load...).Output()
	if err != nil {
		return fmt.Errorf("asking ldd which libraries are needed: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		for _, field := range strings.Fields(line) {
			if !strings.HasPrefix(field, "/") || strings.HasPrefix(field, root) || strings.HasSuffix(field, ":") {
				continue
			}
			if err := os.MkdirAll(filepath.Join(root, filepath.Dir(field)), 0o755); err != nil {
				return fmt.Errorf("making a folder for libraries: %w", err)
			}
			if err := run(ctx, "cp", "-L", field, filepath.Join(root, field)); err != nil {
				return err
			}
		}
	}
	return nil
}

// native are the libraries in jars for this machine: of compression.
var native = regexp.MustCompile(`(?i)/linux/` + map[string]string{"amd64": "(amd64|x86_64)", "arm64": "aarch64"}[runtime.GOARCH] + `/[^/]+\.so$`)

// unpackLibraries unpacks the native libraries of the jars into a folder.
func unpackLibraries(jars, to string) (files []string, err error) {
	all, err := filepath.Glob(filepath.Join(jars, "*.jar"))
	if err != nil {
		return nil, err
	}
	for _, jar := range all {
		r, err := zip.OpenReader(jar)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", jar, err)
		}
		defer func() { _ = r.Close() }() // it is only read
		for _, f := range r.File {
			if !native.MatchString("/" + f.Name) {
				continue
			}
			data, err := fs.ReadFile(r, f.Name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", jar, err)
			}
			file := filepath.Join(to, path.Base(f.Name))
			if err := os.WriteFile(file, data, 0o700); err != nil {
				return nil, err
			}
			files = append(files, file)
		}
	}
	return files, nil
}

func run(ctx context.Context, program string, args ...string) error {
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w; it said:\n%s", program, strings.Join(args, " "), err, out)
	}
	return nil
}

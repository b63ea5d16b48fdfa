// Command kafka runs a real Apache Kafka on loopback until it is interrupted, to
// try on it by hand what tests ask it.
//
//	go run ./kafka/cmd/kafka --port 9092
//
// It needs a Java runtime, 17 or later, and Maven the first time. What it writes
// is removed when it ends, unless --dir names a folder.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"example.com/kafkatest/integration/kafka"
)

type flags struct {
	Port     []int             `help:"Port of a node's plaintext listener; repeat it for more nodes. Free ones unless told otherwise."`
	Nodes    int               `help:"Number of nodes, when no ports are given." placeholder:"N"`
	User     []string          `help:"A user of a listener with SASL, by PLAIN and SCRAM; repeat it for more. The first one may do everything." placeholder:"NAME:PASSWORD" sep:"none"`
	TLS      bool              `name:"tls" help:"Add a listener with TLS, and print the file with the certificate to trust."`
	ACLs     bool              `name:"acls" help:"Authorize what clients do."`
	Property map[string]string `help:"A line of server.properties; repeat it for more." placeholder:"KEY=VALUE" mapsep:"none"`
	Dir      string            `help:"Empty folder for data and logs, which is kept." placeholder:"DIR"`
}

// errUsage is wrapped by what is wrong with the command line.
var errUsage = errors.New("see kafka --help")

func main() {
	if err := parseAndRun(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kafka:", err)
		if errors.Is(err, errUsage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func parseAndRun(args []string, stdout io.Writer) error {
	var f flags
	parser, err := kong.New(&f, kong.Name("kafka"), kong.Description("Apache Kafka "+kafka.Version()+" on loopback, until interrupted."))
	if err != nil {
		return err
	}
	if _, err := parser.Parse(args); err != nil {
		return fmt.Errorf("%w (%w)", err, errUsage)
	}
	return run(f, stdout)
}

func run(f flags, stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := kafka.Config{Ports: f.Port, Nodes: f.Nodes, TLS: f.TLS, ACLs: f.ACLs, Properties: f.Property, Dir: f.Dir}
	for i, u := range f.User {
		name, password, ok := strings.Cut(u, ":")
		if !ok {
			return fmt.Errorf("--user %d is not NAME:PASSWORD (%w)", i+1, errUsage)
		}
		c.Users = append(c.Users, kafka.User{Name: name, Password: password, Super: i == 0})
	}
	k, err := kafka.Start(ctx, c)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(stdout, text(k))
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, k.Close())
}

// text is a line for each kind of listener there is.
func text(k *kafka.Kafka) string {
	var b strings.Builder
	for _, l := range []struct {
		name  string
		addrs []string
	}{
		{"plaintext", k.Addrs()}, {"sasl", k.SASLAddrs()}, {"tls", k.TLSAddrs()}, {"sasl+tls", k.SASLTLSAddrs()},
	} {
		if len(l.addrs) > 0 {
			fmt.Fprintf(&b, "listening on %s (%s)\n", strings.Join(l.addrs, ","), l.name)
		}
	}
	if k.CAFile() != "" {
		fmt.Fprintf(&b, "trust %s\n", k.CAFile())
	}
	return b.String()
}

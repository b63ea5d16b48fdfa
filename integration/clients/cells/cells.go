// Package cells is what the clients' programs in Go share: the list of cells,
// their time limit and how outcomes are printed (CONTRACT.md).
//
//	func main() {
//		cells.Run(errorName, map[string]cells.Cell{
//			"produce/plain": producePlain,
//			"group/reset":   cells.NotOffered,
//			...
//		})
//	}
package cells

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TimeLimit is what a cell may take.
const TimeLimit = 15 * time.Second

// What cells are made of: codecs and mechanisms, by the names that Kafka gives them.
var (
	Codecs     = []string{"gzip", "snappy", "lz4", "zstd"}
	Mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
)

// Names has all cells in the order in which they are run.
var Names = []string{
	"topic/create",
	"produce/plain", "produce/gzip", "produce/snappy", "produce/lz4", "produce/zstd",
	"produce/idempotent", "produce/transactional", "produce/aborted",
	"group/two members", "group/rebalance", "group/commit", "group/resume",
	"consume/seek",
	"group/describe", "group/reset", "group/delete",
	"tls/produce and consume",
	"sasl/PLAIN", "sasl/SCRAM-SHA-256", "sasl/SCRAM-SHA-512", "sasl/wrong password",
	"errors/unknown topic", "errors/bad topic name",
}

// What the environment says about the broker.
var (
	Bootstrap     = os.Getenv("BOOTSTRAP")
	SASLBootstrap = os.Getenv("SASL_BOOTSTRAP")
	SASLUser      = os.Getenv("SASL_USER")
	SASLPassword  = os.Getenv("SASL_PASSWORD")
	TLSBootstrap  = os.Getenv("TLS_BOOTSTRAP")
	TLSCA         = os.Getenv("TLS_CA")
	Prefix        = os.Getenv("PREFIX")
)

// A Cell does one thing and returns its outcome. The context ends with the
// cell's time limit.
type Cell func(context.Context) (string, error)

// NotOffered is the cell of what a library has no operation for.
func NotOffered(context.Context) (string, error) { return "not offered", nil }

// A Record is what is compared of a record that was read.
type Record struct {
	Offset int64
	Value  string
}

// Values returns the numbers from first to before end, as text.
func Values(first, end int) []string {
	var values []string
	for i := first; i < end; i++ {
		values = append(values, strconv.Itoa(i))
	}
	return values
}

// TenRecords is the outcome for records, of which there should be ten, with
// offsets and values from 0 on.
func TenRecords(records []Record) string {
	what := fmt.Sprintf("%d records", len(records))
	if len(records) > 0 {
		what += fmt.Sprintf(", offsets %d to %d", records[0].Offset, records[len(records)-1].Offset)
	}
	var want []Record
	for i, value := range Values(0, 10) {
		want = append(want, Record{int64(i), value})
	}
	if !slices.Equal(records, want) {
		return "wrong: " + what
	}
	return what
}

// Once is the outcome for values that should be the wanted ones, in any order.
func Once(values, want []string) string {
	values = slices.Sorted(slices.Values(values))
	if !slices.Equal(values, slices.Sorted(slices.Values(want))) {
		return "wrong records: " + strings.Join(values, " ")
	}
	return fmt.Sprintf("%d records once", len(values))
}

// Aborted is the outcome for values, of which those from 10 on were committed.
func Aborted(values []string) string {
	committed := 0
	for _, value := range values {
		if len(value) > 1 {
			committed++
		}
	}
	return fmt.Sprintf("%d committed records, %d aborted", committed, len(values)-committed)
}

// Until calls done every 20 ms until it returns true, and fails when the
// context ends before that.
func Until(ctx context.Context, done func() (bool, error)) error {
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Run runs all cells, or those that CELLS names, and ends the process. What a
// cell past its limit still does ends with it. errorName names an error as the
// library's users know it.
func Run(errorName func(error) string, named map[string]Cell) {
	if got := slices.Sorted(maps.Keys(named)); !slices.Equal(got, slices.Sorted(slices.Values(Names))) {
		log.Fatalf("the cells are not those of the contract: %q", got)
	}
	wanted := strings.Split(os.Getenv("CELLS"), ",")
	out := json.NewEncoder(os.Stdout)
	for _, name := range Names {
		if wanted[0] != "" && !slices.Contains(wanted, name) {
			continue
		}
		err := out.Encode(struct {
			Cell    string `json:"cell"`
			Outcome string `json:"outcome"`
		}{name, outcome(name, named[name], errorName)})
		if err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(0)
}

func outcome(name string, cell Cell, errorName func(error) string) string {
	switch {
	case strings.HasPrefix(name, "tls/") && TLSBootstrap == "":
		return "not run: no TLS listener"
	case strings.HasPrefix(name, "sasl/") && SASLBootstrap == "":
		return "not run: no SASL listener"
	}
	log.Printf("%s begins", name)
	ctx, cancel := context.WithTimeout(context.Background(), TimeLimit)
	defer cancel()
	done := make(chan string, 1)
	go func() { done <- run(ctx, name, cell, errorName) }()
	select {
	case outcome := <-done:
		return outcome
	case <-time.After(TimeLimit + time.Second): // for a library that does not heed its context
		return "error: time out"
	}
}

func run(ctx context.Context, name string, cell Cell, errorName func(error) string) (outcome string) {
	defer func() {
		if r := recover(); r != nil {
			log.Printf("%s panicked: %v", name, r)
			outcome = "error: panic"
		}
	}()
	outcome, err := cell(ctx)
	if err != nil {
		log.Printf("%s failed: %v", name, err)
		if errors.Is(err, context.DeadlineExceeded) {
			return "error: time out"
		}
		return "error: " + errorName(err)
	}
	return outcome
}

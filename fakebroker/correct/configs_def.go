package correct

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// configDef is a configuration that Kafka defines. See configs_table.go.
type configDef struct {
	name   string
	kind   kmsg.ConfigType
	value  string // the default
	null   bool   // there is no default
	valid  string // what is allowed beside the type; empty is everything
	broker string // of a topic or group: the broker configuration that it falls back to

	// Of a broker: whether it can be changed while the broker runs, for one
	// broker only or for all of them too.
	perBroker, clusterWide bool

	internal bool // described only where it was given
}

func (d configDef) dynamic() bool { return d.perBroker || d.clusterWide }

func (d configDef) sensitive() bool { return d.kind == kmsg.ConfigTypePassword }

// places are where the tables have each name, by the table's first element.
var places = sync.OnceValue(func() map[*configDef]map[string]int {
	all := make(map[*configDef]map[string]int)
	for _, defs := range [][]configDef{topicConfigs, brokerConfigs, groupConfigs, metricsConfigs} {
		at := make(map[string]int, len(defs))
		for i, d := range defs {
			at[d.name] = i
		}
		all[&defs[0]] = at
	}
	return all
})

// define finds a configuration of one of the tables, or of none, by its name.
func define(defs []configDef, name string) (configDef, bool) {
	if len(defs) == 0 {
		return configDef{}, false
	}
	i, ok := places()[&defs[0]][name]
	if !ok {
		return configDef{}, false
	}
	return defs[i], true
}

// said is an error in Kafka's words, which clients show to their users.
type said string

func (e said) Error() string { return string(e) }

// badValue says what is wrong with a value, as Kafka's ConfigException does.
func badValue(name, value, why string) error {
	return said("Invalid value " + value + " for configuration " + name + ": " + why)
}

// parse checks a value by the rules of Kafka's ConfigDef, and returns how Kafka
// describes it: a number without a sign or spaces, a list without spaces.
func (d configDef) parse(v string) (string, error) {
	trimmed := strings.TrimFunc(v, func(r rune) bool { return r <= ' ' })
	switch d.kind {
	case kmsg.ConfigTypeInt, kmsg.ConfigTypeShort, kmsg.ConfigTypeLong:
		n, err := strconv.ParseInt(trimmed, 10, bits(d.kind))
		if err != nil {
			return "", badValue(d.name, v, "Not a number of type "+d.kind.String())
		}
		text := strconv.FormatInt(n, 10)
		return text, d.checkNumber(text, float64(n))
	case kmsg.ConfigTypeDouble:
		f, ok := parseDouble(trimmed)
		if !ok {
			return "", badValue(d.name, v, "Not a number of type DOUBLE")
		}
		text := formatDouble(f)
		return text, d.checkNumber(text, f)
	case kmsg.ConfigTypeBoolean:
		text := strings.ToLower(trimmed)
		if text != "true" && text != "false" {
			return "", badValue(d.name, v, "Expected value to be either true or false")
		}
		return text, nil
	case kmsg.ConfigTypeList:
		list := splitList(trimmed)
		if strings.HasPrefix(d.valid, "list ") { // each element counts once
			seen := make(map[string]bool)
			list = slices.DeleteFunc(list, func(s string) bool {
				again := seen[s] && s != ""
				seen[s] = true
				return again
			})
		}
		return strings.Join(list, ","), d.checkList(list)
	case kmsg.ConfigTypeClass:
		if trimmed != d.value && !strings.HasPrefix(trimmed, "org.apache.kafka.") {
			return "", badValue(d.name, v, "Class "+v+" could not be found.")
		}
		return trimmed, nil
	default:
		return trimmed, d.checkString(trimmed)
	}
}

// bits is how many a whole number of a type has.
func bits(kind kmsg.ConfigType) int {
	switch kind {
	case kmsg.ConfigTypeShort:
		return 16
	case kmsg.ConfigTypeInt:
		return 32
	default:
		return 64
	}
}

func (d configDef) checkNumber(text string, n float64) error {
	if bounds, ok := strings.CutPrefix(d.valid, "range "); ok {
		low, high, _ := strings.Cut(bounds, " ")
		if m, err := strconv.ParseFloat(low, 64); err == nil && n < m {
			return badValue(d.name, text, "Value must be at least "+low)
		}
		if high == "-" {
			return nil
		}
		if m, err := strconv.ParseFloat(high, 64); err == nil && n > m {
			return badValue(d.name, text, "Value must be no more than "+high)
		}
	}
	if d.valid == "gzip level" && n != -1 && (n < 1 || n > 9) {
		return badValue(d.name, text, "Value must be between 1 and 9 or equal to -1")
	}
	return nil
}

// throttled is one of the replicas that a list of throttled ones has.
var throttled = regexp.MustCompile(`^[0-9]+:[0-9]+$`)

func (d configDef) checkList(list []string) error {
	if d.valid == "replicas" {
		if slices.Equal(list, []string{"*"}) || !slices.ContainsFunc(list, func(s string) bool { return !throttled.MatchString(s) }) {
			return nil
		}
		return badValue(d.name, "["+strings.Join(list, ", ")+"]", d.name+" must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...")
	}
	allowed, filled := strings.CutPrefix(d.valid, "filled list ")
	if !filled {
		var limited bool
		if allowed, limited = strings.CutPrefix(d.valid, "list "); !limited {
			return nil
		}
	}
	if filled && len(list) == 0 {
		what := "any non-empty value"
		if allowed != "" {
			what = "[" + allowed + "]"
		}
		return said("Configuration '" + d.name + "' must not be empty. Valid values include: " + what)
	}
	if slices.Contains(list, "") {
		return said("Configuration '" + d.name + "' values must not be empty.")
	}
	for _, s := range list {
		if allowed != "" && !slices.Contains(strings.Split(allowed, ", "), s) {
			return badValue(d.name, s, "String must be one of: "+allowed)
		}
	}
	return nil
}

func (d configDef) checkString(s string) error {
	if allowed, ok := strings.CutPrefix(d.valid, "one of any case "); ok {
		if !slices.Contains(strings.Split(allowed, ", "), strings.ToUpper(s)) {
			return badValue(d.name, s, "String must be one of (case insensitive): "+allowed)
		}
		return nil
	}
	if allowed, ok := strings.CutPrefix(d.valid, "one of "); ok && !slices.Contains(strings.Split(allowed, ", "), s) {
		return badValue(d.name, s, "String must be one of: "+allowed)
	}
	switch {
	case d.valid == "filled" && s == "":
		return badValue(d.name, s, "String must be non-empty")
	case d.valid == "offset reset" && !offsetReset(s):
		return badValue(d.name, s, "Invalid value `"+s+"` for configuration "+d.name+". The value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.")
	}
	return nil
}

// duration is an ISO 8601 duration as Java reads it, without a sign.
var duration = regexp.MustCompile(`(?i)^P(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+(?:[.,]\d{0,9})?S)?)?$`)

func offsetReset(s string) bool {
	if s == "earliest" || s == "latest" {
		return true
	}
	d, ok := strings.CutPrefix(s, "by_duration:")
	return ok && duration.MatchString(d) && strings.ContainsAny(d, "0123456789") && !strings.HasSuffix(strings.ToUpper(d), "T")
}

// splitList takes a list apart as Kafka does; an empty text is no element.
func splitList(s string) []string {
	if s == "" {
		return nil
	}
	list := strings.Split(s, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// parseDouble reads a number as Java's Double.parseDouble does, but for
// hexadecimal ones.
func parseDouble(s string) (float64, bool) {
	digits := strings.TrimLeft(s, "+-")
	switch {
	case digits == "NaN" || digits == "Infinity":
	case digits == "" || strings.Trim(digits, "0123456789.eE+-dDfF") != "":
		return 0, false
	case strings.ContainsRune("dDfF", rune(digits[len(digits)-1])):
		s = s[:len(s)-1]
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

// formatDouble is Java's Double.toString.
func formatDouble(f float64) string {
	switch a := math.Abs(f); {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 0):
		return strings.Replace(strconv.FormatFloat(f, 'g', -1, 64), "+Inf", "Infinity", 1)
	case a == 0 || a >= 1e-3 && a < 1e7:
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent) // digits with a sign, as just written
	return mantissa + "E" + strconv.Itoa(n)
}

// parseAll checks values in the order of the definitions, and returns them as
// Kafka describes them. Names that are not defined stay as they are.
func parseAll(defs []configDef, values map[string]string) (map[string]string, error) {
	parsed := maps.Clone(values)
	for _, d := range defs {
		v, ok := values[d.name]
		if !ok {
			continue
		}
		p, err := d.parse(v)
		if err != nil {
			return nil, err
		}
		parsed[d.name] = p
	}
	return parsed, nil
}

// unknownConfig is the first name that is not defined, in alphabetical order;
// empty when all are.
func unknownConfig(defs []configDef, values map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, ok := define(defs, name); !ok {
			return name
		}
	}
	return ""
}

// ErrUnknownConfig is wrapped by the error for a configuration that Kafka does
// not define.
var ErrUnknownConfig = errors.New("unknown configuration")

// TopicConfigs checks what a topic shall be given by the rules of Kafka 4.3, and
// returns the values in the form that Kafka describes them in. The error names
// the configuration and says in Kafka's words what is wrong.
func TopicConfigs(values map[string]string) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil // defaults agree with each other
	}
	if name := unknownConfig(topicConfigs, values); name != "" {
		return nil, said("Unknown topic config name: " + name)
	}
	parsed, err := parseAll(topicConfigs, values)
	if err != nil {
		return nil, err
	}
	least, most := compactionLag(parsed, "min.compaction.lag.ms"), compactionLag(parsed, "max.compaction.lag.ms")
	if least > most {
		return nil, said(fmt.Sprintf("conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", least, most))
	}
	if parsed["remote.storage.enable"] == "true" {
		return nil, said("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	return parsed, nil
}

// compactionLag is one of the two, set or not, in milliseconds.
func compactionLag(values map[string]string, name string) int64 {
	d, _ := define(topicConfigs, name)
	v, ok := values[name]
	if !ok {
		v = d.value
	}
	n, _ := strconv.ParseInt(v, 10, 64) // parsed before
	return n
}

// BrokerConfig checks what a broker shall be started with by the rules of Kafka
// 4.3, and returns the value in the form that Kafka describes it in. The error
// says in Kafka's words what is wrong, and wraps [ErrUnknownConfig] for a name
// that Kafka does not define.
func BrokerConfig(name, value string) (string, error) {
	d, ok := define(brokerConfigs, name)
	if !ok {
		return "", fmt.Errorf("%w: %s", ErrUnknownConfig, name)
	}
	return d.parse(value)
}

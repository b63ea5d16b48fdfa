package correct

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rootLogger is the one that all others take their level from.
const rootLogger = "root"

// loggerNames are those that Kafka's own configuration of its log names. They
// log nothing here; their levels can be set and read, as operators' tools do.
var loggerNames = []string{
	rootLogger, "kafka", "kafka.controller", "kafka.log.LogCleaner", "kafka.network.RequestChannel$",
	"kafka.request.logger", "org.apache.kafka", "org.apache.kafka.controller", "state.change.logger",
}

// logLevels are what a logger can be set to (LogLevelConfig), in the order in
// which Kafka lists them.
var logLevels = []string{"DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"}

// levels are the levels of a broker's loggers.
func (s *settings) levels(node int32) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	root, ok := s.loggers[node][rootLogger]
	if !ok {
		root = "INFO"
	}
	out := make(map[string]string)
	for _, name := range loggerNames {
		out[name] = root
	}
	maps.Copy(out, s.loggers[node])
	return out
}

// alterLoggers says what is left of the levels that a broker's loggers were set
// to.
func (s *settings) alterLoggers(node int32, c alteration) (map[string]string, *rejection) {
	n, err := strconv.ParseInt(c.name, 10, 32)
	if err != nil {
		return nil, reject(kerr.InvalidRequest, "%s", "Node id must be an integer, but it is: "+c.name)
	}
	if id := s.c.Known(node); int32(n) != id {
		return nil, reject(kerr.InvalidRequest, "%s", "Unexpected node id. Expected "+strconv.Itoa(int(id))+", but received "+c.name)
	}
	s.mu.Lock()
	after := maps.Clone(s.loggers[node])
	s.mu.Unlock()
	if after == nil {
		after = make(map[string]string)
	}
	for _, o := range c.ops {
		unknown := !slices.Contains(loggerNames, o.name)
		switch o.op {
		case kmsg.IncrementalAlterConfigOpSet:
			if unknown {
				return nil, reject(kerr.InvalidConfig, "%s", "Logger "+o.name+" does not exist!")
			}
			if !slices.Contains(logLevels, *o.value) {
				return nil, reject(kerr.InvalidConfig, "%s", "Cannot set the log level of "+o.name+" to "+*o.value+
					" as it is not a supported log level. Valid log levels are "+strings.Join(logLevels, ", "))
			}
			after[o.name] = *o.value
		case kmsg.IncrementalAlterConfigOpDelete:
			if unknown {
				return nil, reject(kerr.InvalidConfig, "%s", "Logger "+o.name+" does not exist!")
			}
			if o.name == rootLogger {
				return nil, reject(kerr.InvalidRequest, "%s", "Removing the log level of the root logger is not allowed")
			}
			delete(after, o.name)
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			return nil, reject(kerr.InvalidRequest, "%s", o.op.String()+" operation is not allowed for the BROKER_LOGGER resource")
		default:
			return nil, reject(kerr.InvalidRequest, "%s", "Unknown operation type "+strconv.Itoa(int(o.op))+" is not allowed for the BROKER_LOGGER resource")
		}
	}
	return after, nil
}

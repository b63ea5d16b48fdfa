package main

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// sources are where settings come from that are not given as flags: the
// environment, then the file that --config names.
type sources struct {
	env  func(string) (string, bool)
	path string // of the file, empty when there is none
	file map[string]yaml.Node
}

// Validate has nothing to check before the command line is read.
func (s *sources) Validate(*kong.Application) error { return nil }

// Resolve gives the value of a flag that is not on the command line; nil when
// nobody sets it.
func (s *sources) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if notASetting(flag) {
		return nil, nil
	}
	if v, set := s.env(variable(flag.Name)); set {
		return fromVariable(flag, v)
	}
	if n, set := s.file[flag.Name]; set {
		v, err := fromNode(flag, &n)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", s.path, n.Line, err)
		}
		return v, nil
	}
	return nil, nil
}

// notASetting reports whether a flag is for the command line alone.
func notASetting(flag *kong.Flag) bool { return flag.Name == "help" || flag.Name == "version" }

// variable is the environment's name of a setting.
func variable(flag string) string {
	return "FAKEBROKER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromVariable splits what a repeated flag would have said: at the ends of
// lines, or at commas where no value has one.
func fromVariable(flag *kong.Flag, v string) (any, error) {
	if flag.Target.Kind() != reflect.Slice {
		return v, nil
	}
	sep := ","
	if flag.Tag.Has("lines") || strings.Contains(strings.TrimSpace(v), "\n") {
		sep = "\n"
	}
	var out []string
	for one := range strings.SplitSeq(v, sep) {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return list(flag, out)
}

// list is a list of values as the command line library takes it.
func list(flag *kong.Flag, values []string) (any, error) {
	out := []any{}
	for _, v := range values {
		if flag.Target.Type().Elem().Kind() != reflect.Int32 {
			out = append(out, v)
			continue
		}
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", v)
		}
		out = append(out, n)
	}
	return out, nil
}

// load reads the file that --config or its variable names.
func (s *sources) load(ctx *kong.Context) error {
	s.path, _ = s.env(variable("config"))
	known := make(map[string]bool)
	for _, f := range ctx.Model.Flags {
		if f.Name != "config" {
			known[f.Name] = !notASetting(f)
		} else if v, is := ctx.FlagValue(f).(string); is && v != "" {
			s.path = v
		}
	}
	if s.path == "" {
		return nil
	}
	b, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	if err := yaml.Unmarshal(b, &s.file); err != nil {
		return fmt.Errorf("--config: %s: %w", s.path, err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.file)) {
		if !known[name] {
			return fmt.Errorf("--config: %s: there is no setting %q", s.path, name)
		}
	}
	return nil
}

// fromNode gives a flag's value as the command line library takes it.
func fromNode(flag *kong.Flag, n *yaml.Node) (any, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil, nil
	case n.Kind == yaml.ScalarNode && flag.Target.Kind() == reflect.Slice:
		return list(flag, []string{n.Value})
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case n.Kind == yaml.SequenceNode && flag.Target.Kind() == reflect.Slice:
		var out []string
		for _, e := range n.Content {
			if e.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("%s is a list of single values", flag.Name)
			}
			out = append(out, e.Value)
		}
		return list(flag, out)
	}
	return nil, fmt.Errorf("%s cannot have this kind of value", flag.Name)
}

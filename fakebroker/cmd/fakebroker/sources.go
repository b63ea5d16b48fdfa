package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"example.com/kafkatest/fakebroker/internal/nearest"
)

// sources are where settings come from that are not given as flags: the
// environment, then the file that --config names.
type sources struct {
	environ []string // NAME=VALUE

	values map[string]any    // by setting, as the command line library takes them
	from   map[string]string // what to call a setting in messages, where it is no flag
}

// Validate has nothing to check before the command line is read.
func (s *sources) Validate(*kong.Application) error { return nil }

// Resolve gives the value of a flag that is not on the command line; nil when
// nobody sets it.
func (s *sources) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	return s.values[flag.Name], nil
}

// notASetting reports whether a flag is for the command line alone.
func notASetting(name string) bool { return name == "help" || name == "version" }

const (
	prefix = "FAKEBROKER_"
	config = "config" // which is for the command line and the environment
)

// errEmpty is about what is given and says nothing, as the name of a shell's variable
// that is not set does. In the environment an empty variable is one that is not set.
var errEmpty = errors.New("it is empty; give a value, or leave it out")

// variable is the environment's name of a setting.
func variable(flag string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// load reads the environment and the file that --config or its variable names.
// What is wrong there is an error that says where.
func (s *sources) load(ctx *kong.Context) error {
	s.values, s.from = make(map[string]any), make(map[string]string)
	given := make(map[string]bool)
	for _, p := range ctx.Path {
		if p.Flag == nil {
			continue
		}
		name := p.Flag.Name
		if name == "version" {
			return nil // which is said whatever else is wrong
		}
		if given[name] && p.Flag.Target.Kind() != reflect.Slice {
			return fmt.Errorf("--%s is there twice; give it once", name)
		}
		if p.Flag.Target.Kind() == reflect.String && ctx.FlagValue(p.Flag) == "" {
			return fmt.Errorf("--%s: %w", name, errEmpty)
		}
		given[name] = true
	}
	settings := make(map[string]*kong.Flag)
	var names, variables []string
	for _, f := range ctx.Model.Flags {
		if !notASetting(f.Name) {
			settings[f.Name] = f
			variables = append(variables, variable(f.Name))
			if f.Name != config {
				names = append(names, f.Name)
			}
		}
	}
	env, err := s.variables(variables)
	if err != nil {
		return err
	}
	path, where := env[variable(config)], variable(config)
	if given[config] {
		path, where = ctx.FlagValue(settings[config]).(string), "--config"
	}
	set := func(name, from string, value any, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		if s.values[name] = value; !given[name] {
			s.from[name] = from
		}
		return nil
	}
	if path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		err = eachKey(b, func(line int, name string, n *yaml.Node) error {
			from := fmt.Sprintf("%s:%d: %s", path, line, name)
			flag, known := settings[name]
			switch {
			case name == config:
				return fmt.Errorf("%s names this file, and cannot be set in it; give --config or %s", from, variable(config))
			case !known:
				return fmt.Errorf("%s:%d: there is no setting %q%s", path, line, name, nearest.Hint(name, names, strconv.Quote))
			case s.from[name] != "":
				return fmt.Errorf("%s is there twice; give it once", from)
			}
			value, err := fromNode(flag, n)
			return set(name, from, value, err)
		})
		if line := new(yamlError); errors.As(err, &line) {
			return fmt.Errorf("%s:%d: %w", path, line.line, line.err)
		}
		if err != nil {
			return err
		}
	}
	for _, name := range names {
		if text, there := env[variable(name)]; there {
			value, err := fromVariable(settings[name], text)
			if err := set(name, variable(name), value, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// variables are those of the environment that are ours. One that is no setting is
// a slip of the pen.
func (s *sources) variables(known []string) (map[string]string, error) {
	env := make(map[string]string)
	for _, v := range s.environ {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, prefix) {
			env[name] = value
		}
	}
	rest := make(map[string]bool)
	for name := range env {
		rest[name] = true
	}
	for _, name := range known {
		delete(rest, name)
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		return nil, fmt.Errorf("%s: there is no such setting%s", name, nearest.Hint(name, known, func(s string) string { return s }))
	}
	return env, nil
}

// fromVariable splits what a repeated flag would have said: at the ends of
// lines, or at commas where no value has one.
func fromVariable(flag *kong.Flag, v string) (any, error) {
	if flag.Target.Kind() != reflect.Slice {
		return single(flag, v)
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

// single is a value as the command line library takes it.
func single(flag *kong.Flag, v string) (any, error) {
	if !flag.IsBool() {
		return v, nil
	}
	switch strings.ToLower(v) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return nil, fmt.Errorf("%q is neither true nor false", v)
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

// yamlError says which line is no YAML, or not what settings are in.
type yamlError struct {
	line int
	err  error
}

func (e *yamlError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }

func (e *yamlError) Unwrap() error { return e.err }

// yamlLine is how the decoder begins its errors.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// eachKey goes through the settings of a file in YAML, with their lines.
func eachKey(text []byte, use func(line int, name string, value *yaml.Node) error) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = d.Decode(&more)
		if err == nil {
			return &yamlError{more.Line, errors.New("the file has a second document; one is read")}
		}
	}
	if !errors.Is(err, io.EOF) {
		m := yamlLine.FindStringSubmatch(err.Error())
		line := 1
		if len(m) > 0 && m[1] != "" {
			line, _ = strconv.Atoi(m[1])
		}
		return &yamlError{line, fmt.Errorf("this is not YAML: %s", yamlLine.ReplaceAllString(err.Error(), ""))}
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		return &yamlError{root.Line, errors.New("settings are given as NAME: VALUE, such as topic: orders")}
	}
	for i := 0; i < len(root.Content); i += 2 {
		key := root.Content[i]
		if err := use(key.Line, key.Value, root.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// fromNode gives a setting's value as the command line library takes it.
func fromNode(flag *kong.Flag, n *yaml.Node) (any, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	several := flag.Target.Kind() == reflect.Slice
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil, nil
	case n.Kind == yaml.ScalarNode && several:
		return list(flag, []string{n.Value})
	case n.Kind == yaml.ScalarNode && n.Value == "":
		return nil, errEmpty
	case n.Kind == yaml.ScalarNode:
		return single(flag, n.Value)
	case !several:
		return nil, errors.New("it is a single value")
	case n.Kind != yaml.SequenceNode:
		return nil, errors.New("it is a value, or a list of values")
	}
	var out []string
	for _, e := range n.Content {
		if e.Kind != yaml.ScalarNode {
			return nil, errors.New("it is a list of single values")
		}
		out = append(out, e.Value)
	}
	return list(flag, out)
}

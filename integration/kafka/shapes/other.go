package main

import (
	"fmt"
	"slices"
)

// other is a field of versions that Kafka no longer defines, or not yet, and that
// decoders know all the same.
type other struct {
	key    int16
	in     []string // the fields whose structure it is in, outermost first
	before string   // the field that follows it, empty for none
	field
}

// others are those of the requests that Kafka still has.
func others() []other {
	return []other{
		{2, []string{"Topics", "Partitions"}, "", field{Name: "MaxNumOffsets", Type: "int32", Versions: "0"}},
		{8, []string{"Topics", "Partitions"}, "CommittedMetadata", field{Name: "CommitTimestamp", Type: "int64", Versions: "1"}},
		{18, nil, "", field{Name: "ClusterId", Type: "string", Versions: "5+", Nullable: "5+"}},
		{18, nil, "", field{Name: "NodeId", Type: "int32", Versions: "5+"}},
		{56, []string{"Topics"}, "TopicId", field{Name: "TopicName", Type: "string", Versions: "0-1"}},
	}
}

// addTo adds the field to where it belongs.
func (o other) addTo(fields []field, in []string) ([]field, error) {
	if len(in) > 0 {
		at := slices.IndexFunc(fields, func(f field) bool { return f.Name == in[0] })
		if at < 0 {
			return nil, fmt.Errorf("%s: no field %s to add it to", o.Name, in[0])
		}
		inner, err := o.addTo(fields[at].Fields, in[1:])
		fields[at].Fields = inner
		return fields, err
	}
	if slices.ContainsFunc(fields, func(f field) bool { return f.Name == o.Name }) {
		return nil, fmt.Errorf("%s: Kafka defines it itself now", o.Name)
	}
	at := len(fields)
	if o.before != "" {
		if at = slices.IndexFunc(fields, func(f field) bool { return f.Name == o.before }); at < 0 {
			return nil, fmt.Errorf("%s: no field %s to put it before", o.Name, o.before)
		}
	}
	return slices.Insert(fields, at, o.field), nil
}

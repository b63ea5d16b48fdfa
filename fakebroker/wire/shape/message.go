package shape

// request is what the body of a request looks like, in every version.
type request struct {
	name     string // empty: there is no such request
	last     int16  // version
	flexible int16  // the first version with tags (KIP-482), above last when there is none
	fields   []field
}

// field is a field of a request, or of a structure in one.
type field struct {
	name     string
	first    int16 // version that has it
	until    int16 // the first later version that has not, zero for none
	nullable bool
	nullFrom int16  // the first version in which it may be null
	tagged   bool   // it is among the tags
	tag      uint32 // its number there
	array    bool   // of what follows
	kind     kind
	size     int     // of the kind fixed, in bytes
	of       []field // of the kind structure
}

// kind is how a value is written.
type kind uint8

const (
	fixed     kind = iota // so many bytes
	text                  // a length of 16 bits and the bytes; compact in flexible versions
	data                  // a length of 32 bits and the bytes; compact in flexible versions
	structure             // its fields, and in flexible versions tags
)

func (f *field) in(version int16) bool {
	return version >= f.first && (f.until == 0 || version < f.until)
}

func (f *field) null(version int16) bool { return f.nullable && version >= f.nullFrom }

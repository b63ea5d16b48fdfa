package backuprequest

import (
	"errors"
	"fmt"
	"strings"
)

// What callers branch on, found by errors.Is through any wrapping.
var (
	// ErrInvalid: the input is bad, and stays bad however often it is tried.
	// See InvalidError and InvalidErrors.
	ErrInvalid = errors.New("invalid backup request")
	// ErrDependency: the repository or the publisher failed, whatever the
	// input. See DependencyError.
	ErrDependency = errors.New("dependency failed")
	// ErrUnavailable: a dependency cannot be reached. Repositories and
	// publishers wrap it to say so, since only they can tell. See
	// IsUnavailable.
	ErrUnavailable = errors.New("unavailable")
	// ErrNotFound: the repository has no request with that id.
	ErrNotFound = errors.New("no such backup request")
)

// InvalidError is one field with a bad value.
type InvalidError struct {
	Field   string // as in JSON: backupJobId
	Problem string // what is wrong with it, and what would be right
}

func (e *InvalidError) Error() string   { return e.Field + ": " + e.Problem }
func (e *InvalidError) Is(t error) bool { return t == ErrInvalid }

// InvalidErrors is every bad field of one request, each field once. It is what
// validation returns, never empty; errors.As finds it, and also its first
// InvalidError.
type InvalidErrors []*InvalidError

// Error is all of them on one line.
func (e InvalidErrors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return ErrInvalid.Error() + ": " + strings.Join(texts, "; ")
}

// Unwrap gives errors.Is and errors.As each field's error.
func (e InvalidErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, one := range e {
		errs[i] = one
	}
	return errs
}

// Fields are the names of the bad fields, in order.
func (e InvalidErrors) Fields() []string {
	names := make([]string, len(e))
	for i, one := range e {
		names[i] = one.Field
	}
	return names
}

// add keeps one problem a field, the first, which is the most exact: a date
// that does not parse is not reported as missing as well.
func (e *InvalidErrors) add(field, problem string) {
	for _, one := range *e {
		if one.Field == field {
			return
		}
	}
	*e = append(*e, &InvalidError{Field: field, Problem: problem})
}

// err is nil when no field is bad: an empty InvalidErrors in an error would
// not be.
func (e InvalidErrors) err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// The dependencies that a DependencyError names.
const (
	DependencyRepository = "repository"
	DependencyPublisher  = "publisher"
)

// DependencyError is a failure of something that a use case depends on. It
// says nothing about the input, which may be tried again.
type DependencyError struct {
	Dependency string // DependencyRepository or DependencyPublisher
	Op         string // what was asked of it, as in: save backup request "r-1"
	Err        error  // why it failed
}

func (e *DependencyError) Error() string {
	return fmt.Sprintf("%s: cannot %s: %v", e.Dependency, e.Op, e.Err)
}
func (e *DependencyError) Is(t error) bool { return t == ErrDependency }
func (e *DependencyError) Unwrap() error   { return e.Err }

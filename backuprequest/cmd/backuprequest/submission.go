package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"example.com/kafkatest/backuprequest"
)

// parseSubmission reads a line. Fields that it does not know are somebody
// else's, and ignored. It is stricter than json.Unmarshal, which takes a name in
// any case, or twice, and invalid UTF-8: each would make a request with an id
// other than the one that was meant.
func parseSubmission(text []byte) (backuprequest.Submission, error) {
	var s backuprequest.Submission
	if !utf8.Valid(text) {
		return s, errors.New("not valid UTF-8")
	}
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil {
		return s, notJSON(err)
	}
	fields := map[string]*string{
		"backupRequestId":      &s.BackupRequestID,
		"backupJobId":          &s.BackupJobID,
		"dataDate":             &s.DataDate,
		"preparedDataPathName": &s.PreparedDataPathName,
		"requesterId":          &s.RequesterID,
	}
	tokens := json.NewDecoder(bytes.NewReader(text))
	tokens.UseNumber()
	first, err := tokens.Token()
	if err != nil {
		return s, notJSON(err)
	}
	if first != json.Delim('{') {
		return s, fmt.Errorf("%s, want an object", kind(first))
	}
	seen := make(map[string]bool, len(fields))
	for tokens.More() {
		name, err := tokens.Token()
		if err != nil {
			return s, notJSON(err)
		}
		key, _ := name.(string)
		field, known := fields[key]
		switch {
		case !known && misspelt(key, fields) != "":
			return s, fmt.Errorf("unknown field %.40q: is %s meant?", key, misspelt(key, fields))
		case !known: // somebody else's
			if err := tokens.Decode(new(json.RawMessage)); err != nil {
				return s, notJSON(err)
			}
			continue
		case seen[key]:
			return s, fmt.Errorf("%s: is there twice", key)
		}
		seen[key] = true
		value, err := tokens.Token()
		if err != nil {
			return s, notJSON(err)
		}
		switch v := value.(type) {
		case nil: // as good as absent
		case string:
			*field = v
			if v == "" && field == &s.BackupRequestID {
				return s, fmt.Errorf("%s: is empty: leave it out to have one made", key)
			}
		default:
			return s, fmt.Errorf("%s: %s, want a string", key, kind(value))
		}
	}
	return s, nil
}

// misspelt is the field that a name differs from by no more than case, '_' and
// '-', or empty when there is none.
func misspelt(name string, fields map[string]*string) string {
	bare := strings.NewReplacer("_", "", "-", "").Replace(name)
	for field := range fields {
		if strings.EqualFold(bare, field) {
			return field
		}
	}
	return ""
}

// kind says what JSON calls a value.
func kind(token json.Token) string {
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			return "is an array"
		}
		return "is an object"
	case json.Number:
		return "is a number"
	case bool:
		return "is a boolean"
	case string:
		return "is a string"
	}
	return "is null"
}

func notJSON(err error) error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON: %w, at byte %d", err, syntax.Offset)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("not JSON: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("not JSON: %w", err)
}

package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"example.com/kafkatest/fakebroker/control/controlclient"
	"example.com/kafkatest/fakebroker/internal/nearest"
	"example.com/kafkatest/fakebroker/internal/strictjson"
)

// decode reads what a request sends. Fields that nothing is known of, and those
// that are there twice, are refused, because they are slips of the pen.
func decode(r *http.Request, into any) error {
	text, err := io.ReadAll(r.Body)
	var size *http.MaxBytesError
	switch {
	case errors.As(err, &size):
		return problemf(http.StatusRequestEntityTooLarge, "", "more than %d bytes were sent", size.Limit)
	case err != nil:
		return bad("", "what was sent did not arrive: %v", err)
	case len(strings.TrimSpace(string(text))) == 0:
		return bad("", "nothing was sent; a JSON object is needed")
	}
	var value json.RawMessage
	if err := json.Unmarshal(text, &value); err != nil {
		return bad("", "this is not JSON, or more than one value: %v", err)
	}
	if err := checkJSON("", text, reflect.TypeOf(into).Elem()); err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return bad("", "this is not the JSON that belongs here: %v", err)
	}
	return nil
}

// What records and their headers are made of, which decode themselves.
type (
	recordFields struct {
		Key         json.RawMessage        `json:"key"`
		KeyBase64   string                 `json:"key_base64"`
		Value       json.RawMessage        `json:"value"`
		ValueBase64 string                 `json:"value_base64"`
		Headers     []controlclient.Header `json:"headers"`
		Partition   int32                  `json:"partition"`
		Timestamp   time.Time              `json:"timestamp"`
	}
	headerFields struct {
		Key         string          `json:"key"`
		Value       json.RawMessage `json:"value"`
		ValueBase64 string          `json:"value_base64"`
	}
)

// checkJSON holds JSON to what a type decodes from, and names the field that is
// wrong.
func checkJSON(field string, text []byte, t reflect.Type) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if string(text) == "null" && field != "" {
		return nil // as if it were left out
	}
	fields := t
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return nil
	case reflect.TypeFor[controlclient.NewRecord]():
		fields = reflect.TypeFor[recordFields]()
	case reflect.TypeFor[controlclient.Header]():
		fields = reflect.TypeFor[headerFields]()
	case reflect.TypeFor[time.Time]():
		return checkValue(field, text, t)
	}
	switch t.Kind() {
	case reflect.Struct:
		if err := checkObject(field, text, fields); err != nil || fields == t {
			return err
		}
		return checkValue(field, text, t)
	case reflect.Map:
		return checkObject(field, text, t)
	case reflect.Slice:
		var list []json.RawMessage
		if json.Unmarshal(text, &list) != nil {
			return bad(field, "%s is not a list", short(text))
		}
		for i, one := range list {
			if err := checkJSON(fmt.Sprintf("%s[%d]", field, i), one, t.Elem()); err != nil {
				return err
			}
		}
		return nil
	default:
		return checkValue(field, text, t)
	}
}

// checkObject checks the fields of an object: of a struct, or any of a map.
func checkObject(field string, text []byte, t reflect.Type) error {
	members, err := strictjson.Members(text)
	var doubled *strictjson.DoubledError
	switch {
	case errors.As(err, &doubled):
		return bad(below(field, doubled.Name), "is there twice; give it once")
	case err != nil:
		return bad(field, "%s is not an object", short(text))
	}
	types := make(map[string]reflect.Type)
	var names []string
	if t.Kind() == reflect.Struct {
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			types[name] = f.Type
			names = append(names, name)
		}
	}
	for _, m := range members {
		of, known := types[m.Name]
		if t.Kind() == reflect.Map {
			of, known = t.Elem(), true
		}
		if !known {
			return bad(below(field, m.Name), "there is no such field%s", nearest.Hint(m.Name, names, strconv.Quote))
		}
		if err := checkJSON(below(field, m.Name), m.Value, of); err != nil {
			return err
		}
	}
	return nil
}

// checkValue checks that a value decodes.
func checkValue(field string, text []byte, t reflect.Type) error {
	err := json.Unmarshal(text, reflect.New(t).Interface())
	var wrong *controlclient.FieldError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return bad(below(field, strings.TrimPrefix(wrong.Field, "headers.")), "%v", wrong.Err)
	}
	what := "what belongs here"
	switch {
	case t == reflect.TypeFor[time.Time]():
		what = "a time, such as 2006-01-02T15:04:05Z"
	case t.Kind() == reflect.String:
		what = "a string"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		most := uint64(1)<<(t.Bits()-1) - 1
		what = fmt.Sprintf("a whole number from -%d to %d", most+1, most)
	}
	return bad(field, "%s is not %s", short(text), what)
}

// below is the name of a field in another.
func below(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

// short is the beginning of what is wrong.
func short(text []byte) string {
	const enough = 40
	if runes := []rune(string(text)); len(runes) > enough {
		return string(runes[:enough]) + "..."
	}
	return string(text)
}

package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control/controlclient"
)

// problemf is an answer that says what is wrong, and in which field (RFC 9457).
func problemf(status int, field, format string, args ...any) *controlclient.ProblemError {
	return &controlclient.ProblemError{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Field: field, Detail: fmt.Sprintf(format, args...),
	}
}

// bad is a problem with a field of the request.
func bad(field, format string, args ...any) error {
	return problemf(http.StatusBadRequest, field, format, args...)
}

// refuse answers an error. What the broker says has a status of its own.
func refuse(w http.ResponseWriter, err error) {
	var p *controlclient.ProblemError
	if !errors.As(err, &p) {
		status := http.StatusInternalServerError
		switch {
		case errors.Is(err, fakebroker.ErrUnknownTopic), errors.Is(err, fakebroker.ErrUnknownGroup):
			status = http.StatusNotFound
		case errors.Is(err, fakebroker.ErrTopicExists), errors.Is(err, fakebroker.ErrGroupInUse):
			status = http.StatusConflict
		case errors.Is(err, fakebroker.ErrInvalidTopic):
			status = http.StatusBadRequest
		case errors.Is(err, fakebroker.ErrClosed):
			status = http.StatusServiceUnavailable
		}
		p = problemf(status, "", "%v", err)
	}
	write(w, p.Status, "application/problem+json", p)
}

// inField names the field that an error is about.
func inField(field string, err error) error {
	if err == nil {
		return nil
	}
	var p *controlclient.ProblemError
	if errors.As(err, &p) {
		return err
	}
	status := http.StatusBadRequest
	switch {
	case errors.Is(err, fakebroker.ErrClosed):
		status = http.StatusServiceUnavailable
	case errors.Is(err, fakebroker.ErrTopicExists), errors.Is(err, fakebroker.ErrGroupInUse):
		status = http.StatusConflict
	}
	return problemf(status, field, "%v", err)
}

func reply(w http.ResponseWriter, status int, answer any) {
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	write(w, status, "application/json", answer)
}

func write(w http.ResponseWriter, status int, media string, answer any) {
	b, ready := answer.([]byte)
	if !ready {
		var buf bytes.Buffer
		e := json.NewEncoder(&buf)
		e.SetEscapeHTML(false)
		_ = e.Encode(answer) // all answers are plain values
		b = buf.Bytes()
	}
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client is gone, or has it
}

// decode reads what a request sends. Fields that nothing is known of are refused,
// because they are slips of the pen.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("there is more than one value")
		}
	}
	return undecodable(err)
}

func undecodable(err error) error {
	var (
		size  *http.MaxBytesError
		typed *json.UnmarshalTypeError
		field *controlclient.FieldError
	)
	switch {
	case errors.As(err, &size):
		return problemf(http.StatusRequestEntityTooLarge, "", "more than %d bytes were sent", size.Limit)
	case errors.As(err, &field):
		return bad(field.Field, "%v", field.Err)
	case errors.As(err, &typed):
		return bad(typed.Field, "%s is not what belongs here, but %s", typed.Value, typed.Type)
	case errors.Is(err, io.EOF):
		return bad("", "nothing was sent; a JSON object is needed")
	}
	if _, name, unknown := strings.Cut(err.Error(), "json: unknown field "); unknown {
		return bad(strings.Trim(name, `"`), "there is no such field")
	}
	return bad("", "this is not the JSON that belongs here: %v", err)
}

package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

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

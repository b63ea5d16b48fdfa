package control_test

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/kafkatest/fakebroker"
	"example.com/kafkatest/fakebroker/control"
)

func TestOpenAPI_hasWhatIsServedAndNothingElse(t *testing.T) {
	_, s := serve(t, fakebroker.Config{})
	doc := document(t, s.URL())
	noError(t, doc.Validate(context.Background()))
	equal(t, "version", doc.OpenAPI, "3.1.0")
	var documented []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	served := control.Routes()
	slices.Sort(documented)
	slices.Sort(served)
	equal(t, "documented", documented, served)

	variable := regexp.MustCompile(`\{.*?\}`)
	for _, route := range documented {
		method, path, _ := strings.Cut(route, " ")
		_, p := send(t, http.DefaultClient, method, s.URL()+variable.ReplaceAllString(path, "x"), "", "Content-Type", "application/json")
		if p.Status == http.StatusMethodNotAllowed || strings.HasPrefix(p.Detail, "there is nothing at") {
			t.Errorf("%s: %s", route, p.Detail)
		}
	}
}

func TestOpenAPI_everyOperationHasAnIDAndItsErrors(t *testing.T) {
	_, s := serve(t, fakebroker.Config{})
	ids := make(map[string]bool)
	for path, item := range document(t, s.URL()).Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" {
				t.Errorf("%s %s: id %q", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			wants := []string{"401", "403", "415", "413", "503"}
			if op.RequestBody != nil {
				wants = append(wants, "400")
			}
			if strings.Contains(path, "{") {
				wants = append(wants, "404")
			}
			for _, code := range wants {
				if op.Responses.Value(code) == nil {
					t.Errorf("%s %s does not say what %s is", method, path, code)
				}
			}
		}
	}
}

package report_test

import (
	"encoding/json"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"example.com/kafkatest/harness/internal/report"
)

const evil = `</script><script>alert(1)</script><img src=x onerror=alert(1)>` + "\u2028" + `{{.}}`

func evilPage() report.Page {
	text := evil
	return report.Page{
		Test: evil, Outcome: "failed", Clock: evil, Failures: []string{evil}, Text: evil,
		Events:  []report.Event{{Kind: "published", Text: evil, Place: evil, Lane: evil, Client: evil, Group: evil}},
		Fates:   []report.Fate{{Place: evil, Group: evil, Kind: evil, Err: evil, Text: evil, Look: true}},
		Records: map[string]report.Record{evil: {Key: &text, Value: &text, Headers: [][2]string{{evil, evil}}}},
	}
}

func TestRender_escapesWhatRecordsHold(t *testing.T) {
	out, err := report.Render(evilPage())
	assert.NoError(t, err)
	page := string(out)
	assert.NotContains(t, page, "<script>alert")
	assert.NotContains(t, page, "<img")
	assert.Equal(t, 2, strings.Count(page, "</script>"), "its data and its script")
	data := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindStringSubmatch(page)
	var back report.Page
	assert.NoError(t, json.Unmarshal([]byte(data[1]), &back))
	assert.Equal(t, evil, *back.Records[evil].Key)
	assert.Equal(t, evil, back.Events[0].Text)
}

func TestRender_loadsNothing(t *testing.T) {
	out, err := report.Render(report.Page{Test: "TestX", Outcome: "passed"})
	assert.NoError(t, err)
	page := string(out)
	assert.Regexp(t, `content="default-src 'none'; img-src data:; style-src 'sha256-[^']*'; script-src 'sha256-[^']*'"`, html.UnescapeString(page))
	for _, forbidden := range []string{"src=", "@import", "url(", "fetch(", "innerHTML", "import("} {
		assert.NotContains(t, page, forbidden)
	}
	for _, address := range regexp.MustCompile(`https?://[^'" ]*`).FindAllString(page, -1) {
		assert.Equal(t, "http://www.w3.org/2000/svg", address, "the name of a namespace")
	}
}

func TestFileName_isSafeAndTheTestsOwn(t *testing.T) {
	for test, want := range map[string]string{
		"TestX":                  "TestX.html",
		"TestX/real_time":        "TestX.real_time.html",
		"TestX/a.b":              "TestX.a.b-",
		"TestX/../../etc":        "TestX.......etc-",
		"..":                     "-",
		`TestX/<a b="c">`:        "TestX._a_b__c__-",
		"TestX/straße":           "TestX.stra_e-",
		"TestX/" + evil:          "TestX.",
		strings.Repeat("x", 500): strings.Repeat("x", 120) + "-",
	} {
		got := report.FileName(test)
		assert.True(t, strings.HasPrefix(got, want), "%s: %s", test, got)
		assert.Regexp(t, `^[-\w.]{1,140}\.html$`, got)
		assert.False(t, strings.HasPrefix(got, "."), got)
	}
	assert.NotEqual(t, report.FileName("TestX/a/b"), report.FileName("TestX/a.b"))
}

func TestWrite_replacesThePageOfAnEarlierRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	p := report.Page{Test: "TestX", Outcome: "failed"}
	path, err := report.Write(dir, p)
	assert.NoError(t, err)
	p.Outcome = "passed"
	again, err := report.Write(dir, p)
	assert.NoError(t, err)
	assert.Equal(t, path, again)
	written, err := os.ReadFile(path)
	assert.NoError(t, err)
	assert.Contains(t, string(written), "<title>passed: TestX</title>")
	files, err := os.ReadDir(dir)
	assert.NoError(t, err)
	assert.Len(t, files, 1)
}

func TestWrite_saysWhatToDoWhereItCannot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	assert.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := report.Write(file, report.Page{Test: "TestX"})
	assert.ErrorContains(t, err, "set HARNESS_REPORT to another")
}

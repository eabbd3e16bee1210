package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

// An openapi is docs/openapi.yaml, with what these tests need of its meaning.
type openapi struct{ document map[string]any }

func readOpenAPI(t *testing.T) *openapi {
	t.Helper()
	data, err := os.ReadFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var o openapi
	if err := yaml.Unmarshal(data, &o.document); err != nil {
		t.Fatal(err)
	}
	return &o
}

// at walks down by keys, following references.
func (o *openapi) at(v any, keys ...string) any {
	for _, key := range keys {
		m, _ := o.follow(v).(map[string]any)
		v = m[key]
	}
	return o.follow(v)
}

func (o *openapi) follow(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	ref, ok := m["$ref"].(string)
	if !ok {
		return v
	}
	return o.at(o.document, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
}

// Every route is described, and everything that is described is routed.
func TestOpenAPIRoutes(t *testing.T) {
	o := readOpenAPI(t)
	h := harness.Start(t)
	described := map[string][]string{}
	for path, item := range o.document["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				described[path] = append(described[path], strings.ToUpper(method))
			}
		}
	}
	routed := h.Server.Routes()
	for _, path := range slices.Sorted(maps.Keys(routed)) {
		slices.Sort(described[path])
		slices.Sort(routed[path])
		if !slices.Equal(described[path], routed[path]) {
			t.Errorf("%s: routed %v, described %v", path, routed[path], described[path])
		}
	}
	for path := range described {
		if routed[path] == nil {
			t.Errorf("%s is described, but not routed", path)
		}
	}
}

// Every problem of the table is named, and every name is in the table.
func TestOpenAPIProblems(t *testing.T) {
	o := readOpenAPI(t)
	var described []string
	for _, v := range o.at(o.document, "components", "schemas", "Problem", "properties", "type", "enum").([]any) {
		described = append(described, strings.TrimPrefix(v.(string), "urn:signet:problem:"))
	}
	table := api.ProblemNames()
	slices.Sort(described)
	slices.Sort(table)
	if !slices.Equal(described, table) {
		t.Errorf("described %v\nin the table %v", described, table)
	}
}

// Real answers have the status, the media type and just the members that are
// described.
func TestOpenAPIAnswers(t *testing.T) {
	o := readOpenAPI(t)
	h := harness.Start(t, func(c *harness.Config) {
		c.Server.Rules = []server.Rule{{Pattern: "registry.example/strict/*", Hardware: &attestation.Demand{MinFirmware: attestation.Version{Major: 5}}}}
	})
	p := h.Publisher(t, app)
	p.Init(t)
	p.Tag(t, "1.0", harness.Digest("one"))
	next := p.Next(t)
	publish, err := json.Marshal(api.NewPublishRequest([]tuf.File{next}))
	if err != nil {
		t.Fatal(err)
	}
	stale := strings.Replace(string(publish), `"version":2`, `"version":9`, 1)
	reader := h.Token(t, []string{api.ScopeRead}, "other.example/**")
	propose, err := json.Marshal(api.ProposalRequest{
		Files: api.NewPublishRequest([]tuf.File{next}).Files, Intent: json.RawMessage(`{"kind":"sign"}`), Note: "1.0",
	})
	if err != nil {
		t.Fatal(err)
	}
	id, err := tuf.ProposalID(app, []tuf.File{next})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, route, path, token, body string
		status                           int
	}{
		{"GET", "/tuf/{repository}/{file}", api.FilePath(app, "timestamp.json"), "", "", 200},
		{"GET", "/tuf/{repository}/{file}", api.FilePath(app, "9.root.json"), "", "", 404},
		{"GET", "/v1/server", api.ServerPath, "", "", 200},
		{"GET", "/v1/server", api.ServerPathOf(app), "", "", 200},
		{"GET", "/v1/server", api.ServerPathOf("registry.example/strict/app"), "", "", 200},
		{"GET", "/v1/server", api.ServerPathOf("App"), "", "", 400},
		{"GET", "/v1/token", api.TokenPath, h.AdminToken, "", 200},
		{"GET", "/v1/token", api.TokenPath, "", "", 401},
		{"POST", "/v1/proposals/{repository}", api.ProposalsPath(app), h.AdminToken, string(propose), 201},
		{"POST", "/v1/proposals/{repository}", api.ProposalPath(app, id), h.AdminToken, string(propose), 200},
		{"POST", "/v1/proposals/{repository}", api.ProposalsPath(app), h.AdminToken, "[]", 400},
		{"POST", "/v1/proposals/{repository}", api.ProposalsPath(app), h.AdminToken, stale, 422},
		{"GET", "/v1/proposals/{repository}", api.ProposalsPath(app), h.AdminToken, "", 200},
		{"GET", "/v1/proposals/{repository}", api.ProposalPath(app, id), h.AdminToken, "", 200},
		{"GET", "/v1/proposals/{repository}", api.ProposalsPath(app) + "?id=1", h.AdminToken, "", 400},
		{"DELETE", "/v1/proposals/{repository}", api.ProposalPath(app, strings.Repeat("0", 64)), h.AdminToken, "", 404},
		{"POST", "/v1/publish/{repository}", api.PublishPath(app), h.AdminToken, string(publish), 200},
		{"POST", "/v1/publish/{repository}", api.PublishPath(app), h.AdminToken, stale, 422},
		{"POST", "/v1/publish/{repository}", api.PublishPath(app), h.AdminToken, "[]", 400},
		{"POST", "/v1/publish/{repository}", api.PublishPath(app), reader, string(publish), 403},
		{"POST", "/v1/online-keys/{repository}", api.OnlineKeysPath(app), h.AdminToken, "", 200},
		{"POST", "/v1/online-keys/{repository}", api.OnlineKeysPath(app), h.AdminToken, `{"rotate":["snapshot"]}`, 200},
		{"POST", "/v1/online-keys/{repository}", api.OnlineKeysPath(app), h.AdminToken, `{"rotate":["root"]}`, 422},
		{"POST", "/v1/online-keys/{repository}", api.OnlineKeysPath(app), h.AdminToken, `{"rotate":"root"}`, 400},
		{"GET", "/v1/repositories", api.PagePath("", 1), h.AdminToken, "", 200},
		{"GET", "/v1/repositories", "/v1/repositories?limit=0", h.AdminToken, "", 400},
		{"GET", "/v1/repositories/{repository}", api.RepositoryPath(app), "", "", 200},
		{"GET", "/v1/history/{repository}", api.HistoryPath(app, 0, true, 1), h.AdminToken, "", 200},
		{"GET", "/v1/history/{repository}", api.HistoryPath(app, 0, false, 0), "", "", 401},
		{"GET", "/v1/history/{repository}", api.HistoryPath(app, 0, false, 0), reader, "", 403},
		{"GET", "/v1/history/{repository}", api.HistoryPath("registry.example/none", 0, false, 0), h.AdminToken, "", 404},
		{"GET", "/v1/history/{repository}", api.HistoryPath(app, 0, false, 1001), h.AdminToken, "", 400},
		{"GET", "/v1/expiring", api.ExpiringPath(h.Clock.Now().AddDate(3, 0, 0), "", 1), h.AdminToken, "", 200},
		{"GET", "/v1/expiring", api.ExpiringPath(time.Time{}, "", 0), "", "", 401},
		{"GET", "/v1/expiring", api.ExpiringPath(time.Time{}, "somewhere", 0), h.AdminToken, "", 400},
		{"GET", "/v1/repositories/{repository}", api.RepositoryPath("registry.example/none"), "", "", 404},
	} {
		name := fmt.Sprintf("%s %s: %d", c.method, c.path, c.status)
		a, err := h.Client(c.token).Do(t.Context(), c.method, c.path, nil, []byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if a.Status != c.status {
			t.Errorf("%s: answered %d %s", name, a.Status, a.Body)
			continue
		}
		media := api.TypeJSON
		if a.Status >= 400 {
			media = api.TypeProblem
		}
		if got := a.Header.Get("Content-Type"); got != media {
			t.Errorf("%s: Content-Type %q, expected %q", name, got, media)
		}
		response := o.at(o.document, "paths", c.route, strings.ToLower(c.method), "responses", strconv.Itoa(c.status))
		schema := o.at(response, "content", media, "schema")
		if schema == nil {
			t.Errorf("%s: not described", name)
			continue
		}
		var body any
		if err := json.Unmarshal(a.Body, &body); err != nil {
			t.Fatal(err)
		}
		for _, fault := range o.faults(schema, body, "body") {
			t.Errorf("%s: %s", name, fault)
		}
	}
}

// faults holds v to schema: as much of JSON Schema as the document uses. Members
// that the schema does not name are faults too, though clients must bear them.
func (o *openapi) faults(schema, v any, where string) []string {
	s, _ := o.follow(schema).(map[string]any)
	if options, ok := s["oneOf"].([]any); ok {
		for _, option := range options {
			if len(o.faults(option, v, where)) == 0 {
				return nil
			}
		}
		return []string{where + ": fits none of the forms"}
	}
	var faults []string
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		faults = append(faults, fmt.Sprintf("%s: %v is not one of %v", where, v, enum))
	}
	switch s["type"] {
	case "object":
		object, ok := v.(map[string]any)
		if !ok {
			return append(faults, where+": not an object")
		}
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, ok := object[name.(string)]; !ok {
				faults = append(faults, fmt.Sprintf("%s: %s is missing", where, name))
			}
		}
		properties, closed := s["properties"].(map[string]any)
		for name, member := range object {
			property, known := properties[name]
			if !known {
				property, known = s["additionalProperties"], s["additionalProperties"] != nil
			}
			if !known && closed {
				faults = append(faults, fmt.Sprintf("%s: %s is not described", where, name))
			} else if known {
				faults = append(faults, o.faults(property, member, where+"."+name)...)
			}
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			return append(faults, where+": not an array")
		}
		for i, item := range list {
			faults = append(faults, o.faults(s["items"], item, fmt.Sprintf("%s[%d]", where, i))...)
		}
	case "string":
		text, ok := v.(string)
		if pattern, has := s["pattern"].(string); !ok || (has && !regexp.MustCompile(pattern).MatchString(text)) {
			faults = append(faults, fmt.Sprintf("%s: %v is not such a string", where, v))
		}
	case "integer":
		if n, ok := v.(float64); !ok || n != float64(int64(n)) {
			faults = append(faults, fmt.Sprintf("%s: %v is not an integer", where, v))
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			faults = append(faults, fmt.Sprintf("%s: %v is neither true nor false", where, v))
		}
	case "null":
		if v != nil {
			faults = append(faults, where+": not null")
		}
	}
	return faults
}

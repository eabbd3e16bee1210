package policy

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/docs"
)

// TestSchemaKeys holds the schema's objects to the reader's, key by key.
func TestSchemaKeys(t *testing.T) {
	type object struct {
		Properties           map[string]any `json:"properties"`
		AdditionalProperties *bool          `json:"additionalProperties"`
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(docs.PolicySchema, &schema); err != nil {
		t.Fatal(err)
	}
	r := &reader{}
	read := map[string]fields{
		"":            r.topFields(&Policy{}),
		"rule":        r.ruleFields(&Rule{}),
		"anchor":      r.anchorFields(&client.Anchor{}),
		"hardware":    r.hardwareFields(&attestation.Demand{}),
		"signer":      r.signerFields(&client.Voice{}),
		"max-age":     r.maxAgeFields(&Rule{}),
		"mirror":      r.mirrorFields(&Mirror{}),
		"exemption":   r.exemptionFields(&Exemption{}),
		"kubernetes":  r.kubernetesFields(&Kubernetes{}),
		"rewrite":     r.rewriteFields(&Rewrite{}),
		"break-glass": r.breakGlassFields(&BreakGlass{}),
	}
	schema.Defs[""] = schema.object
	for name, def := range schema.Defs {
		if def.Properties == nil {
			continue
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(read[name])), slices.Sorted(maps.Keys(def.Properties))); diff != "" {
			t.Errorf("%q: the reader's keys and the schema's differ: %s", name, diff)
		}
		if def.AdditionalProperties == nil || *def.AdditionalProperties {
			t.Errorf("%q takes unknown keys", name)
		}
		delete(read, name)
	}
	if len(read) > 0 {
		t.Errorf("the schema lacks %v", slices.Sorted(maps.Keys(read)))
	}
}

// TestSchemaJudges holds the schema's verdict to the reader's. The reader is stricter:
// what it alone refuses is named so.
func TestSchemaJudges(t *testing.T) {
	full, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(docs.PolicySchema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("policy.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("policy.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	rule := "version: 1\nrules:\n  - name: a\n    images: [alpine]\n"
	for _, test := range []struct {
		name, text   string
		schema, read bool
	}{
		{"every key", string(full), true, true},
		{"the least", "version: 1\n", true, true},
		{"no version", rule[len("version: 1\n"):], false, false},
		{"another version", "version: 2\n", false, false},
		{"an unknown key", rule + "    modus: warn\n", false, false},
		{"an unknown mode", rule + "    mode: off\n", false, false},
		{"no images", "version: 1\nrules: [{name: a}]\n", false, false},
		{"an empty list", "version: 1\nrules: []\n", false, false},
		{"text for a list", rule + "    except: alpine\n", false, false},
		{"text for a truth", rule + "    current: \"yes\"\n", false, false},
		{"a length of time", rule + "    max-age: {signed: 90}\n", false, false},
		{"no length of time", rule + "    max-age: {}\n", false, false},
		{"a platform", rule + "    platforms: [amd64]\n", false, false},
		{"half a mirror", rule + "    mirrors: [{from: mirror.local/x}]\n", false, false},
		{"an anchor with two pins", rule + "    anchors: [{servers: [https://s.example], root-keys: [" + keyA + "], root-sha256: " + keyA + "}]\n", false, false},
		{"an anchor without a pin", rule + "    anchors: [{servers: [https://s.example]}]\n", false, false},
		{"a digest", "version: 1\ndigests: [{digest: x, images: [alpine], reason: b, until: 2026-12-31}]\n", false, false},
		{"an exemption without end", "version: 1\ndigests: [{digest: sha256:" + keyA + ", images: [alpine], reason: b}]\n", false, false},
		{"exempt namespaces by pattern", "version: 1\nkubernetes: {exempt-namespaces: [\"kube-*\"]}\n", false, false},
		{"a pattern of no name", rule + "    except: [\"team/*\"]\n", true, false},
		{"two rules of one name", rule + "  - {name: a, images: [busybox]}\n", true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var node yaml.Node
			if err := yaml.Unmarshal([]byte(test.text), &node); err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(asJSON(node.Content[0])); (err == nil) != test.schema {
				t.Errorf("the schema says %v", err)
			}
			if _, err := read([]byte(test.text), "p", nil); (err == nil) != test.read {
				t.Errorf("the reader says %v", err)
			}
		})
	}
}

// asJSON is what an editor makes of YAML before it holds it to a schema.
func asJSON(node *yaml.Node) any {
	switch node.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			m[node.Content[i].Value] = asJSON(node.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range node.Content {
			list = append(list, asJSON(item))
		}
		return list
	}
	switch node.Tag {
	case "!!int", "!!float":
		if f, err := strconv.ParseFloat(node.Value, 64); err == nil {
			return json.Number(strconv.FormatFloat(f, 'f', -1, 64))
		}
	case "!!bool":
		return node.Value == "true"
	case "!!null":
		return nil
	}
	return node.Value
}

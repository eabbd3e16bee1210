package imagefile

import (
	"strings"
	"testing"
)

// TestNothingEscapes reads files that name the image evil in a way that whoever runs
// the file understands, beside one that is good. Either evil is found, or the file is
// refused, or a Use is a problem.
func TestNothingEscapes(t *testing.T) {
	const (
		head  = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: good\n"
		other = "{apiVersion: v1, kind: Pod, metadata: {name: evil}, spec: {containers: [{name: a, image: evil}]}}\n"
	)
	for _, c := range []struct {
		name, file, data string
		options          Options
	}{
		// What kubectl (k8s.io/apimachinery, sigs.k8s.io/yaml) makes of these was seen.
		{name: "a merge after the key wins in kubectl", file: "a.yaml", data: "x: &e {image: evil}\n" + head + "    <<: *e\n"},
		{name: "of two merges the later one wins in kubectl", file: "a.yaml", data: "x: &e {image: evil}\nz: &g {image: good}\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    <<: *g\n    <<: *e\n"},
		{name: "a merge brings a key by another merge", file: "a.yaml", data: "x: &e {image: evil}\nz: &g {<<: *e}\n" + head + "    <<: [*g]\n"},
		{name: "a key in another guise", file: "a.yaml", data: head + "    !!binary aW1hZ2U=: evil\n"},
		{name: "an image in another guise", file: "a.yaml", data: "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: !!binary ZXZpbA==\n"},
		{name: "what has items is a list to kubectl", file: "a.yaml", data: head + "items:\n- " + other},
		{name: "what has items is a list to kubectl, though it runs nothing", file: "a.yaml", data: head + "---\napiVersion: v1\nkind: ConfigMap\nitems:\n- " + other},
		{name: "kubectl ends a document there", file: "a.yaml", data: head + "---#: &foo\n  " + other},
		{name: "older kubectls end a document there", file: "a.yaml", data: head + "---x: &foo\n  " + other},
		{name: "kubectl takes any blank there", file: "a.yaml", data: head + "---\u00a0: &foo\n  " + other},
		{name: "a field that ends in imageName", file: "a.yaml", data: head + "---\napiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nspec: {imageName: evil}\n"},
		{name: "a field of images", file: "a.yaml", data: head + "---\napiVersion: example.com/v1\nkind: Cache\nspec: {images: [evil]}\n"},

		{name: "compose pulls before it builds", file: "compose.yaml", options: Options{SkipBuilds: true}, data: "services:\n  a: {image: good}\n  b: {image: evil, build: .}\n"},
		{name: "compose builds nothing", file: "compose.yaml", options: Options{SkipBuilds: true}, data: "services:\n  a: {image: good}\n  b: {image: evil, build: null}\n"},
		{name: "a volume whose type is a variable", file: "compose.yaml", data: "services:\n  a:\n    image: good\n    volumes: [{type: \"${T:-image}\", source: evil, target: /x}]\n"},
		{name: "an image in another guise in compose", file: "compose.yaml", data: "services:\n  a: {image: !!binary ZXZpbA==}\n"},

		{name: "a later ARG without its variable", file: "Dockerfile", data: "ARG BASE=good\nARG BASE=${NONE}evil\nFROM $BASE\n"},
		{name: "a frontend by argument", file: "Dockerfile", options: Options{BuildArgs: map[string]string{"BUILDKIT_SYNTAX": "evil"}}, data: "FROM good\n"},
		{name: "an ONBUILD over two lines", file: "Dockerfile", data: "FROM good\nONBUILD COPY --fr\\\nom=evil / /\n"},
		{name: "an ONBUILD with a mount", file: "Dockerfile", data: "FROM good\nONBUILD RUN --mount=type=bind,FROM=evil,target=/x true\n"},
		{name: "a stage of a later name is no stage yet", file: "Dockerfile", data: "FROM good AS one\nFROM evil\nFROM good AS evil\n"},
		{name: "another escape", file: "Dockerfile", data: "# escape=`\nFROM good\nCOPY --from=`\nevil / /\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, err := Read(c.file, []byte(c.data), c.options)
			if err != nil {
				return
			}
			for _, use := range file.Uses {
				if use.Problem != "" || use.Image == "evil" {
					return
				}
			}
			t.Errorf("it passes: %+v", file.Uses)
		})
	}
}

// TestLongMapping refuses a mapping that would take hours to look through.
func TestLongMapping(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: example.com/v1\nkind: A\n")
	for i := range maxKeys {
		b.WriteString(strings.Repeat("k", 1+i%7) + strings.Repeat("0", i/7%40) + strings.Repeat("x", i/280) + ": 1\n")
	}
	if _, err := Read("a.yaml", []byte(b.String()), Options{}); err == nil || !strings.Contains(err.Error(), "keys") {
		t.Errorf("got %v", err)
	}
}

package imagefile

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// found is what a test says of a Use.
type found struct {
	Line    int
	What    string
	Image   string
	Problem string
}

func uses(t *testing.T, name, data string, options Options) []found {
	t.Helper()
	file, err := Read(name, []byte(data), options)
	if err != nil {
		t.Fatal(err)
	}
	var list []found
	for _, u := range file.Uses {
		if (u.Image == "") == (u.Problem == "") {
			t.Errorf("line %d has the image %q and the problem %q: expected one of them", u.Line, u.Image, u.Problem)
		}
		list = append(list, found{u.Line, u.What, u.Image, u.Problem})
	}
	return list
}

const pod = `apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  initContainers:
  - name: init
    image: "registry.example.com/team/init:1"
  containers:
  - name: app
    image: registry.example.com/team/app:1.0 # the app
  - {name: side, image: 'registry.example.com/team/side'}
`

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, file, data string
		options          Options
		want             []found
	}{
		{name: "list", file: "images.txt", data: "# ours\nregistry.example.com/team/app:1.0\r\n\n  alpine # theirs\ntwo words\n", want: []found{
			{2, "line", "registry.example.com/team/app:1.0", ""},
			{4, "line", "alpine", ""},
			{5, "line", "", "more than one word on a line of a list"},
		}},
		{name: "pod", file: "pod.yaml", data: pod, want: []found{
			{8, "Pod/web: init init", "registry.example.com/team/init:1", ""},
			{11, "Pod/web: container app", "registry.example.com/team/app:1.0", ""},
			{12, "Pod/web: container side", "registry.example.com/team/side", ""},
		}},
		{name: "several documents, as a list too", file: "all.yaml", data: "---\napiVersion: v1\nkind: ConfigMap\ndata: {image: a}\n---\n" +
			"apiVersion: v1\nkind: List\nitems:\n- apiVersion: batch/v1\n  kind: CronJob\n  metadata: {name: nightly}\n  spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: x/y:1}]}}}}}\n", want: []found{
			{12, "CronJob/nightly: container c", "x/y:1", ""},
		}},
		{name: "a kind that is not known", file: "rollout.yaml", data: "apiVersion: example.com/v1\nkind: Rollout\nmetadata: {name: r}\nspec:\n  image: a/b:1\n  containers:\n  - image: c/d:1\n  sidecarImage: {repository: x}\n  imagePullPolicy: Always\n", want: []found{
			{5, "Rollout/r", "", `objects of example.com/v1 are not known here, and /spec/image looks like an image's place`},
			{7, "Rollout/r", "", `objects of example.com/v1 are not known here, and /spec/containers looks like an image's place`},
			{8, "Rollout/r", "", `objects of example.com/v1 are not known here, and /spec/sidecarImage looks like an image's place`},
		}},
		{name: "compose", file: "compose.yaml", data: "x-base: &base\n  image: registry.example.com/team/app:1.0\nservices:\n  web:\n    <<: *base\n  db:\n    image: \"db:${TAG:-1}\"\n  built:\n    build: .\n    image: mine\n  empty: {}\n  vol:\n    image: v\n    volumes:\n    - {type: image, source: data:1, target: /d}\n", want: []found{
			{2, "services.web", "registry.example.com/team/app:1.0", ""},
			{7, "services.db", "", "the image depends on variables"},
			{9, "services.built", "", "it is built here rather than pulled"},
			{11, "services.empty", "", "it has neither image nor build"},
			{13, "services.vol", "v", ""},
			{15, "services.vol.volumes", "data:1", ""},
		}},
		{name: "compose without what is built", file: "compose.yaml", options: Options{SkipBuilds: true}, data: "services:\n  web: {image: a}\n  built: {build: .}\n", want: []found{
			{2, "services.web", "a", ""},
		}},
		{name: "compose with other files", file: "c.yml", data: "include: [other.yaml]\nservices:\n  web:\n    extends: {file: x.yaml, service: y}\n", want: []found{
			{1, "include", "", "further files are included, which are not looked at here"},
			{4, "services.web", "", "it extends a service of another file, which is not looked at here"},
		}},
		{name: "dockerfile", file: "Dockerfile", data: "# syntax=docker/dockerfile:1\nARG BASE=golang\nARG TAG\nFROM ${BASE}:1.26 AS build\nRUN --mount=type=bind,from=registry.example.com/tools:2,target=/t true\nFROM build AS test\nFROM scratch\nCOPY --from=build /a /a\nCOPY --from=0 /b /b\nCOPY --from=registry.example.com/data:1 \\\n  /c /c\nFROM app:${TAG}\nONBUILD COPY --from=evil / /\n", want: []found{
			{1, "syntax", "docker/dockerfile:1", ""},
			{4, "FROM (build)", "golang:1.26", ""},
			{5, "RUN --mount", "registry.example.com/tools:2", ""},
			{10, "COPY --from", "registry.example.com/data:1", ""},
			{12, "FROM", "", "the variable TAG has no value"},
			{13, "ONBUILD", "", "it takes files from elsewhere in a later build"},
		}},
		{name: "a build argument goes before the default", file: "x.dockerfile", options: Options{BuildArgs: map[string]string{"BASE": "evil", "OTHER": "x"}}, data: "ARG BASE=good\nFROM $BASE\nFROM --platform=$BUILDPLATFORM a AS b\n", want: []found{
			{2, "FROM", "evil", ""},
			{3, "FROM (b)", "a", ""},
		}},
		{name: "the format goes before the name", file: "Dockerfile", options: Options{Format: FormatList}, data: "a\n", want: []found{{1, "line", "a", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, uses(t, c.file, c.data, c.options)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNothingCheckedIsAnError(t *testing.T) {
	for _, c := range []struct {
		name, file, data string
		want             error // nil: any
	}{
		{"empty list", "a.txt", "# none\n", ErrNothing},
		{"empty file", "a.yaml", "", ErrFormat},
		{"objects without images", "a.yaml", "apiVersion: v1\nkind: Service\n", ErrNothing},
		{"a Dockerfile from scratch alone", "Dockerfile", "FROM scratch\n", ErrNothing},
		{"a Dockerfile without a stage", "Dockerfile", "# nothing\n", nil},
		{"unknown name", "a.exe", "alpine\n", ErrFormat},
		{"no name and no YAML of a known kind", "-", "alpine\n", ErrFormat},
		{"YAML of neither kind", "a.yaml", "a: b\n", ErrFormat},
		{"broken YAML", "a.yaml", "a: [\n", nil},
		{"a key that stands twice", "a.yaml", "apiVersion: v1\nkind: Pod\nkind: Service\n", nil},
		{"no UTF-8", "a.txt", "a\xff\n", nil},
		{"a container without image", "a.yaml", "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: 7}]}\n", nil},
		{"one document of several is no object", "a.yaml", pod + "---\n- a\n", nil},
		{"aliases that blow up", "a.yaml", bomb(), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, err := Read(c.file, []byte(c.data), Options{})
			if err == nil {
				t.Fatalf("it was read: %+v", file.Uses)
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, expected %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.file) {
				t.Errorf("%q does not name the file", err)
			}
		})
	}
}

func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := 1; i < 40; i++ {
		n := string(rune('0' + i/10))
		p := string(rune('0' + (i-1)/10))
		d, e := string(rune('0'+i%10)), string(rune('0'+(i-1)%10))
		b.WriteString("b" + n + d + ": &b" + n + d + " [*" + map[bool]string{true: "a0", false: "b" + p + e}[i == 1] + ", *" + map[bool]string{true: "a0", false: "b" + p + e}[i == 1] + "]\n")
	}
	return b.String()
}

func TestPin(t *testing.T) {
	for _, c := range []struct {
		name, file, data, want string
	}{
		{"list", "a.txt", "# x\r\nalpine:3 # y\r\nb@" + digest + "\n", "# x\r\nalpine:3@" + digest + " # y\r\nb@" + digest + "\n"},
		{"manifest", "a.yaml", pod, strings.NewReplacer(`init:1"`, `init:1@`+digest+`"`, "app:1.0 #", "app:1.0@"+digest+" #", "side'", "side@"+digest+"'").Replace(pod)},
		{"json", "a.json", `{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"ü","image":"a:1"}]}}`, `{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"ü","image":"a:1@` + digest + `"}]}}`},
		{"compose with an alias", "a.yaml", "x: &i a:1\nservices:\n  b: {image: *i}\n  c: {image: *i}\n", "x: &i a:1@" + digest + "\nservices:\n  b: {image: *i}\n  c: {image: *i}\n"},
		{"dockerfile", "Dockerfile", "FROM a:1 AS a\nCOPY --from=b:2 a:1 \\\n  /x\nFROM a\n", "FROM a:1@" + digest + " AS a\nCOPY --from=b:2@" + digest + " a:1 \\\n  /x\nFROM a\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, err := Read(c.file, []byte(c.data), Options{})
			if err != nil {
				t.Fatal(err)
			}
			digests := make([]string, len(file.Uses))
			for i := range digests {
				digests[i] = digest
			}
			out, err := file.Pin(digests)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(out)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPinRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"a variable":             "ARG A=x\nFROM $A\n",
		"one line with it twice": "FROM a AS b\nCOPY --from=x:1 x:1 /\nCOPY --from=y:1 /x \\\n y:1\n",
	} {
		t.Run(name, func(t *testing.T) {
			file, err := Read("Dockerfile", []byte(data), Options{})
			if err != nil {
				t.Fatal(err)
			}
			digests := make([]string, len(file.Uses))
			for i := range digests {
				digests[i] = digest
			}
			if out, err := file.Pin(digests); err == nil && name == "a variable" {
				t.Errorf("it was pinned: %s", out)
			}
		})
	}
	file, err := Read("a.yaml", []byte("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: |-\n      a:1\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := file.Pin([]string{digest}); err == nil {
		t.Errorf("a block was pinned: %s", out)
	}
}

// FuzzRead checks that whatever is read is whole: every Use has an image or a
// problem, a line of the file, and a pinned file reads as what it was, pinned.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"alpine\n", pod, "services:\n  a: {image: x}\n", "ARG A=1\nFROM x:$A AS b\nCOPY --from=b / /\nCOPY --from=c / /\n", bomb()} {
		for format := range Formats() {
			f.Add(seed, uint8(format))
		}
	}
	f.Fuzz(func(t *testing.T, data string, format uint8) {
		file, err := Read("f", []byte(data), Options{Format: Formats()[int(format)%len(Formats())]})
		if err != nil {
			return // refusing is fine; panicking is not
		}
		digests := make([]string, len(file.Uses))
		for i, u := range file.Uses {
			if (u.Image == "") == (u.Problem == "") {
				t.Fatalf("use %d has the image %q and the problem %q", i, u.Image, u.Problem)
			}
			if u.Line < 1 || u.Line > strings.Count(data, "\n")+1+strings.Count(data, "\r")+strings.Count(data, "\u2028")+strings.Count(data, "\u2029")+strings.Count(data, "\u0085") {
				t.Fatalf("use %d is on line %d", i, u.Line)
			}
			if u.Image != "" {
				digests[i] = digest
			}
		}
		out, err := file.Pin(digests)
		if err != nil {
			return
		}
		if len(out) > len(data)+len(file.Uses)*(len(digest)+1) {
			t.Fatalf("the pinned file has %d bytes, made of %d", len(out), len(data))
		}
	})
}

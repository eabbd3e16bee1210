package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A reader reads one policy. It goes on after a mistake, so that one reading tells
// many of them.
type reader struct {
	name     string
	open     func(path string) ([]byte, error) // nil: the policy may name no files
	errs     []*FileError
	patterns int
}

// fields are the keys of one kind of object, and how each is read.
type fields map[string]func(value *yaml.Node, path string)

// read reads a policy. It keeps to plain YAML: no anchors and aliases, by which a
// small file can stand for a huge one, no tags, one document.
func read(data []byte, name string, open func(string) ([]byte, error)) (*Policy, error) {
	r := &reader{name: name, open: open}
	if len(data) > MaxBytes {
		return nil, r.whole("it has %d bytes; a policy has at most %d", len(data), MaxBytes)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, more yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, r.whole("it is empty; a policy begins with version: 1")
	} else if err != nil {
		return nil, r.syntax(err)
	}
	if err := decoder.Decode(&more); err == nil {
		return nil, r.at(&more, "a second document; a policy is one")
	} else if !errors.Is(err, io.EOF) {
		return nil, r.syntax(err)
	}
	if err := r.plain(&document); err != nil {
		return nil, err
	}
	policy := &Policy{Name: name}
	r.object(document.Content[0], "", r.topFields(policy), "version")
	if len(r.errs) > 0 {
		return nil, r.mistakes()
	}
	return policy, nil
}

// mistakes are those that were found, in order of lines, up to maxErrors.
func (r *reader) mistakes() error {
	slices.SortStableFunc(r.errs, func(a, b *FileError) int { return cmp.Compare(a.Line, b.Line) })
	var list []error
	for _, err := range r.errs[:min(len(r.errs), maxErrors)] {
		list = append(list, err)
	}
	if len(r.errs) > maxErrors {
		list = append(list, r.whole("there are more mistakes; these come first"))
	}
	return errors.Join(list...)
}

func (r *reader) whole(format string, args ...any) *FileError {
	return &FileError{File: r.name, Detail: fmt.Sprintf(format, args...)}
}

func (r *reader) at(node *yaml.Node, format string, args ...any) *FileError {
	return &FileError{File: r.name, Line: node.Line, Detail: fmt.Sprintf(format, args...)}
}

var yamlLine = regexp.MustCompile(`line ([0-9]+): (.*)`)

// syntax is an error of the YAML reader, in our form.
func (r *reader) syntax(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if line, err := strconv.Atoi(m[1]); err == nil {
			return &FileError{File: r.name, Line: line, Detail: "not YAML: " + m[2]}
		}
	}
	return r.whole("not YAML: %s", text)
}

// plain refuses what makes one place of the file stand for another, or for another
// type than it looks like.
func (r *reader) plain(node *yaml.Node) error {
	switch {
	case node.Kind == yaml.AliasNode:
		return r.at(node, "an alias (*%s): a policy says everything where it stands", clip(node.Value))
	case node.Anchor != "":
		return r.at(node, "an anchor (&%s): a policy says everything where it stands", clip(node.Anchor))
	case node.Style&yaml.TaggedStyle != 0:
		return r.at(node, "the tag %s: a policy has none", clip(node.Tag))
	}
	for _, child := range node.Content {
		if err := r.plain(child); err != nil {
			return err
		}
	}
	return nil
}

// fail notes a mistake at a node; path says which key it is about.
func (r *reader) fail(node *yaml.Node, path, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	if path != "" {
		detail = path + ": " + detail
	}
	r.errs = append(r.errs, r.at(node, "%s", detail))
}

// object reads keys and values, each key once.
func (r *reader) object(node *yaml.Node, path string, known fields, required ...string) {
	if node.Kind != yaml.MappingNode {
		r.fail(node, path, "%s, expected keys and values: %s", what(node), enumerate(slices.Sorted(maps.Keys(known))))
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			r.fail(key, path, "%s in place of a key", what(key))
			continue
		}
		if line, ok := lines[key.Value]; ok {
			r.fail(key, path, "the key %q stands twice; first in line %d", clip(key.Value), line)
			continue
		}
		lines[key.Value] = key.Line
		if readValue, ok := known[key.Value]; ok {
			readValue(value, join(path, key.Value))
		} else {
			r.fail(key, path, "unknown key %q%s; known are %s", clip(key.Value), similar(key.Value, known), enumerate(slices.Sorted(maps.Keys(known))))
		}
	}
	for _, key := range required {
		if lines[key] == 0 {
			r.fail(node, path, "the key %s is missing", key)
		}
	}
}

// items reads a list of at least one and at most most items.
func (r *reader) items(node *yaml.Node, path string, most int, read func(item *yaml.Node, path string)) {
	switch {
	case node.Kind != yaml.SequenceNode:
		r.fail(node, path, "%s, expected a list", what(node))
	case len(node.Content) == 0:
		r.fail(node, path, "an empty list; leave the key out, or say what is meant")
	case len(node.Content) > most:
		r.fail(node, path, "%d items; at most %d are taken", len(node.Content), most)
	default:
		for i, item := range node.Content {
			read(item, fmt.Sprintf("%s[%d]", path, i+1))
		}
	}
}

// text reads a text that is not empty.
func (r *reader) text(node *yaml.Node, path, expected string) (string, bool) {
	switch {
	case node.Kind != yaml.ScalarNode || node.Tag == "!!null":
		r.fail(node, path, "%s, expected %s", what(node), expected)
	case node.Tag != "!!str":
		r.fail(node, path, "%s, expected %s; a text that looks like something else stands in quotes", what(node), expected)
	case node.Value == "":
		r.fail(node, path, "an empty text, expected %s", expected)
	default:
		return node.Value, true
	}
	return "", false
}

// scalar reads what is written in one place, whatever YAML takes it for: hex digits
// can look like a number, and a date like a time.
func (r *reader) scalar(node *yaml.Node, path, expected string) (string, bool) {
	if node.Kind != yaml.ScalarNode || node.Tag == "!!null" || node.Tag == "!!bool" || node.Value == "" {
		r.fail(node, path, "%s, expected %s", what(node), expected)
		return "", false
	}
	return node.Value, true
}

// flag returns how a key is read that is true or false.
func (r *reader) flag(to *bool) func(*yaml.Node, string) {
	return func(node *yaml.Node, path string) {
		if node.Kind != yaml.ScalarNode || node.Tag != "!!bool" || node.Value != "true" && node.Value != "false" {
			r.fail(node, path, "%s, expected true or false", what(node))
			return
		}
		*to = node.Value == "true"
	}
}

// number returns how a key is read that is a whole number from 1 on.
func (r *reader) number(to func(int64)) func(*yaml.Node, string) {
	return func(node *yaml.Node, path string) {
		n, err := strconv.ParseInt(node.Value, 10, 64)
		if node.Kind != yaml.ScalarNode || node.Tag != "!!int" || err != nil || n < 1 {
			r.fail(node, path, "%s, expected a number from 1 on", what(node))
			return
		}
		to(n)
	}
}

// maxSpan is the longest time that a policy may speak of.
const maxSpan = 10 * 366 * 24 * time.Hour

// span returns how a key is read that is a length of time.
func (r *reader) span(to *time.Duration) func(*yaml.Node, string) {
	return func(node *yaml.Node, path string) {
		text, ok := r.scalar(node, path, "a length of time such as 90d, 12h or 30m")
		if !ok {
			return
		}
		d, err := time.ParseDuration(text)
		if days, inDays := strings.CutSuffix(text, "d"); inDays {
			var n int64
			n, err = strconv.ParseInt(days, 10, 16)
			d = time.Duration(n) * 24 * time.Hour
		}
		if err != nil || d <= 0 || d > maxSpan {
			r.fail(node, path, "%q is no length of time such as 90d, 12h or 30m, above zero and at most 10 years", clip(text))
			return
		}
		*to = d
	}
}

// choice returns how a key is read that is one of some words.
func choice[T ~string](r *reader, to *T, words ...T) func(*yaml.Node, string) {
	return func(node *yaml.Node, path string) {
		var names []string
		for _, word := range words {
			names = append(names, string(word))
		}
		expected := list(names)
		text, ok := r.text(node, path, expected)
		if !ok {
			return
		}
		if !slices.Contains(names, text) {
			r.fail(node, path, "%q, expected %s", clip(text), expected)
			return
		}
		*to = T(text)
	}
}

// what says what stands at a node.
func what(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch {
		case node.Tag == "!!null":
			return "nothing"
		case node.Value == "":
			return "an empty text"
		}
		return fmt.Sprintf("%q", clip(node.Value))
	}
	return "nothing"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// list is "a", "a or b", "a, b or c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// similar is a hint at a known key that a misspelled one may have meant.
func similar(key string, known fields) string {
	squeeze := func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) }
	for _, candidate := range slices.Sorted(maps.Keys(known)) {
		a, b := squeeze(key), squeeze(candidate)
		if a != "" && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
			return fmt.Sprintf(" (did you mean %s?)", candidate)
		}
	}
	return ""
}

// clip shortens what the file says, so that it cannot flood an error.
func clip(s string) string {
	if runes := []rune(s); len(runes) > 120 {
		return string(runes[:117]) + "..."
	}
	return s
}

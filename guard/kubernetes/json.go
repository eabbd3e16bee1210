package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxDepth is how deep JSON may be nested. managedFields are the deepest part of a
// real object, at some twenty.
const maxDepth = 100

// maxValues is how many values JSON may have. An object has some hundreds; each that is
// read takes up to forty times the bytes that it was sent in.
const maxValues = 100_000

// readObject reads one JSON object, as encoding/json would, but strictly: a member
// that stands twice would mean one thing here and perhaps another to the API server.
func readObject(data []byte) (map[string]any, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the body is not UTF-8")
	}
	s := &scanner{data: data}
	value, err := s.value(0, part)
	if err != nil {
		return nil, fmt.Errorf("the body is not JSON, at byte %d: %w", s.at, err)
	}
	if s.space(); s.at != len(data) {
		return nil, fmt.Errorf("the body goes on after its JSON, at byte %d", s.at)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("the body is not a JSON object")
	}
	return object, nil
}

// annotated is the member whose names are a user's, each of which may be looked for.
const annotated = "annotations"

// A known member is one that nearly every review has.
type known struct {
	name   string
	unread bool
}

// members are those that are known. What nobody here looks at is most of a real
// object: it is checked to be JSON and left out, wherever it stands. No path to
// anything that is looked at has such a name (TestNothingThatIsReadIsPassedOver).
var members = func() map[string]known {
	all := map[string]known{}
	for _, name := range []string{
		"apiVersion", "group", "image", "kind", "metadata", "name", "namespace", "object", "oldObject", "operation", "request", "spec", "template", "uid", "userInfo",
		"username", "version", "containers", "initContainers", "ephemeralContainers", "volumes", annotated, "deletionTimestamp", "generateName", "subResource", "dryRun",
	} {
		all[name] = known{name: name}
	}
	for _, name := range []string{
		// of a review
		"extra", "groups", "options", "requestKind", "requestResource", "requestSubResource", "resource",
		// of an object
		"creationTimestamp", "finalizers", "generation", "labels", "managedFields", "ownerReferences", "resourceVersion", "selector", "status", "strategy", "updateStrategy",
		// of a pod
		"affinity", "dnsPolicy", "enableServiceLinks", "imagePullSecrets", "nodeSelector", "preemptionPolicy", "priority", "restartPolicy", "schedulerName",
		"serviceAccount", "serviceAccountName", "terminationGracePeriodSeconds", "tolerations", "topologySpreadConstraints",
		// of a container
		"args", "command", "env", "envFrom", "imagePullPolicy", "lifecycle", "livenessProbe", "ports", "readinessProbe", "resources", "securityContext", "startupProbe",
		"terminationMessagePath", "terminationMessagePolicy", "volumeDevices", "volumeMounts",
	} {
		all[name] = known{name, true}
	}
	return all
}()

// A scanner reads JSON (RFC 8259) into maps, slices, strings, json.Number, bool and nil.
type scanner struct {
	data   []byte
	at     int
	values int // that were begun
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// peek is the next byte, or 0 at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.data) {
		return s.data[s.at]
	}
	return 0
}

// next skips space and takes the byte c, if it stands there.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.peek() != c || s.at == len(s.data) {
		return false
	}
	s.at++
	return true
}

// How much is kept of a value that is read.
type keep int

const (
	part  keep = iota // all but the members that are unread
	whole             // all
	none              // nothing: it is checked to be JSON
)

// value reads a value.
func (s *scanner) value(depth int, keep keep) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	if keep != none {
		if s.values++; s.values > maxValues {
			return nil, fmt.Errorf("it has more than %d values", maxValues)
		}
	}
	s.space()
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth, keep)
	case c == '[':
		return s.array(depth, keep)
	case c == '"':
		text, escaped, err := s.text()
		if err != nil || keep == none {
			return nil, err
		}
		return unquoted(text, escaped)
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case s.word("true"):
		return true, nil
	case s.word("false"):
		return false, nil
	case s.word("null"):
		return nil, nil
	}
	return nil, errors.New("expected a value")
}

// word takes a word, if it stands there.
func (s *scanner) word(word string) bool {
	if len(s.data)-s.at < len(word) || string(s.data[s.at:s.at+len(word)]) != word {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scanner) object(depth int, keep keep) (any, error) {
	if keep == none {
		return nil, s.eachMember(func([]byte, bool) error {
			_, err := s.value(depth+1, none)
			return err
		})
	}
	object := map[string]any{}
	err := s.eachMember(func(text []byte, escaped bool) error {
		member, ok := members[string(text)]
		if !ok { // or else its name costs no memory
			name, err := unquoted(text, escaped)
			if err != nil {
				return err
			}
			member = known{name, members[name].unread}
		}
		if member.unread && keep == part {
			_, err := s.value(depth+1, none)
			return err
		}
		if _, ok := object[member.name]; ok {
			return fmt.Errorf("the member %q stands twice", member.name)
		}
		inner := keep
		if member.name == annotated {
			inner = whole
		}
		var err error
		object[member.name], err = s.value(depth+1, inner)
		return err
	})
	return object, err
}

func (s *scanner) array(depth int, keep keep) (any, error) {
	array := []any{}
	err := s.eachElement(func() error {
		value, err := s.value(depth+1, keep)
		if keep != none {
			array = append(array, value)
		}
		return err
	})
	return array, err
}

// eachMember reads an object, and has each value read.
func (s *scanner) eachMember(value func(name []byte, escaped bool) error) error {
	s.at++
	if s.next('}') {
		return nil
	}
	for {
		if s.space(); s.peek() != '"' {
			return errors.New("expected a member's name")
		}
		name, escaped, err := s.text()
		if err != nil {
			return err
		}
		if !s.next(':') {
			return errors.New("expected a colon")
		}
		if err := value(name, escaped); err != nil {
			return err
		}
		if s.next('}') {
			return nil
		}
		if !s.next(',') {
			return errors.New("expected a comma or the end of the object")
		}
	}
}

// eachElement reads an array, and has each value read.
func (s *scanner) eachElement(value func() error) error {
	s.at++
	if s.next(']') {
		return nil
	}
	for {
		if err := value(); err != nil {
			return err
		}
		if s.next(']') {
			return nil
		}
		if !s.next(',') {
			return errors.New("expected a comma or the end of the array")
		}
	}
}

// text reads a string, and returns what stands between its quotes and whether there
// are escapes in it.
func (s *scanner) text() (text []byte, escaped bool, err error) {
	start := s.at + 1
	for s.at++; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; {
		case c == '\\':
			if escaped = true; !s.escape() {
				return nil, true, errors.New("a string with an escape that is none")
			}
		case c < ' ':
			return nil, escaped, errors.New("a control character in a string")
		case c == '"':
			s.at++
			return s.data[start : s.at-1], escaped, nil
		}
	}
	return nil, escaped, errors.New("a string without end")
}

// escape goes to the last byte of an escape, and tells whether it is one.
func (s *scanner) escape() bool {
	s.at++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			s.at++
			switch c := s.peek(); {
			case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
			default:
				return false
			}
		}
		return true
	}
	return false
}

// unquoted is what a string says. Its escapes are left to encoding/json.
func unquoted(text []byte, escaped bool) (string, error) {
	if !escaped {
		return string(text), nil
	}
	var said string
	quoted := append(append([]byte{'"'}, text...), '"')
	err := json.Unmarshal(quoted, &said)
	return said, err
}

// number reads a number and keeps it as it is written: none is ever reckoned with.
func (s *scanner) number() (any, error) {
	start := s.at
	for s.at < len(s.data) {
		switch c := s.data[s.at]; {
		case '0' <= c && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
			s.at++
			continue
		}
		break
	}
	if !json.Valid(s.data[start:s.at]) {
		return nil, errors.New("a number that is none")
	}
	return json.Number(s.data[start:s.at]), nil
}

// member returns a member that has to be of type T, or T's zero value where it is
// missing or null.
func member[T any](object map[string]any, name string) (T, error) {
	var zero T
	switch value := object[name].(type) {
	case nil:
		return zero, nil
	case T:
		return value, nil
	}
	return zero, fmt.Errorf("%q is not of the type that it has to be (%T)", name, zero)
}

// demand returns a member that has to be there, of type T and not empty.
func demand[T interface{ string | map[string]any }](object map[string]any, name string) (T, error) {
	value, err := member[T](object, name)
	if err == nil && len(value) == 0 {
		err = fmt.Errorf("%q is missing or empty", name)
	}
	return value, err
}

// typed demands that a body be of the API version and kind that its reader knows.
func typed(body map[string]any, apiVersion, kind string) error {
	if body["apiVersion"] == nil || body["kind"] == nil {
		return fmt.Errorf("the body does not say its apiVersion and kind; this address takes: kind %s, apiVersion %s", kind, apiVersion)
	}
	if body["apiVersion"] != apiVersion || body["kind"] != kind {
		return fmt.Errorf("the body is of kind %s, apiVersion %s; this address takes: kind %s, apiVersion %s", show(body["kind"]), show(body["apiVersion"]), kind, apiVersion)
	}
	return nil
}

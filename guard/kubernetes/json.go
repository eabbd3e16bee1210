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

// unread is the member that nobody here looks at, and that is half of a real object: its
// value is checked to be JSON, and left out.
const unread = "managedFields"

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
	value, err := s.value(0)
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

func (s *scanner) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	if s.values++; s.values > maxValues {
		return nil, fmt.Errorf("it has more than %d values", maxValues)
	}
	s.space()
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '"':
		return s.text()
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

// skip goes past an array or object, whose end is where its brackets are closed.
func (s *scanner) skip() error {
	if s.space(); s.word("null") {
		return nil
	}
	start, open, inText := s.at, 0, false
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; {
		case inText && c == '\\':
			s.at++
		case c == '"':
			inText = !inText
		case inText:
		case c == '[' || c == '{':
			open++
		case c == ']' || c == '}':
			open--
		}
		if open == 0 {
			break
		}
	}
	s.at = min(s.at+1, len(s.data))
	if c := s.data[min(start, len(s.data)-1)]; (c != '[' && c != '{') || !json.Valid(s.data[start:s.at]) {
		return errors.New("expected an array or an object")
	}
	return nil
}

// word takes a word, if it stands there.
func (s *scanner) word(word string) bool {
	if len(s.data)-s.at < len(word) || string(s.data[s.at:s.at+len(word)]) != word {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scanner) object(depth int) (any, error) {
	s.at++
	object := map[string]any{}
	if s.next('}') {
		return object, nil
	}
	for {
		if s.space(); s.peek() != '"' {
			return nil, errors.New("expected a member's name")
		}
		name, err := s.text()
		if err != nil {
			return nil, err
		}
		if _, ok := object[name]; ok {
			return nil, fmt.Errorf("the member %q stands twice", name)
		}
		if !s.next(':') {
			return nil, errors.New("expected a colon")
		}
		if name == unread {
			object[name], err = nil, s.skip()
		} else {
			object[name], err = s.value(depth + 1)
		}
		if err != nil {
			return nil, err
		}
		if s.next('}') {
			return object, nil
		}
		if !s.next(',') {
			return nil, errors.New("expected a comma or the end of the object")
		}
	}
}

func (s *scanner) array(depth int) (any, error) {
	s.at++
	array := []any{}
	if s.next(']') {
		return array, nil
	}
	for {
		value, err := s.value(depth + 1)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
		if s.next(']') {
			return array, nil
		}
		if !s.next(',') {
			return nil, errors.New("expected a comma or the end of the array")
		}
	}
}

// text reads a string. One with escapes is left to encoding/json.
func (s *scanner) text() (string, error) {
	start, escaped := s.at, false
	for s.at++; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; {
		case c == '\\':
			escaped = true
			s.at++
		case c < ' ':
			return "", errors.New("a control character in a string")
		case c == '"':
			s.at++
			if !escaped {
				return string(s.data[start+1 : s.at-1]), nil
			}
			var text string
			if err := json.Unmarshal(s.data[start:s.at], &text); err != nil {
				return "", errors.New("a string with an escape that is none")
			}
			return text, nil
		}
	}
	return "", errors.New("a string without end")
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
	if body["apiVersion"] != apiVersion || body["kind"] != kind {
		return fmt.Errorf("the body is a %s of %s; this address takes a %s of %s", show(body["kind"]), show(body["apiVersion"]), kind, apiVersion)
	}
	return nil
}

// Package jsonline writes one JSON object on one line, member by member, as
// encoding/json would write it (RFC 8259), without reflection: a gate writes several
// for each answer. What needs an escape, and every odd number, is left to encoding/json.
package jsonline

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
)

// An Object is the beginning of one, up to its newest member. Members have the order
// in which they are added; their names are the program's own and need no escape.
type Object []byte

// New begins an object behind what stands in a buffer, which it may outgrow.
func New(buffer []byte) Object { return append(buffer, '{') }

// End is the whole object.
func (o Object) End() []byte { return append(o, '}') }

// name begins a member.
func (o *Object) name(name string) {
	if last := (*o)[len(*o)-1]; last != '{' {
		*o = append(*o, ',')
	}
	*o = append(*o, '"')
	*o = append(*o, name...)
	*o = append(*o, '"', ':')
}

// Text adds a text that is there.
func (o *Object) Text(name, value string) {
	if value != "" {
		o.MustText(name, value)
	}
}

// MustText adds a text, and an empty one as well.
func (o *Object) MustText(name, value string) {
	o.name(name)
	*o = appendText(*o, value)
}

// Texts adds an array of texts that has any.
func (o *Object) Texts(name string, values []string) {
	if len(values) == 0 {
		return
	}
	o.name(name)
	separator := byte('[')
	for _, value := range values {
		*o = appendText(append(*o, separator), value)
		separator = ','
	}
	*o = append(*o, ']')
}

// Integers adds an object of numbers that has any.
func (o *Object) Integers(name string, values map[string]int64) {
	if len(values) == 0 {
		return
	}
	o.name(name)
	*o = appendMap(*o, values, func(to []byte, value int64) []byte { return strconv.AppendInt(to, value, 10) })
}

// Object adds an object, which write writes.
func (o *Object) Object(name string, write func(*Object)) {
	o.name(name)
	in := New(*o)
	write(&in)
	*o = in.End()
}

// Map adds an object of texts that has any.
func (o *Object) Map(name string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	o.name(name)
	*o = appendMap(*o, values, appendText)
}

// Bytes adds bytes that are there, in base64 (RFC 4648, section 4).
func (o *Object) Bytes(name string, value []byte) {
	if len(value) == 0 {
		return
	}
	o.name(name)
	*o = append(base64.StdEncoding.AppendEncode(append(*o, '"'), value), '"')
}

// Bool adds what is true or false.
func (o *Object) Bool(name string, value bool) {
	o.name(name)
	*o = strconv.AppendBool(*o, value)
}

// True adds what is true.
func (o *Object) True(name string, value bool) {
	if value {
		o.Bool(name, true)
	}
}

// Time adds a time (RFC 3339).
func (o *Object) Time(name string, value time.Time) {
	o.name(name)
	*o = append(value.AppendFormat(append(*o, '"'), time.RFC3339Nano), '"')
}

// Number adds a number. One that JSON does not have is null.
func (o *Object) Number(name string, value float64) {
	o.name(name)
	switch size := math.Abs(value); {
	case size == 0 || 1e-6 <= size && size < 1e21:
		*o = strconv.AppendFloat(*o, value, 'f', -1, 64)
	default:
		*o = append(*o, marshal(value)...)
	}
}

// appendMap appends an object, its members in the order of their names.
func appendMap[V any](to []byte, values map[string]V, value func([]byte, V) []byte) []byte {
	names := make([]string, 0, 8) // seldom more
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	separator := byte('{')
	for _, name := range names {
		to = append(appendText(append(to, separator), name), ':')
		to = value(to, values[name])
		separator = ','
	}
	return append(to, '}')
}

// appendText appends a text with its quotes.
func appendText(to []byte, text string) []byte {
	start := len(to)
	to = append(to, '"')
	done := 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"', c == '\\':
			to = append(append(to, text[done:i]...), '\\')
			done = i // it stands behind its backslash
		case c < ' ', c > '~', c == '<', c == '>', c == '&':
			return append(to[:start], marshal(text)...)
		}
	}
	return append(append(to, text[done:]...), '"')
}

// marshal leaves a value to encoding/json.
func marshal(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		return []byte("null")
	}
	return data
}

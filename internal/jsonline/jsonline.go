// Package jsonline writes one JSON object on one line, member by member, as
// encoding/json would write it (RFC 8259), without reflection: a gate writes several
// for each answer. What needs an escape, and every odd number, is left to encoding/json.
package jsonline

import (
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
	names := make([]string, 0, 8) // of roles: seldom more
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	separator := byte('{')
	for _, name := range names {
		*o = append(appendText(append(*o, separator), name), ':')
		*o = strconv.AppendInt(*o, values[name], 10)
		separator = ','
	}
	*o = append(*o, '}')
}

// True adds what is true.
func (o *Object) True(name string, value bool) {
	if value {
		o.name(name)
		*o = append(*o, "true"...)
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

// appendText appends a text with its quotes.
func appendText(to []byte, text string) []byte {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return append(to, marshal(text)...)
		}
	}
	return append(append(append(to, '"'), text...), '"')
}

// marshal leaves a value to encoding/json.
func marshal(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		return []byte("null")
	}
	return data
}

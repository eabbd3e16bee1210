package jsonline

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

type inner struct {
	Map   map[string]string `json:"map,omitempty"`
	No    map[string]string `json:"no,omitempty"`
	Bytes []byte            `json:"bytes,omitempty"`
	Bool  bool              `json:"bool"`
}

// FuzzObject checks that an object is, byte for byte, what encoding/json writes.
func FuzzObject(f *testing.F) {
	f.Add("", "", int64(0), 0.0, false, int64(0))
	f.Add("registry.example.com/app:1.0", "alice", int64(7), 0.042, true, int64(1_700_000_000_123_456_789))
	f.Add("a\"b\\c<d>&e\u2028\x00\xff~\x7f", "{", int64(-1), 1e21, true, int64(-1))
	f.Add("é", "\n", int64(math.MinInt64), 1e-7, false, int64(1))
	f.Fuzz(func(t *testing.T, a, b string, n int64, x float64, yes bool, at int64) {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return
		}
		moment := time.Unix(0, at).UTC()
		want, err := json.Marshal(struct {
			Must  string           `json:"must"`
			Text  string           `json:"text,omitempty"`
			At    time.Time        `json:"at"`
			Texts []string         `json:"texts,omitempty"`
			None  []string         `json:"none,omitempty"`
			Of    map[string]int64 `json:"of,omitempty"`
			Not   map[string]int64 `json:"not,omitempty"`
			Yes   bool             `json:"yes,omitempty"`
			Size  float64          `json:"size"`
			In    inner            `json:"in"`
		}{a, b, moment, []string{b, a}, nil, map[string]int64{a: n, b: n, "targets": 3, "root": 1}, nil, yes, x, inner{map[string]string{a: b, "x": a}, nil, []byte(b), yes}})
		if err != nil {
			t.Fatal(err)
		}
		o := New([]byte("before"))
		o.MustText("must", a)
		o.Text("text", b)
		o.Time("at", moment)
		o.Texts("texts", []string{b, a})
		o.Texts("none", nil)
		o.Integers("of", map[string]int64{a: n, b: n, "targets": 3, "root": 1})
		o.Integers("not", nil)
		o.True("yes", yes)
		o.Number("size", x)
		o.Object("in", func(o *Object) {
			o.Map("map", map[string]string{a: b, "x": a})
			o.Map("no", nil)
			o.Bytes("bytes", []byte(b))
			o.Bool("bool", yes)
		})
		if got := string(o.End()); got != "before"+string(want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

// TestNumbersThatJSONHasNot demands that the rest of the line can be read.
func TestNumbersThatJSONHasNot(t *testing.T) {
	o := New(nil)
	o.Number("nan", math.NaN())
	o.Number("more", math.Inf(1))
	if got := string(o.End()); got != `{"nan":null,"more":null}` {
		t.Error(got)
	}
}

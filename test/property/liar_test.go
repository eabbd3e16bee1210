package property_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/signet-trust/signet/tuf"
)

var errBroken = errors.New("the connection broke off")

// askLiar asks a server without any key: it shows a moment of the past, and on top of
// that it hides, mixes, changes and breaks.
func (p *play) askLiar(*rapid.T) {
	m := p.w.history[rapid.IntRange(0, len(p.w.history)-1).Draw(p.r, "moment")]
	server, faults := p.w.at(m), []string{"replay"}
	for range p.number(0, 2) {
		var fault string
		server, fault = p.lie(server)
		faults = append(faults, fault)
	}
	p.question(p.verifier(), server, p.w.now, p.tag(), faults)
}

// lie changes a view in one way.
func (p *play) lie(honest view) (view, string) {
	w := p.w
	roles := append([]string{tuf.RoleRoot, tuf.RoleTimestamp, tuf.RoleSnapshot}, slices.Sorted(maps.Keys(w.state.Roles))...)
	victim := rapid.SampledFrom(roles).Draw(p.r, "victim")
	change := func(do func(data []byte) ([]byte, error)) view {
		return func(file string) ([]byte, error) {
			data, err := honest(file)
			if role, _, parse := tuf.ParseFileName(file); parse != nil || role != victim || err != nil {
				return data, err
			}
			return do(bytes.Clone(data))
		}
	}
	how := rapid.SampledFrom([]string{"hide", "break", "flip", "truncate", "null", "foreign", "older", "newer", "unsigned"}).Draw(p.r, "lie")
	switch how {
	case "hide":
		return change(func([]byte) ([]byte, error) { return nil, fmt.Errorf("hidden: %w", tuf.ErrNotFound) }), how
	case "break":
		return change(func([]byte) ([]byte, error) { return nil, errBroken }), how
	case "flip":
		at, bit := p.number(0, 5000), byte(1)<<p.number(0, 7)
		return change(func(data []byte) ([]byte, error) {
			if len(data) > 0 {
				data[at%len(data)] ^= bit
			}
			return data, nil
		}), how
	case "truncate":
		n := p.number(0, 2000)
		return change(func(data []byte) ([]byte, error) { return data[:min(n, len(data))], nil }), how
	case "null":
		return change(func([]byte) ([]byte, error) { return []byte(`{"signatures":[],"signed":null}`), nil }), how
	case "foreign":
		other := p.o.today()
		return func(file string) ([]byte, error) {
			if role, _, err := tuf.ParseFileName(file); err == nil && role == victim {
				return other(file)
			}
			return honest(file)
		}, how
	case "older", "newer":
		// Another version's bytes, under the name that is asked for.
		by := int64(p.number(1, 5))
		if how == "older" {
			by = -by
		}
		return func(file string) ([]byte, error) {
			role, version, err := tuf.ParseFileName(file)
			if err == nil && role == victim {
				if data, ok := w.files[tuf.FileName(role, version+by)]; ok && role != tuf.RoleTimestamp {
					return data, nil
				}
			}
			return honest(file)
		}, how
	default:
		return change(func(data []byte) ([]byte, error) {
			_, signed, _ := bytes.Cut(data, []byte(`,"signed":`))
			return append([]byte(`{"signatures":[],"signed":`), signed...), nil
		}), how
	}
}

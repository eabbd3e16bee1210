package imagefile

import (
	"fmt"
	"slices"
	"strings"
)

// Pin returns the file with each image that digests names pinned: the digest is
// added to what stands there, by the reference that stands there. Everything else
// stays as it is, to the byte. It returns an error, and nothing, when one of them
// cannot be written in place.
//
// digests has, for each Use by its index, "sha256:" and 64 hex digits; "" leaves it.
func (f *File) Pin(digests []string) ([]byte, error) {
	if len(digests) != len(f.Uses) {
		return nil, fmt.Errorf("%s: %d digests for %d images", f.Name, len(digests), len(f.Uses))
	}
	type edit struct {
		at   span
		text string
	}
	var edits []edit
	want := make([]string, len(f.Uses))
	for i, u := range f.Uses {
		want[i] = u.Image
		if digests[i] == "" || strings.Contains(u.Image, "@") {
			continue
		}
		if u.at == (span{}) || u.Hidden {
			return nil, fmt.Errorf("%s:%d: %s: the digest of %s cannot be written there, since the reference does not stand there as it is; write it out first", f.Name, u.Line, u.What, u.Image)
		}
		want[i] = u.Image + "@" + digests[i]
		e := edit{u.at, want[i]}
		if i := slices.IndexFunc(edits, func(x edit) bool { return x.at == e.at }); i >= 0 {
			if edits[i].text != e.text { // one place that YAML's aliases use twice
				return nil, fmt.Errorf("%s:%d: %s: one place would need two digests", f.Name, u.Line, u.What)
			}
			continue
		}
		edits = append(edits, e)
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.at.start - b.at.start })
	var out []byte
	last := 0
	for _, e := range edits {
		if e.at.start < last {
			return nil, fmt.Errorf("%s: two images stand in one place", f.Name)
		}
		out = append(append(out, f.data[last:e.at.start]...), e.text...)
		last = e.at.end
	}
	out = append(out, f.data[last:]...)
	// What was written is read again: it has to say what was meant, and nothing else.
	options := f.read
	options.Format = f.Format
	again, err := Read(f.Name, out, options)
	if err != nil {
		return nil, fmt.Errorf("the pinned file does not read as expected: %w", err)
	}
	if len(again.Uses) != len(want) {
		return nil, fmt.Errorf("%s: the pinned file names %d images, not %d", f.Name, len(again.Uses), len(want))
	}
	for i, u := range again.Uses {
		if u.Image != want[i] || u.What != f.Uses[i].What {
			return nil, fmt.Errorf("%s:%d: %s: the pinned file says %q where %q was meant", f.Name, u.Line, u.What, u.Image, want[i])
		}
	}
	return out, nil
}

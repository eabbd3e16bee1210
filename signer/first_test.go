package signer

import (
	"errors"
	"testing"

	"github.com/signet-trust/signet/signer/api"
	"github.com/signet-trust/signet/tuf"
)

// Whoever asks first for a repository shows the signer a root of its own with
// this signer's keys in it. What it gets verifies under the genuine root, too, so
// no version in it may be one that the publisher cannot reach.
func TestFirstContact(t *testing.T) {
	const far = 1 << 60
	tests := []struct {
		name        string
		change      func(f *firstCase)
		want, adopt error // adopt: with AdoptExisting
	}{
		{"all begins with 1", func(*firstCase) {}, nil, nil},
		{"with a signer", func(f *firstCase) {
			f.r.Roles = []tuf.File{f.eve.targetsFile(1, "one", f.eve.delegate("bob", f.bob)), signerFile(t, "bob", 1, f.bob)}
		}, nil, nil},
		{"a later root", func(f *firstCase) { f.r.Roots = [][]byte{f.root(2)} }, tuf.RuleVersion, nil},
		{"a later root after the first", func(f *firstCase) { f.r.Roots = append(f.r.Roots, f.root(2)) }, tuf.RuleVersion, nil},
		{"later targets", func(f *firstCase) { f.r.Roles[0] = f.eve.targetsFile(2, "two", nil) }, tuf.RuleVersion, nil},
		{"a signer's later file", func(f *firstCase) {
			f.r.Roles = []tuf.File{f.eve.targetsFile(1, "one", f.eve.delegate("bob", f.bob)), signerFile(t, "bob", 2, f.bob)}
		}, tuf.RuleVersion, nil},
		{"a signer that nobody delegates to", func(f *firstCase) {
			f.r.Roles = append(f.r.Roles, signerFile(t, "bob", 1, f.bob))
		}, tuf.RuleDelegation, nil},
		{"the furthest targets that are adopted", func(f *firstCase) { f.r.Roles[0] = f.eve.targetsFile(maxAdopted, "x", nil) }, tuf.RuleVersion, nil},
		{"targets beyond", func(f *firstCase) { f.r.Roles[0] = f.eve.targetsFile(maxAdopted+1, "x", nil) }, tuf.RuleVersion, tuf.RuleVersion},
		{"targets far away", func(f *firstCase) { f.r.Roles[0] = f.eve.targetsFile(far, "x", nil) }, tuf.RuleVersion, tuf.RuleVersion},
		{"a root far away", func(f *firstCase) { f.r.Roots = [][]byte{f.root(far)} }, tuf.RuleVersion, tuf.RuleVersion},
		{"a signer's file far away", func(f *firstCase) {
			f.r.Roles = []tuf.File{f.eve.targetsFile(1, "one", f.eve.delegate("bob", f.bob)), signerFile(t, "bob", far, f.bob)}
		}, tuf.RuleVersion, tuf.RuleVersion},
		{"the file of a signer that nobody delegates to far away", func(f *firstCase) {
			f.r.Roles = append(f.r.Roles, signerFile(t, "bob", far, f.bob))
		}, tuf.RuleVersion, tuf.RuleVersion},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for adopt, want := range map[bool]error{false: test.want, true: test.adopt} {
				f := newFirstCase(t, adopt)
				test.change(f)
				signed, err := f.b.Sign(t.Context(), f.r)
				if !errors.Is(err, want) {
					t.Fatalf("adopt existing %v: got %v, expected %v", adopt, err, want)
				}
				if err == nil {
					checkServed(t, f.r, signed, noon)
				} else if _, err := f.b.Last(t.Context(), app); !errors.Is(err, tuf.ErrNotFound) {
					t.Fatalf("Last after a refusal: %v, expected not found", err)
				}
			}
		})
	}
}

type firstCase struct {
	b    *bench
	eve  *publisher
	bob  tuf.Signer
	root func(version int64) []byte
	r    api.SignRequest
}

func newFirstCase(t *testing.T, adopt bool) *firstCase {
	t.Helper()
	f := &firstCase{b: newBench(t), eve: newPublisher(t), bob: newSigner(t)}
	f.b.config.AdoptExisting = adopt
	f.b.restart()
	snapshot, timestamp := f.b.onlineKeys(app)
	f.root = func(version int64) []byte { return f.eve.rootFile(version, snapshot, timestamp, nil) }
	f.r = f.eve.request([][]byte{f.root(1)}, f.eve.targetsFile(1, "one", nil))
	return f
}

// A restored signer may be shown files that it has not seen, but only so far
// above what its backup knew.
func TestFarVersionsAfterARestore(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *refusalCase)
		want   error
	}{
		{"targets from after the backup", func(c *refusalCase) { c.r.Roles[0] = c.alice.targetsFile(9, "nine", c.withBob) }, nil},
		{"the file of a removed signer that the backup does not know", func(c *refusalCase) {
			c.r.Roles = append(c.r.Roles, signerFile(t, "carol", 7, c.bob))
		}, nil},
		{"targets far away", func(c *refusalCase) { c.r.Roles[0] = c.alice.targetsFile(1<<60, "x", c.withBob) }, tuf.RuleVersion},
		{"the file of a removed signer far away", func(c *refusalCase) {
			c.r.Roles = []tuf.File{c.alice.targetsFile(4, "four", nil), signerFile(t, "bob", 1<<60, c.bob)}
		}, tuf.RuleVersion},
		{"the file of an unknown signer far away", func(c *refusalCase) {
			c.r.Roles = append(c.r.Roles, signerFile(t, "carol", maxAdopted+1, c.bob))
		}, tuf.RuleVersion},
		{"targets from before the backup", func(c *refusalCase) { c.r.Roles[0] = c.alice.targetsFile(2, "two", c.withBob) }, tuf.ErrConflict},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newRefusalCase(t)
			config := c.b.elsewhere()
			if _, err := Restore(t.Context(), config, c.b.mustBackup(true), 0); err != nil {
				t.Fatal(err)
			}
			restored, err := Open(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			defer restored.Close()
			test.change(c)
			if _, err := restored.Sign(t.Context(), c.r); !errors.Is(err, test.want) {
				t.Fatalf("got %v, expected %v", err, test.want)
			}
		})
	}
}

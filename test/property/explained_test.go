package property_test

import (
	"fmt"
	"math"
	stdtesting "testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/tuf"
)

// Each row of the table of differences is one that there is: these are the scenes in
// which it shows. A row whose scene shows no difference any more has to go.
func TestDifferencesAreThere(t *stdtesting.T) {
	scenes := map[string]func(p *play, v *verifier) *answer{
		"clock": func(p *play, v *verifier) *answer {
			p.honest(v, "1.0", p.w.now.Add(10*time.Hour))
			return p.question(v, p.w.today(), p.w.now, "1.0", nil)
		},
		"first root": func(p *play, v *verifier) *answer {
			return p.question(v, without(p.w.today(), "1.root.json"), p.w.now, "1.0", nil)
		},
		"the very second": func(p *play, v *verifier) *answer {
			return p.question(v, p.w.today(), p.w.timestampOf(p.w.state.Timestamp.Bytes).Signed.Expires, "1.0", nil)
		},
		"damaged root": func(p *play, v *verifier) *answer {
			p.honest(v, "1.0", p.w.now)
			v.write(tuf.RoleRoot, []byte("{}"))
			return p.question(v, p.w.today(), p.w.now, "1.0", nil)
		},
		"damaged cache": func(p *play, v *verifier) *answer {
			p.honest(v, "1.0", p.w.now)
			v.write(tuf.RoleTimestamp, []byte("{"))
			return p.question(v, p.w.today(), p.w.now, "1.0", nil)
		},
		"one of several online keys was taken away": func(p *play, v *verifier) *answer {
			w := p.w
			p.steal()
			stolen := p.stolen[0]
			w.rotate(tuf.RoleTimestamp, keys{append(w.newKeys(1, 1).signers, w.timestamp.signers...), 1})
			p.question(v, p.thief(stolen, math.MaxInt64, math.MaxInt64, w.state.Roles), w.now, "1.0", nil)
			w.rotate(tuf.RoleSnapshot, w.newKeys(1, 1)) // and the stolen timestamp key stays for now
			return p.question(v, w.today(), w.now, "1.0", nil)
		},
		"a cached snapshot that is not the one meant": func(p *play, v *verifier) *answer {
			w := p.w
			p.honest(v, "1.0", w.now)
			p.steal()
			older := map[string]tuf.File{tuf.RoleTargets: {Role: tuf.RoleTargets, Version: 1, Bytes: w.files["1.targets.json"]}}
			return p.question(v, p.thief(p.stolen[0], w.state.Snapshot.Version, w.state.Timestamp.Version+1, older), w.now, "1.0", nil)
		},
		"a key that cannot be used": func(p *play, v *verifier) *answer {
			return p.question(v, p.withForeignKey(), p.w.now, "1.0", nil)
		},
		"shape": func(p *play, v *verifier) *answer {
			return p.question(v, p.withNull(), p.w.now, "1.0", nil)
		},
	}
	for _, d := range differences {
		t.Run(d.name, func(t *stdtesting.T) {
			scene := scenes[d.name]
			if scene == nil {
				t.Fatal("nothing shows this difference")
			}
			p := &play{t: t, w: newWorld(t, app)}
			p.w.set(tuf.RoleTargets, "1.0", "one")
			a := scene(p, newVerifier(t, p.w))
			if !d.is(p, a) || a.agree() {
				t.Errorf("ours %+v %v, go-tuf's %+v %v: not this difference", a.ours, a.ours.err, a.theirs, a.theirs.err)
			}
		})
	}
	if len(scenes) != len(differences) {
		t.Errorf("%d scenes for %d differences", len(scenes), len(differences))
	}
}

// without is a server that lacks a file.
func without(server view, missing string) view {
	return func(file string) ([]byte, error) {
		if file == missing {
			return nil, fmt.Errorf("%s: %w", file, tuf.ErrNotFound)
		}
		return server(file)
	}
}

// with is a server that has these files in place of others.
func with(server view, files map[string][]byte) view {
	return func(file string) ([]byte, error) {
		if data, ok := files[file]; ok {
			return data, nil
		}
		return server(file)
	}
}

// withForeignKey is the honest server with a root that lists, for targets, a key of a
// kind that nobody here knows beside the one that signs.
func (p *play) withForeignKey() view {
	w := p.w
	p.unusable = true
	w.md.Signed.Version++
	foreign := &metadata.Key{Type: "sphincs", Scheme: "sphincs-shake-128", Value: metadata.KeyVal{PublicKey: "00"}}
	id := must(foreign.ID())
	w.md.Signed.Keys[id] = foreign
	w.md.Signed.Roles[tuf.RoleTargets].KeyIDs = append(w.md.Signed.Roles[tuf.RoleTargets].KeyIDs, id)
	file := w.rootFile()
	w.keep(file)
	return with(w.today(), map[string][]byte{file.Name(): file.Bytes})
}

// withNull is the honest server with a timestamp in which null stands where it means
// nothing, signed by the right key.
func (p *play) withNull() view {
	w := p.w
	md := tuf.NewTimestamp(w.state.Timestamp.Version+1, w.now.Add(day), w.state.Snapshot)
	md.Signed.UnrecognizedFields = map[string]any{}
	md.UnrecognizedFields = map[string]any{"custom": nil}
	data := encode(md, w.timestamp.signers[:1])
	w.made[payload(data)] = true
	return with(w.today(), map[string][]byte{"timestamp.json": data})
}

package attack_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

const (
	header    = `"spec_version":"1.0.34","version":%d,"expires":"2099-01-01T00:00:00Z"`
	someHash  = `"hashes":{"sha256":"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},"length":9`
	someEntry = `{"version":9,` + someHash + `}`
)

// Hostile parser input: bytes that are no metadata, in every role's place, and
// documents that are validly signed by the online keys and should never have been.
// Never a yes, never a panic, bounded memory.
func TestHostileParserInput(t *testing.T) {
	const most = 256 << 20 // bytes of memory
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	wide := strings.Repeat(`{"a":1},`, 400_000)
	bodies := map[string]string{
		"empty": "", "white space": " \n", "null": "null", "a number": "1e999", "a string": `"root"`, "an array": "[]",
		"an empty object": "{}", "half an object": `{"signatures":[`, "no UTF-8": "{\"signatures\":[],\"signed\":{\"\xff\":1}}",
		"two documents": `{"signatures":[],"signed":{}}{}`, "null inside": `{"signatures":null,"signed":null}`,
		"members twice": `{"signatures":[],"signatures":[],"signed":{},"signed":{}}`, "other letter cases": `{"Signatures":[],"SIGNED":{}}`,
		"deep": `{"signatures":[],"signed":` + deep + `}`, "wide": `{"signatures":[],"signed":{"x":[` + wide[:len(wide)-1] + `]}}`,
		"markup": "<html>404</html>", "a signature of nothing": `{"signatures":[{}],"signed":{}}`,
	}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets} {
		for claim, body := range bodies {
			s.proxy.Set(attack.Body(role, []byte(body)))
			o, d := s.verifier(t, app, p.root).verify(app + ":1.0")
			if o.exit != 3 || d.Trusted || d.Digest != "" || o.peak > most {
				t.Errorf("%s as %s: exit status %d, %d MiB, %+v", claim, role, o.exit, o.peak>>20, d)
			}
		}
	}
	s.proxy.Set()
	for claim, text := range map[string]string{
		"snapshot: no meta":                `{"_type":"snapshot",` + header + `}`,
		"snapshot: meta is null":           `{"_type":"snapshot",` + header + `,"meta":null}`,
		"snapshot: an entry is null":       `{"_type":"snapshot",` + header + `,"meta":{"targets.json":null}}`,
		"snapshot: an empty entry":         `{"_type":"snapshot",` + header + `,"meta":{"targets.json":{}}}`,
		"snapshot: version zero":           `{"_type":"snapshot",` + header + `,"meta":{"targets.json":{"version":0,` + someHash + `}}}`,
		"snapshot: a version with a point": `{"_type":"snapshot",` + header + `,"meta":{"targets.json":{"version":1.5,` + someHash + `}}}`,
		"snapshot: a negative length":      `{"_type":"snapshot",` + header + `,"meta":{"targets.json":{"version":1,"length":-1}}}`,
		"snapshot: a hash of nothing":      `{"_type":"snapshot",` + header + `,"meta":{"targets.json":{"version":1,"length":1,"hashes":{"sha256":""}}}}`,
		"snapshot: no hash at all":         `{"_type":"snapshot",` + header + `,"meta":{"targets.json":{"version":1,"length":1,"hashes":{}}}}`,
		"snapshot: an unknown hash":        `{"_type":"snapshot",` + header + `,"meta":{"targets.json":{"version":1,"length":1,"hashes":{"crc32":"00"}}}}`,
		"snapshot: names that climb":       `{"_type":"snapshot",` + header + `,"meta":{"targets.json":` + someEntry + `,"../../../../evil.json":` + someEntry + `}}`,
		"snapshot: another type":           `{"_type":"timestamp",` + header + `,"meta":{"snapshot.json":` + someEntry + `}}`,
		"snapshot: deep":                   `{"_type":"snapshot",` + header + `,"meta":{"targets.json":` + someEntry + `},"x":` + strings.Repeat("[", 60) + strings.Repeat("]", 60) + `}`,
		"timestamp: no meta":               `{"_type":"timestamp",` + header + `}`,
		"timestamp: no snapshot":           `{"_type":"timestamp",` + header + `,"meta":{}}`,
		"timestamp: null":                  `{"_type":"timestamp",` + header + `,"meta":{"snapshot.json":null}}`,
		"timestamp: version zero":          `{"_type":"timestamp","spec_version":"1.0.34","version":0,"expires":"2099-01-01T00:00:00Z","meta":{"snapshot.json":` + someEntry + `}}`,
		"timestamp: another date":          `{"_type":"timestamp","spec_version":"1.0.34","version":9,"expires":"2099-01-01T00:00:00+01:00","meta":{"snapshot.json":` + someEntry + `}}`,
		"timestamp: no date":               `{"_type":"timestamp","spec_version":"1.0.34","version":9,"meta":{"snapshot.json":` + someEntry + `}}`,
		"timestamp: another spec":          `{"_type":"timestamp","spec_version":"2.0.0","version":9,"expires":"2099-01-01T00:00:00Z","meta":{"snapshot.json":` + someEntry + `}}`,
		"timestamp: a huge number":         `{"_type":"timestamp","spec_version":"1.0.34","version":99999999999999999999,"expires":"2099-01-01T00:00:00Z","meta":{"snapshot.json":` + someEntry + `}}`,
	} {
		t.Run(claim, func(t *testing.T) {
			f := s.forger(t, p, online...)
			role, _, _ := strings.Cut(claim, ":")
			if strings.Contains(text, "%d") {
				text = fmt.Sprintf(text, 9)
			}
			f.Raw(role, 9, text)
			if role == tuf.RoleSnapshot {
				f.Timestamp(nil)
			}
			s.serve(f)
			defer s.proxy.Set()
			m := s.verifier(t, app, p.root)
			o, d := m.verify(app + ":1.0")
			if o.exit == 0 || d.Trusted || d.Digest != "" || o.peak > most {
				t.Errorf("exit status %d, %d MiB, %+v", o.exit, o.peak>>20, d)
			}
			// A snapshot that names what is not there cannot tell; all else is a verdict.
			if climbs := strings.Contains(claim, "climb") || strings.Contains(claim, "unknown"); o.exit != 3 && !climbs {
				t.Errorf("exit status %d, expected the verdict untrusted\n%s", o.exit, o.stderr)
			}
			m.staysInside(t)
		})
	}
}

// Names of roles become names of files and addresses. However a signer is called, and
// whoever called him so, nothing is written outside of this repository's folder, and
// no other role's file is replaced.
func TestHostileRoleNames(t *testing.T) {
	s := newScene(t)
	p := s.publisher(app, newKeys(t, 1), newKeys(t, 1))
	for i, role := range []string{
		"../../../../evil", "..", ".", "/evil", `..\..\evil`, ".marks", ".roots/9", "1.root", "root.json", "Root", "TARGETS",
		"%2e%2e%2fevil", "a b", "é", "con", strings.Repeat("x", 250), "x\u202eevil",
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			f := s.forger(t, p, append([]string{tuf.RoleTargets}, online...)...)
			key := harness.NewKey(t)
			f.Role(tuf.RoleTargets, func(md *tuf.Targets) {
				md.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{key.Key().ID(): key.Key().Metadata()},
					Roles: []metadata.DelegatedRole{{Name: role, KeyIDs: []string{key.Key().ID()}, Threshold: 1, Paths: []string{app + ":x-*"}}}}
			})
			md := tuf.NewTargets(1, time.Now().Add(90*day))
			set(t, app, "x-1", "theirs")(md)
			f.NewRole(role, md, key)
			f.Release()
			s.proxy.Set(attack.Replay(f.Clone()), escaped(f, role))
			defer s.proxy.Set()
			m := s.verifier(t, app, p.root)
			m.trusts(app+":1.0", digest("one"))
			if o, d := m.verify(app + ":x-1"); o.exit == 0 && d.Digest != digest("theirs") || o.exit != 0 && d.Trusted {
				t.Errorf("exit status %d, %+v\n%s", o.exit, d, o.stderr)
			}
			m.staysInside(t)
			m.trusts(app+":1.0", digest("one"))
			m.trusts(app+":1.0", digest("one"), "--offline")
		})
	}
}

// escaped serves a role's file under whatever name a client asks for it by.
func escaped(f *attack.Forger, role string) attack.Attack {
	known := f.Clone()
	return func(a *attack.Answer) {
		if _, ok := known.Files[a.File]; !ok && a.Repository == f.Repository && a.Role() != tuf.RoleRoot {
			a.Status, a.Body = 200, f.Newest(role).Bytes
		}
	}
}

// staysInside demands that all state is in the repository's folder, and that outside
// of it there is only what was there.
func (m *machine) staysInside(t *testing.T) {
	t.Helper()
	inside := filepath.Join(m.dir, "state", "signet", filepath.FromSlash(app))
	err := filepath.WalkDir(m.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		config := path == filepath.Join(m.dir, "config", "signet", "trust.json") || path == filepath.Join(m.dir, "config", "signet", "trust.json.lock")
		dir := filepath.Dir(path)
		if !config && dir != inside && dir != filepath.Join(inside, ".roots") {
			t.Errorf("%s is outside of %s", path, inside)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if beside, err := os.ReadDir(filepath.Dir(m.dir)); err != nil {
		t.Fatal(err)
	} else {
		for _, entry := range beside {
			if !entry.IsDir() {
				t.Errorf("%s is beside the machine's folder", entry.Name())
			}
		}
	}
}

package client

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/signet-trust/signet/tuf"
)

// sameKey compares keys, and those that are not there.
var sameKey = cmp.Comparer(func(a, b *tuf.Key) bool { return a == b || a != nil && b != nil && a.Equal(b) })

// FuzzTrustFile checks that whatever stands in trust.json, each anchor that is taken
// pins something for names that can be, and is the same once it was written again: an
// edit must not change what the lines that it leaves alone say.
func FuzzTrustFile(f *testing.F) {
	anchor := Anchor{Pattern: "registry.example.com/team/*", Servers: []string{"https://signet.example.com"}, RootKeys: []string{newKey(f).Key().ID()},
		MinRoot: 2, MaxStale: 1, Require: []Voice{{Name: "qa", Keys: []string{newKey(f).Key().ID()}}}}
	data, err := json.Marshal(trustFile{Anchors: Anchors{anchor}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"anchors":[{"pattern":"**","rootKeys":[]}]}`))
	f.Add([]byte(`{"anchors":null}{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(memory(t), "trust.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		anchors, err := LoadAnchors(path)
		if err != nil {
			return
		}
		for _, a := range anchors {
			if tuf.CheckPattern(a.Pattern) != nil || len(a.RootKeys) == 0 && a.RootSHA256 == "" || a.threshold() < 1 && a.RootSHA256 == "" {
				t.Fatalf("an anchor that pins nothing is taken: %+v", a)
			}
		}
		if err := EditAnchors(path, func(all Anchors) (Anchors, error) { return all, nil }); err != nil {
			t.Fatalf("taken, and cannot be written again: %v", err)
		}
		again, err := LoadAnchors(path)
		if diff := cmp.Diff(anchors, again, cmpopts.EquateEmpty(), sameKey); err != nil || diff != "" {
			t.Fatalf("written and read again: %v\n%s", err, diff)
		}
	})
}

// FuzzServersFile checks that whatever stands in servers.json, no token is read from
// outside of its folder, and that what is taken is the same once it was written again.
func FuzzServersFile(f *testing.F) {
	f.Add([]byte(`{"servers":[{"url":"https://signet.example.com","patterns":["registry.example.com/team/*"],"tokenFile":"tokens/a"}]}`))
	f.Add([]byte(`{"servers":[{"url":"https://signet.example.com","tokenFile":"../secret"}]}`))
	f.Add([]byte(`{"servers":[{"url":"http://[::1]:80/x","plainHTTP":true,"identity":null}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		above := memory(t)
		path := filepath.Join(above, "signet", "servers.json")
		write := func(path, text string) {
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(path, string(data))
		write(filepath.Join(above, "signet", "tokens", "a"), "inside\n")
		write(filepath.Join(above, "secret"), "outside")
		servers, err := LoadServers(path)
		if err != nil {
			return
		}
		for _, s := range servers {
			if s.Token == "outside" || s.URL == "" {
				t.Fatalf("%+v", s)
			}
		}
		if err := EditServers(path, func(all Servers) (Servers, error) { return all, nil }); err != nil {
			t.Fatalf("taken, and cannot be written again: %v", err)
		}
		again, err := LoadServers(path)
		if diff := cmp.Diff(servers, again, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Server{}, "TokenFile"), sameKey); err != nil || diff != "" {
			t.Fatalf("written and read again: %v\n%s", err, diff)
		}
	})
}

// FuzzJournal checks that whatever stands in the journal, what was noted behind it is
// found again and keeps a second content from being signed, or nothing is signed at
// all.
func FuzzJournal(f *testing.F) {
	entry := JournalEntry{Act: ActPublish, Repository: appName, Role: tuf.RoleTargets, Version: 2, SHA256: digestHex([]byte("one"))}
	line, err := json.Marshal(entry)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(line, '\n'))
	f.Add(line[:len(line)/2])
	f.Add([]byte("\n\nnull\n{}\n"))
	f.Add([]byte(`{"act":"forget","repository":"` + appName + `"}` + "\n" + `{"act":"refused"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := journal{filepath.Join(memory(t), "journal")}
		if err := os.WriteFile(j.path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		mine := entry
		mine.Version = 1 << 40
		if err := j.add(t.Context(), true, mine); err != nil {
			return // nothing is signed then
		}
		entries, err := j.read(appName)
		if err != nil || len(entries) == 0 || entries[len(entries)-1] != mine {
			t.Fatalf("what was noted is not there: %+v, %v", entries, err)
		}
		other := mine
		other.SHA256 = digestHex([]byte("two"))
		refused := false
		for _, e := range entries { // whoever can write to it can take what it says back
			refused = refused || e.Act == ActRefused && e.Version == mine.Version
		}
		if err := j.add(t.Context(), false, other); err == nil && !refused {
			t.Fatal("a second content is signed")
		}
	})
}

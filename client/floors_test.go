package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// tells has the server tell something of the bench's repository.
func (b *bench) tells(about string) {
	b.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, api.RepositoriesPath+"/") {
			return false
		}
		w.Header().Set("Content-Type", api.TypeJSON)
		fmt.Fprint(w, about)
		return true
	})
}

// TestFloors goes on above what a server says that clients have seen, shows that, and
// does not let a server use versions up.
func TestFloors(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	p.DryRun = true
	there := b.repo.roles[tuf.RoleTargets].Version
	for name, c := range map[string]struct {
		about string
		want  int64 // 0: refused
	}{
		"none":                      {`{}`, there + 1},
		"below what is there":       {`{"floors":{"targets":0}}`, there + 1},
		"above":                     {fmt.Sprintf(`{"floors":{"targets":%d,"root":77,"snapshot":99}}`, there+40), there + 41},
		"as far as is believed":     {fmt.Sprintf(`{"floors":{"targets":%d}}`, there+maxFloorStep), there + maxFloorStep + 1},
		"farther":                   {fmt.Sprintf(`{"floors":{"targets":%d}}`, there+maxFloorStep+1), 0},
		"the largest version":       {`{"floors":{"targets":9223372036854775807}}`, 0},
		"of a role that is none":    {fmt.Sprintf(`{"floors":{"targets":%d,"nobody":3}}`, there), there + 1},
		"an answer that is no JSON": {`<html>`, 0},
	} {
		b.tells(c.about)
		prepared, err := p.PrepareSign(t.Context(), b.signRequest("9.9", "nine"))
		switch {
		case c.want == 0 && err == nil:
			t.Errorf("%s: version %d would be signed", name, prepared.Change.Files[0].Version)
		case c.want == 0:
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case prepared.Change.Files[0].Version != c.want:
			t.Errorf("%s: version %d, expected %d", name, prepared.Change.Files[0].Version, c.want)
		case (c.want > there+1) != strings.Contains(strings.Join(prepared.Change.Warnings, "\n"), "restored from an old backup"):
			t.Errorf("%s: the jump is not shown, or shown where there is none: %q", name, prepared.Change.Warnings)
		}
	}
	if len(*changes) > 0 {
		t.Error("something was signed")
	}
}

// TestStartAgain starts a retired name above its floors, where this machine does not
// remember it.
func TestStartAgain(t *testing.T) {
	b := newBench(t)
	alice, bob := newKey(t), newKey(t)
	start := func(state, about string) (*Prepared, error) {
		b.tells(about)
		p, _ := b.publisher()
		p.DryRun = true
		p.Client = New(Config{StateDir: state, Now: b.clock.Now})
		return p.PrepareInit(t.Context(), InitRequest{Repository: appName, Signers: []tuf.Signer{alice, bob},
			Root: tuf.RoleKeys{Keys: publicKeys(alice)}, Targets: tuf.RoleKeys{Keys: publicKeys(bob)}})
	}
	retired := `{"retired":"2030-01-01T00:00:00Z","floors":{"root":4,"targets":17,"snapshot":30,"timestamp":300}}`
	prepared, err := start(t.TempDir(), retired)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range prepared.Change.Files {
		if want := map[string]int64{tuf.RoleRoot: 5, tuf.RoleTargets: 18}[file.Role]; file.Version != want {
			t.Errorf("%s version %d, expected %d", file.Role, file.Version, want)
		}
	}
	if prepared.step.created.MinRoot != 5 {
		t.Errorf("the new anchor takes root version %d", prepared.step.created.MinRoot)
	}
	if _, err := start(t.TempDir(), `{"retired":"2030-01-01T00:00:00Z","floors":{"root":9223372036854775806}}`); err == nil {
		t.Error("a root at the largest version would be signed")
	}
	if _, err := start(t.TempDir(), `{"floors":{"root":4}}`); !errors.Is(err, ErrExists) {
		t.Errorf("a repository that is in use: %v, expected ErrExists", err)
	}
	b.trusts("1.0", "one")
	if _, err := start(b.config.StateDir, retired); !errors.Is(err, ErrRetired) {
		t.Errorf("on a machine that remembers it: %v, expected ErrRetired", err)
	}
}

package attack_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

const passphrase = "correct horse battery staple"

// A hostile server hands a publisher online keys that are its own, so that it could
// make snapshots and timestamps for ever. The signer that was pinned at login did not
// vouch for them, and they enter no root.
func TestOnlineKeysSwappedAtInit(t *testing.T) {
	s := newScene(t)
	q := s.publisher(other, newKeys(t, 1), newKeys(t, 1))
	var foreign api.OnlineKeysResponse
	q.must(q.client.Call(t.Context(), "POST", api.OnlineKeysPath(other), nil, &foreign))

	m := newMachine(t)
	secret := func(name, text string) string {
		path := filepath.Join(m.dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pass, token := secret("passphrase", passphrase), secret("token", s.h.AdminToken)
	for _, name := range []string{"root", "targets"} {
		m.must("key", "generate", "--file", "--name", name, "--role", name, "--passphrase-file", pass)
	}
	m.must("login", s.url, "--token-file", token, "--yes")

	evil := map[string]tuf.Signer{tuf.RoleSnapshot: harness.NewKey(t), tuf.RoleTimestamp: harness.NewKey(t), "identity": harness.NewKey(t)}
	swap := func(change func(keys []api.OnlineKey)) attack.Attack {
		return func(a *attack.Answer) {
			if !strings.HasPrefix(a.Path, "/v1/online-keys/") || a.Status != 200 {
				return
			}
			var answer api.OnlineKeysResponse
			if err := json.Unmarshal(a.Body, &answer); err != nil {
				t.Error(err)
			}
			change(answer.Keys)
			data, err := json.Marshal(answer)
			if err != nil {
				t.Error(err)
			}
			a.Body = data
		}
	}
	for claim, change := range map[string]func(keys []api.OnlineKey){
		"keys of its own, the signer's signatures": func(keys []api.OnlineKey) {
			for i := range keys {
				keys[i].Key = evil[keys[i].Role].Key()
			}
		},
		"keys of its own, signatures of its own": func(keys []api.OnlineKey) {
			for i := range keys {
				keys[i].Key = evil[keys[i].Role].Key()
				vouch(t, &keys[i], evil["identity"])
			}
		},
		"one key of its own": func(keys []api.OnlineKey) {
			keys[1].Key = evil[keys[1].Role].Key()
			vouch(t, &keys[1], evil["identity"])
		},
		"keys without a signature": func(keys []api.OnlineKey) {
			for i := range keys {
				keys[i].Signature = nil
			}
		},
		"the signer's keys for another repository": func(keys []api.OnlineKey) { copy(keys, foreign.Keys) },
		"the same, renamed": func(keys []api.OnlineKey) {
			copy(keys, foreign.Keys)
			for i := range keys {
				keys[i].Repository = app
			}
		},
		"each key in the other's role": func(keys []api.OnlineKey) {
			keys[0].Role, keys[1].Role = keys[1].Role, keys[0].Role
		},
	} {
		t.Run(claim, func(t *testing.T) {
			s.proxy.Set(swap(change))
			s.proxy.Requests()
			o := m.run("init", app, "--root-key", "root", "--targets-key", "targets", "--yes", "--passphrase-file", pass, "--output", "json")
			if o.exit == 0 || !strings.Contains(o.stderr, `"rule":"`+string(tuf.RuleOnlineKey)+`"`) {
				t.Errorf("exit status %d, expected a refusal by %q\n%s", o.exit, tuf.RuleOnlineKey, o.stderr)
			}
			for _, request := range s.proxy.Requests() {
				if strings.Contains(request, "/v1/publish/") {
					t.Errorf("something was published: %s", request)
				}
			}
		})
	}
	s.proxy.Set()
	m.must("init", app, "--root-key", "root", "--targets-key", "targets", "--yes", "--passphrase-file", pass)
}

// vouch signs an online key as if by is the signer's identity.
func vouch(t *testing.T, key *api.OnlineKey, by tuf.Signer) {
	t.Helper()
	payload, err := key.Payload()
	if err == nil {
		key.Signature, err = by.Sign(t.Context(), payload)
	}
	if err != nil {
		t.Error(err)
	}
}

package client

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// answers is a server that is honest about files, and answers all else with one body.
type answers struct {
	files  hostileFiles
	status int
	body   []byte
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Path, "/v1/") {
		return a.files.RoundTrip(r)
	}
	one := hostileFiles{name: r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], status: a.status, header: http.Header{"Content-Type": {api.TypeJSON}}, body: a.body}
	return one.RoundTrip(r)
}

// listening returns a publisher whose server is these answers.
func listening(t *testing.T, a *answers, anchor Anchor, identity *tuf.Key, now func() time.Time) *Publisher {
	t.Helper()
	return &Publisher{Client: New(Config{StateDir: memory(t), Now: now, Transport: a}), Anchor: &anchor,
		Server: Server{URL: anchor.Servers[0], Identity: identity, Token: "signet_x_y"}}
}

// FuzzHistory checks that a server, whatever it tells of the past, cannot make a key
// have signed what it did not sign, and that whoever reads it comes to an end.
func FuzzHistory(f *testing.F) {
	clock := newClock()
	repo := newRepo(f, appName, clock).start()
	signed := map[string]bool{} // payloads that the honest keys have signed
	var honest []string
	for _, s := range slices.Concat(repo.rootKeys, repo.targetsKeys) {
		honest = append(honest, s.Key().ID())
	}
	page := api.HistoryResponse{Repository: appName}
	note := func(generation int64, files ...tuf.File) {
		p := api.Publication{Generation: generation, Time: clock.Now(), Token: "t"}
		for _, file := range files {
			signed[payloadOf(f, file.Role, file.Bytes)] = true
			p.Files = append(p.Files, api.HistoryFile{Role: file.Role, Version: file.Version, Length: int64(len(file.Bytes)), SHA256: digestHex(file.Bytes), Content: file.Bytes})
		}
		page.Publications = append(page.Publications, p)
	}
	note(1, repo.rootFile, repo.roles[tuf.RoleTargets])
	repo.sign("1.0", digestOf("one"))
	note(2, repo.roles[tuf.RoleTargets])
	add := func(page api.HistoryResponse) {
		data, err := json.Marshal(page)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	add(page)
	hole := page
	hole.Publications = slices.Clone(page.Publications[1:])
	hole.Next = 2
	add(hole)
	bare := page
	bare.Publications = []api.Publication{{Generation: 7, Files: []api.HistoryFile{{Role: "targets", Version: 2}}}}
	add(bare)
	f.Add([]byte(`{"publications":[{"generation":1,"files":[{"role":"root","version":1,"content":"e30="}]}],"next":9223372036854775807}`))
	anchor := Anchor{Pattern: appName, Servers: []string{"https://server.example"}, RootKeys: []string{repo.rootKeys[0].Key().ID()}}
	server := &answers{files: hostileFiles{files: repo.served()}, status: http.StatusOK}
	f.Fuzz(func(t *testing.T, body []byte) {
		server.body = body
		p := listening(t, server, anchor, nil, clock.Now)
		_, err := p.History(context.Background(), appName, func(past *Past) error {
			for _, id := range past.Signers {
				var payload []byte
				var err error
				if past.Root != nil {
					payload, err = tuf.Payload(past.Root)
				} else {
					payload, err = tuf.Payload(past.Targets)
				}
				if err != nil || slices.Contains(honest, id) && !signed[string(payload)] {
					t.Errorf("%s is said to have signed %q, %v", id, payload, err)
				}
			}
			return nil
		})
		if tuf.IsRefusal(err) {
			t.Errorf("what a server says of the past is no verdict: %v", err)
		}
	})
}

func payloadOf(t testing.TB, role string, data []byte) string {
	t.Helper()
	var payload []byte
	var err error
	if role == tuf.RoleRoot {
		root, readErr := tuf.ReadRoot(data)
		if err = readErr; err == nil {
			payload, err = tuf.Payload(root)
		}
	} else {
		targets, readErr := tuf.ReadTargets(data)
		if err = readErr; err == nil {
			payload, err = tuf.Payload(targets)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(payload)
}

// FuzzServerAnswer checks that of whatever a server answers under /v1/ only names
// reach a person, no key but one that the signer vouched for gets near a root, and a
// proposal is what its ID stands for.
func FuzzServerAnswer(f *testing.F) {
	clock := newClock()
	repo := newRepo(f, appName, clock).start()
	identity := newKey(f)
	online := api.OnlineKeysResponse{}
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		key := api.OnlineKey{Repository: appName, Role: role, Key: newKey(f).Key()}
		payload, err := key.Payload()
		if err != nil {
			f.Fatal(err)
		}
		if key.Signature, err = tuf.SignPayload(f.Context(), payload, identity); err != nil {
			f.Fatal(err)
		}
		online.Keys = append(online.Keys, key)
	}
	data, err := json.Marshal(online)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(200), data)
	f.Add(uint16(200), []byte(`{"repositories":[{"repository":"registry.example.com/team/app"}],"next":"registry.example.com/team/app"}`))
	f.Add(uint16(200), []byte(`{"roles":[{"repository":"registry.example.com/team/app","role":"ci","version":3,"expires":"2030-01-01T00:00:00Z"}],"next":"x"}`))
	f.Add(uint16(200), []byte(`{"repository":"registry.example.com/team/app","id":"","files":[{"role":"targets","version":2,"content":"e30="}],"signatures":[null]}`))
	f.Add(uint16(200), []byte(`{"scopes":null,"limits":{"bytes":-1}}`))
	f.Add(uint16(409), []byte(`{"type":"urn:signet:problem:conflict","versions":{"targets":2}}`))
	anchor := Anchor{Pattern: appName, Servers: []string{"https://server.example"}, RootKeys: []string{repo.rootKeys[0].Key().ID()}}
	server := &answers{files: hostileFiles{files: repo.served()}}
	f.Fuzz(func(t *testing.T, status uint16, body []byte) {
		server.status, server.body = 100+int(status)%500, body
		p := listening(t, server, anchor, identity.Key(), clock.Now)
		ctx := context.Background()
		if list, err := p.Expiring(ctx, clock.Now()); err == nil {
			for _, e := range list {
				if tuf.CheckRepository(e.Repository) != nil || !tuf.IsTopLevel(e.Role) && tuf.CheckRoleName(e.Role) != nil {
					t.Errorf("%+v would reach a terminal", e)
				}
			}
		}
		if list, err := p.Repositories(ctx); err == nil {
			for _, r := range list {
				if tuf.CheckRepository(r.Repository) != nil {
					t.Errorf("%+v would reach a terminal", r)
				}
			}
		}
		keys, err := p.onlineKeys(ctx, appName)
		for role, key := range keys {
			if err == nil && !slices.ContainsFunc(online.Keys, func(k api.OnlineKey) bool { return k.Role == role && k.Key.Equal(key) }) {
				t.Errorf("the signer never vouched for the %s key %s", role, key.ID())
			}
		}
		const id = "00000000000000000000000000000000000000000000000000000000000000aa"
		if proposal, err := p.Proposal(ctx, appName, id); err == nil {
			t.Errorf("%+v has the ID %s", proposal, id)
		}
		_, _ = p.Proposals(ctx, appName)
		_, _ = p.Info(ctx)
		_, _ = p.Token(ctx)
	})
}

// FuzzFolder checks that whatever file stands in a folder that somebody carried here,
// a verifier says yes to the signed digest alone, and that the machine is none the
// worse with the honest folder.
func FuzzFolder(f *testing.F) {
	clock := newClock()
	repo := newRepo(f, appName, clock).start()
	repo.sign("1.0", digestOf("one"))
	names := []string{"1.root.json", "2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"}
	for i, name := range names {
		f.Add(uint8(i), repo.served()[name])
		f.Add(uint8(i), []byte("{}"))
	}
	anchor := Anchor{Pattern: appName, Servers: []string{"https://server.example"}, RootKeys: []string{repo.rootKeys[0].Key().ID()}}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		dir := memory(t)
		write := func(name string, data []byte) {
			path := filepath.Join(dir, filepath.FromSlash(appName), name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for name, honest := range repo.served() {
			write(name, honest)
		}
		changed := names[int(which)%len(names)]
		write(changed, data)
		c := New(Config{StateDir: memory(t), Now: clock.Now, Anchors: Anchors{anchor}})
		ask := func() (*Decision, error) {
			return c.Verify(context.Background(), tuf.Image{Repository: appName, Tag: "1.0"}, Options{From: dir})
		}
		d, err := ask()
		if d.Trusted != (err == nil) || d.Trusted && d.Digest != digestOf("one") {
			t.Fatalf("%+v, %v", d, err)
		}
		if honest, ok := repo.served()[changed]; ok {
			write(changed, honest)
		} else if err := os.Remove(filepath.Join(dir, filepath.FromSlash(appName), changed)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if d, err = ask(); err != nil || d.Digest != digestOf("one") {
			t.Fatalf("from the honest folder, after that: %+v, %v", d, err)
		}
	})
}

// FuzzReadIntent checks that an intent that is taken asks for one thing, of the
// repository that it is for, and asks for the same when it was written again.
func FuzzReadIntent(f *testing.F) {
	i := signIntent("2.0", "two")
	data, err := json.Marshal(i)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"renew":{"Repository":"` + appName + `"},"sign":{"Repository":"` + appName + `"}}`))
	f.Add([]byte(`{"changeKeys":{"Repository":"` + appName + `","Role":"root","Add":[null]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		i, err := ReadIntent(appName, data)
		if err != nil {
			return
		}
		kind := i.Kind()
		again, err := json.Marshal(i)
		if err != nil {
			t.Fatalf("%q is taken, and cannot be written: %v", data, err)
		}
		back, err := ReadIntent(appName, again)
		if err != nil || back.Kind() != kind || kind == "" {
			t.Fatalf("%q is written as %q: %v", data, again, err)
		}
	})
}

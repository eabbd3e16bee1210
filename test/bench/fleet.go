package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/tuf"
)

// fleetSize is how many repositories one command changes.
const fleetSize = 100

// Bars of one change in many repositories, for each of them: what one publish of a
// small repository may take (publishBars), since each is one publish.
const (
	barFleetWall = 87 // ms
	barFleetCPU  = 41 // ms
)

// fleet measures one command that replaces a signer's key in a hundred repositories,
// and one that rotates their root: the whole process, unlocking of key files and all.
func (b *bench) fleet() error {
	env := append(os.Environ(), "XDG_CONFIG_HOME="+filepath.Join(b.dir, "fleet", "config"), "XDG_STATE_HOME="+filepath.Join(b.dir, "fleet", "state"),
		"XDG_DATA_HOME="+filepath.Join(b.dir, "fleet", "data"))
	pass := filepath.Join(b.dir, "passphrase")
	if err := os.WriteFile(pass, []byte("correct horse battery\n"), 0o600); err != nil {
		return err
	}
	signet := func(args ...string) (cost, error) {
		return b.measure(env, append([]string{filepath.Join(b.bin, "signet")}, args...)...)
	}
	for _, name := range []string{"root", "root-2", "targets", "ci-1", "ci-2"} {
		if _, err := signet("key", "generate", "--file", "--name", name, "--passphrase-file", pass); err != nil {
			return err
		}
	}
	keys, err := b.unlock(filepath.Join(b.dir, "fleet", "data", "signet", "keys"), "root", "targets", "ci-1")
	if err != nil {
		return err
	}
	const pattern = "registry.example.com/fleet/*"
	ca := filepath.Join(b.dir, "signet-data", "ca.pem")
	for _, args := range [][]string{
		{"login", b.url, "--ca", ca, "--token-file", filepath.Join(b.dir, "signet-data", "admin-token"), "--yes"},
		{"trust", "add", pattern, "--root-key", keys[0].Key().ID(), "--server", b.url, "--ca", ca},
	} {
		if _, err := signet(args...); err != nil {
			return err
		}
	}
	one := func(key tuf.Signer) tuf.RoleKeys { return tuf.RoleKeys{Keys: []*tuf.Key{key.Key()}, Threshold: 1} }
	for i := range fleetSize {
		repository := strings.TrimSuffix(pattern, "*") + fmt.Sprintf("app-%03d", i)
		p := &client.Publisher{Client: client.New(client.Config{StateDir: filepath.Join(b.dir, "publisher")}), Server: b.account}
		done, err := p.Init(b.ctx, client.InitRequest{Repository: repository, Root: one(keys[0]), Targets: one(keys[1]), Signers: keys[:2]})
		if err != nil {
			return err
		}
		p.Client = client.New(client.Config{StateDir: filepath.Join(b.dir, "publisher"), Anchors: client.Anchors{*done.Anchor}})
		if _, err := p.AddSigner(b.ctx, client.AddSignerRequest{Repository: repository, Name: "ci", Keys: one(keys[2]), Tags: []string{"*"}, Signers: keys[1:]}); err != nil {
			return err
		}
		if _, err := p.Sign(b.ctx, client.SignRequest{Repository: repository, Role: "ci", Tags: tags(0, 10), Signers: keys[2:]}); err != nil {
			return err
		}
	}
	for _, change := range []struct {
		name string
		args []string
	}{
		{"replaced-signer", []string{"signer", "update", pattern, "ci", "--add", "ci-2", "--remove", "ci-1"}},
		{"root-rotation", []string{"rotate", pattern, "root", "--add", "root-2", "--remove", "root"}},
	} {
		before, err := cpuOf(b.server.Process.Pid)
		if err != nil {
			return err
		}
		c, err := signet(append(change.args, "--passphrase-file", pass, "--yes")...)
		if err != nil {
			return err
		}
		after, err := cpuOf(b.server.Process.Pid)
		if err != nil {
			return err
		}
		if want := fmt.Sprintf(": %d done, 0 unchanged, 0 failed, 0 left", fleetSize); !strings.Contains(c.Out, want) {
			return fmt.Errorf("%v printed %q, want %q in it", change.args, c.Out, want)
		}
		row("fleet/"+change.name+"-wall", ms(c.Wall/fleetSize), "ms", barFleetWall, false)
		row("fleet/"+change.name+"-client-cpu", ms(c.CPU/fleetSize), "ms", barFleetCPU, false)
		fmt.Printf("# %s in %d repositories: %s in all, %s ms CPU of the server for each, %s MiB\n", change.name, fleetSize, c.Wall.Round(10*time.Millisecond),
			number(ms((after-before)/fleetSize)), number(mib(c.Peak)))
	}
	return nil
}

// unlock opens key files.
func (b *bench) unlock(dir string, names ...string) ([]tuf.Signer, error) {
	var signers []tuf.Signer
	for _, name := range names {
		entry, err := keystore.Store{Dir: dir}.Find(name)
		if err != nil {
			return nil, err
		}
		key, err := entry.Unlock(b.ctx, passphrase{})
		if err != nil {
			return nil, err
		}
		signers = append(signers, key)
	}
	return signers, nil
}

// passphrase answers for key files.
type passphrase struct{}

func (passphrase) Secret(context.Context, string) ([]byte, error) {
	return []byte("correct horse battery"), nil
}

func (passphrase) Notice(string) {}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// serial of the YubiKey in the demo, and the file with the root of those who vouch
// for it: a real one's is Yubico's, which signet knows.
const (
	serial    = "31415926"
	authority = "attestation-root.pem"
)

const registryConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %s}
http: {addr: "127.0.0.1:%d"}
`

// startParts starts the registry, the server and the YubiKey.
func (d *demo) startParts(ctx context.Context) error {
	fmt.Fprintf(d.out, "Signet: which digest does this tag mean, and who says so?\n")
	d.title("Start a registry, the trust server and a YubiKey (virtual, behind the real pcscd)")
	if err := d.startRegistry(ctx); err != nil {
		return err
	}
	if err := d.startServer(ctx); err != nil {
		return err
	}
	if err := d.startYubiKey(ctx); err != nil {
		return err
	}
	d.image = d.registry + "/team/app"
	var err error
	if d.first, err = push(ctx, d.image+":1.0", "app 1.0"); err != nil {
		return fmt.Errorf("push %s:1.0: %w", d.image, err)
	}
	d.say("pushed   %s:1.0, an index for %d platforms: %s", d.image, len(platforms), short(d.first))
	return nil
}

func (d *demo) startRegistry(ctx context.Context) error {
	p, err := port(5000)
	if err != nil {
		return err
	}
	d.registry = "localhost:" + strconv.Itoa(p)
	config := filepath.Join(d.dir, "registry.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, registryConfig, filepath.Join(d.dir, "registry"), p), 0o600); err != nil {
		return err
	}
	registry, err := d.start("docker-registry", os.Environ(), "docker-registry", "serve", config)
	if err != nil {
		return err
	}
	err = d.await(ctx, registry, func() bool {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", p), time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	d.say("registry %s (Debian's docker-registry)", d.registry)
	return err
}

// startServer starts signet-server as its README says, but on free ports and in
// the demo's folder.
func (d *demo) startServer(ctx context.Context) error {
	again := d.server != ""
	if !again {
		p, err := port(4443)
		if err != nil {
			return err
		}
		d.server = "https://localhost:" + strconv.Itoa(p)
	}
	ready := filepath.Join(d.dir, "server.ready")
	if err := os.RemoveAll(ready); err != nil {
		return err
	}
	server, err := d.start("signet-server", os.Environ(), filepath.Join(d.bin, "signet-server"),
		"--listen", strings.TrimPrefix(d.server, "https://"), "--health-listen", "127.0.0.1:0", "--ready-file", ready)
	if err != nil {
		return err
	}
	if err := d.await(ctx, server, exists(ready)); err != nil {
		return err
	}
	if !again {
		d.say("server   %s (SQLite and keys in ./signet-data)", d.server)
	}
	return nil
}

func (d *demo) startYubiKey(ctx context.Context) error {
	ready := filepath.Join(d.dir, "yubikey.ready")
	stick, err := d.start("virtual-yubikey", os.Environ(), filepath.Join(d.bin, "virtual-yubikey"),
		"--serial", serial, "--firmware", "5.7.4", "--touch", "auto", "--ready-file", ready, "--attestation-root", filepath.Join(d.dir, authority))
	if err != nil {
		return err
	}
	if err := d.await(ctx, stick, exists(ready)); err != nil {
		return err
	}
	socket, err := os.ReadFile(ready)
	if err != nil {
		return err
	}
	d.say("YubiKey  serial %s, firmware 5.7.4; it is touched for you", serial)
	// The reader's own configuration and keys are left alone.
	d.env = append(os.Environ(),
		"PCSCLITE_CSOCK_NAME="+strings.TrimSpace(string(socket)),
		"XDG_CONFIG_HOME="+filepath.Join(d.dir, "config"),
		"XDG_STATE_HOME="+filepath.Join(d.dir, "state"),
		"XDG_DATA_HOME="+filepath.Join(d.dir, "data"),
	)
	return errors.Join(os.WriteFile(filepath.Join(d.dir, "pin"), []byte("864209\n"), 0o600), os.WriteFile(filepath.Join(d.dir, "puk"), []byte("75318642\n"), 0o600))
}

func exists(path string) func() bool {
	return func() bool {
		_, err := os.Stat(path)
		return err == nil
	}
}

// makeKeys sets the new YubiKey up, logs in and makes the keys of root and targets
// on it.
func (d *demo) makeKeys(ctx context.Context) error {
	d.title("As a publisher: set the new YubiKey up, and make two keys that never leave it")
	if _, err := d.signet(ctx, 0, "yubikey", "setup", "--new-pin-file", "pin", "--new-puk-file", "puk"); err != nil {
		return err
	}
	for _, role := range []string{"root", "targets"} {
		if _, err := d.signet(ctx, 0, "key", "generate", "--yubikey", "--role", role, "--name", "my-"+role, "--pin-file", "pin", "--attestation-root", authority); err != nil {
			return err
		}
	}
	if err := d.showAttestation(ctx, "my-root"); err != nil {
		return err
	}
	_, err := d.signet(ctx, 0, "login", d.server, "--ca", "signet-data/ca.pem", "--token-file", "signet-data/admin-token", "--yes")
	return err
}

// showAttestation shows in one line what a key's certificates prove.
func (d *demo) showAttestation(ctx context.Context, key string) error {
	out, err := d.quietly(ctx, "key", "attest", key, "--attestation-root", authority, "--output", "json")
	if err != nil {
		return err
	}
	var proof struct {
		Serial               uint32
		Firmware, PIN, Touch string
	}
	if err := json.Unmarshal([]byte(out), &proof); err != nil {
		return err
	}
	d.say("attested: %s was made on YubiKey %d, firmware %s, PIN %s, touch %s", key, proof.Serial, proof.Firmware, proof.PIN, proof.Touch)
	if strconv.FormatUint(uint64(proof.Serial), 10) != serial {
		return fmt.Errorf("the attestation names YubiKey %d, expected %s", proof.Serial, serial)
	}
	return nil
}

// createRepository creates the trust repository, and pins it for verifiers.
func (d *demo) createRepository(ctx context.Context) error {
	d.title("Create the trust repository of %s", d.image)
	_, err := d.signet(ctx, 0, "init", d.image, "--root-key", "my-root", "--targets-key", "my-targets", "--attestation-root", authority, "--pin-file", "pin", "--yes")
	return err
}

// signAndVerify is the main job.
func (d *demo) signAndVerify(ctx context.Context) error {
	d.title("Sign :1.0 with PIN and touch, and verify it as deploy tooling does")
	if _, err := d.signet(ctx, 0, "sign", d.image+":1.0", "--pin-file", "pin", "--yes"); err != nil {
		return err
	}
	pinned, err := d.signet(ctx, 0, "verify", "-q", d.image+":1.0")
	if err != nil {
		return err
	}
	if want := d.image + "@" + d.first; pinned != want {
		return fmt.Errorf("verify printed %q, expected %q", pinned, want)
	}
	d.say("That reference is what to pull: docker pull $(signet verify -q %s:1.0)", d.image)

	d.title("A day later: sign :1.1")
	d.say("(an attacker keeps a copy of the server as it is now)")
	if err := d.keepAside(ctx, "yesterday"); err != nil {
		return err
	}
	if _, err := push(ctx, d.image+":1.1", "app 1.1"); err != nil {
		return err
	}
	if _, err := d.signet(ctx, 0, "sign", d.image+":1.1", "--pin-file", "pin", "--yes"); err != nil {
		return err
	}
	_, err = d.signet(ctx, 0, "list", d.image)
	return err
}

// farewell says what was shown and what to read next.
func (d *demo) farewell() {
	fmt.Fprintf(d.out, "\nAll of this ran for real, in %s; nothing of it is left running.\n", time.Since(d.started).Round(100*time.Millisecond))
	fmt.Fprintf(d.out, `
Read next:
  README.md           the same with a server and a YubiKey of your own, in nine lines
  SECURITY.md         every attack, what it gains at most, and the test that shows it
  docs/deploy.md      the doors that refuse what is not signed: containerd, Kubernetes, CI
  docs/guard.md       the gate behind them, to try on one machine first
  docs/operating.md   running the server and the signer for real
`)
}

// short is a digest as people compare it.
func short(digest string) string {
	if len(digest) > 19 {
		return digest[:19] + "..."
	}
	return digest
}

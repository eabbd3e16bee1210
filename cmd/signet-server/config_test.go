package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/test/yubikey/card"
)

// call runs the command and returns its exit status and output.
func call(t *testing.T, environ []string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // for one that serves by mistake
	defer cancel()
	status = run(ctx, args, environ, &out, &errOut)
	return status, out.String(), errOut.String()
}

func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// attestationRoot is the PEM of somebody who attests, in place of Yubico.
func attestationRoot(t *testing.T) string {
	t.Helper()
	maker, err := card.NewMaker()
	if err != nil {
		t.Fatal(err)
	}
	return string(maker.RootPEM())
}

// A flag goes before the environment, which goes before the file, which goes
// before the default.
func TestPrecedence(t *testing.T) {
	file := write(t, "config.yaml", "rate-token: 3\nlisten: file:1\nreads: token\n", 0o600)
	status, out, stderr := call(t, []string{"SIGNET_SERVER_CONFIG=" + file, "SIGNET_SERVER_RATE_TOKEN=2", "SIGNET_SERVER_LISTEN=env:1"},
		"config", "--rate-token", "1")
	if status != 0 {
		t.Fatal(stderr)
	}
	for _, line := range []string{"rate-token: 1\n", "listen: \"env:1\"\n", "reads: \"token\"\n", "timestamp-life: \"1d\"\n"} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
}

// What config prints is a configuration file that gives the same.
func TestConfigPrintsAFile(t *testing.T) {
	roots := write(t, "roots.pem", attestationRoot(t), 0o644)
	file := write(t, "config.yaml", `
listen: localhost:0
tls-name: [signet.example, "10.0.0.1"]
body-timeout: 90s
repositories:
  - pattern: registry.example/team/**
    root-keys: ["`+strings.Repeat("ab", 32)+`"]
    max-root-life: 30d
  - pattern: registry.example/payments/**
    hardware: {touch: true, pin: false, min-firmware: 5.7, signers: true, roots: `+roots+`}
  - pattern: registry.example/**
    hardware: {}
`, 0o600)
	status, first, stderr := call(t, nil, "config", "--config", file)
	if status != 0 {
		t.Fatal(stderr)
	}
	status, second, stderr := call(t, nil, "config", "--config", write(t, "again.yaml", first, 0o600))
	if status != 0 {
		t.Fatal(stderr)
	}
	if first != second {
		t.Errorf("printed\n%s\nread back\n%s", first, second)
	}
	if demand := `hardware: {touch: true, pin: false, signers: true, min-firmware: "5.7.0", roots: "` + roots + `"}`; !strings.Contains(first, demand) {
		t.Errorf("no %s in\n%s", demand, first)
	}
}

func TestConfigMistakes(t *testing.T) {
	file := func(text string) []string {
		return []string{"config", "--config", write(t, "config.yaml", text, 0o600)}
	}
	for name, c := range map[string]struct {
		args, environ []string
		says          string
	}{
		"unknown key":                {file("listen: localhost:0\nlisten_adress: x\n"), nil, `config.yaml:2: unknown key "listen_adress"`},
		"underscores":                {file("rate_token: 1\n"), nil, "did you mean rate-token?"},
		"unknown key in a rule":      {file("repositories:\n  - pattern: a.example/b\n    keys: []\n"), nil, `config.yaml:3: unknown key "keys"`},
		"a key twice":                {file("reads: open\nreads: token\n"), nil, `config.yaml:2: the key "reads" stands twice`},
		"not a number":               {file("max-requests: many\n"), nil, "config.yaml:1: max-requests"},
		"not a pattern":              {file("repositories:\n  - pattern: 'Team/**'\n"), nil, "config.yaml:2"},
		"not a key ID":               {file("repositories:\n  - pattern: a.example/b\n    root-keys: [alice]\n"), nil, `"alice" is not a key ID`},
		"nobody may":                 {file("repositories:\n  - pattern: a.example/b\n    root-keys: []\n"), nil, "would let nobody"},
		"a rule without a pattern":   {file("repositories:\n  - max-root-life: 1d\n"), nil, "without a pattern"},
		"a list":                     {file("- listen\n"), nil, "expected keys and values"},
		"an unknown demand":          {file("repositories:\n  - pattern: a.example/b\n    hardware: {tuch: true}\n"), nil, `config.yaml:3: unknown key "tuch" in hardware`},
		"a demand of a word":         {file("repositories:\n  - pattern: a.example/b\n    hardware: true\n"), nil, "config.yaml:3: expected keys and values"},
		"neither true nor false":     {file("repositories:\n  - pattern: a.example/b\n    hardware: {touch: maybe}\n"), nil, `hardware: touch: "maybe"`},
		"no firmware":                {file("repositories:\n  - pattern: a.example/b\n    hardware: {min-firmware: new}\n"), nil, "hardware: min-firmware"},
		"no roots":                   {file("repositories:\n  - pattern: a.example/b\n    hardware: {roots: /nowhere/roots.pem}\n"), nil, "hardware: roots: open /nowhere/roots.pem"},
		"no certificates":            {file("repositories:\n  - pattern: a.example/b\n    hardware: {roots: " + write(t, "roots", "hello", 0o644) + "}\n"), nil, "no PEM certificate"},
		"no value":                   {file("listen:\n"), nil, "config.yaml:1: expected one value"},
		"no file":                    {[]string{"config", "--config", "/nowhere/config.yaml"}, nil, "configuration"},
		"unknown variable":           {[]string{"config"}, []string{"SIGNET_SERVER_LISTN=x"}, "unknown variable SIGNET_SERVER_LISTN"},
		"bad variable":               {[]string{"config"}, []string{"SIGNET_SERVER_MAX_REQUESTS=x"}, "SIGNET_SERVER_MAX_REQUESTS"},
		"unknown flag":               {[]string{"--nonsense"}, nil, "unknown flag: --nonsense"},
		"unknown command":            {[]string{"serv"}, nil, `"serv"`},
		"half a certificate":         {[]string{"config", "--tls-cert", "x"}, nil, "--tls-cert and --tls-key"},
		"a signer without TLS":       {[]string{"config", "--signer", "https://signer:4444"}, nil, "mutual TLS"},
		"another signer's option":    {[]string{"config", "--signer", "https://signer:4444", "--signer-cert", "a", "--signer-key", "b", "--signer-ca", "c", "--adopt-existing"}, nil, "start signet-signer with it"},
		"two databases":              {[]string{"config", "--database", "a", "--database-file", "b"}, nil, "give one of them"},
		"a negative life":            {[]string{"config", "--timestamp-life", "-1d"}, nil, "not above zero"},
		"a snapshot that dies first": {[]string{"config", "--snapshot-life", "1h"}, nil, "shorter"},
		"reads by nobody":            {[]string{"config", "--reads", "closed"}, nil, "expected open or token"},
	} {
		status, _, stderr := call(t, c.environ, c.args...)
		if status != 2 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, expected 2 and %q in %q", name, status, c.says, stderr)
		}
	}
}

func TestConfigShowsNoSecrets(t *testing.T) {
	for _, database := range []string{"postgres://signet:hunter2@db.example/signet", "postgres://db.example/signet?user=signet&password=hunter2"} {
		status, out, stderr := call(t, nil, "config", "--database", database)
		if status != 0 || strings.Contains(out+stderr, "hunter2") || !strings.Contains(out, "db.example") {
			t.Errorf("exit %d: %s%s", status, out, stderr)
		}
	}
}

func TestWrongPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it has other permissions
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"data folder": {"--data", open, "token", "list"},
		"database":    {"--data", filepath.Join(t.TempDir(), "data"), "--database-file", write(t, "url", "sqlite::memory:", 0o644), "token", "list"},
		"TLS key":     {"--data", filepath.Join(t.TempDir(), "data"), "--listen", "localhost:0", "--health-listen", "off", "--tls-cert", write(t, "cert.pem", "", 0o644), "--tls-key", write(t, "key.pem", "", 0o604)},
	} {
		status, _, stderr := call(t, nil, args...)
		if status != 1 || !strings.Contains(stderr, "chmod") {
			t.Errorf("%s that others can read: exit %d %q, expected 1 and what to do", name, status, stderr)
		}
	}
}

func TestTokenCommands(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	// In the wrong folder nothing is made: a token for a database of its own would
	// work nowhere.
	if status, _, stderr := call(t, nil, "--data", data, "token", "list"); status != 1 || !strings.Contains(stderr, "no database") {
		t.Errorf("without a database: exit %d %q", status, stderr)
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("token list made %s: %v", data, err)
	}
	if status, _, stderr := call(t, nil, "--data", data, "migrate"); status != 0 {
		t.Fatalf("migrate: exit %d %q", status, stderr)
	}
	status, out, stderr := call(t, nil, "--data", data, "token", "create", "--name", "alice", "--scope", "publish,read", "--repository", "registry.example/team/*", "--expires", "30d")
	secret := strings.TrimSpace(out)
	if status != 0 || !regexp.MustCompile(`^signet_[a-z2-7]{16}_[a-z2-7]{52}$`).MatchString(secret) {
		t.Fatalf("exit %d, stdout %q, stderr %q", status, out, stderr)
	}
	if strings.Contains(stderr, secret[24:]) {
		t.Error("stderr repeats the secret")
	}
	file := filepath.Join(t.TempDir(), "token")
	if status, out, stderr = call(t, nil, "--data", data, "token", "create", "--scope", "create", "--repository", "**", "--out", file); status != 0 || out != "" {
		t.Fatalf("exit %d %q %q", status, out, stderr)
	}
	if info, err := os.Stat(file); err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o600) {
		t.Errorf("token file: %v %v", info.Mode(), err)
	}
	if status, _, stderr = call(t, nil, "--data", data, "token", "create", "--scope", "create", "--repository", "**", "--out", file); status != 1 {
		t.Errorf("an existing file was written over: %q", stderr)
	}
	id := strings.Split(secret, "_")[1]
	if status, _, stderr = call(t, nil, "--data", data, "token", "revoke", id); status != 0 {
		t.Fatal(stderr)
	}
	_, out, _ = call(t, nil, "--data", data, "token", "list")
	if !strings.Contains(out, "revoked") || !strings.Contains(out, "alice") || strings.Contains(out, secret[24:]) || strings.Count(out, "\n") != 3 {
		t.Errorf("list:\n%s", out)
	}
	for name, args := range map[string][]string{
		"no scope":      {"create", "--repository", "**"},
		"no repository": {"create", "--scope", "read"},
		"wrong scope":   {"create", "--scope", "all", "--repository", "**"},
		"wrong pattern": {"create", "--scope", "read", "--repository", "Team"},
		"wrong expiry":  {"create", "--scope", "read", "--repository", "**", "--expires", "soon"},
		"past expiry":   {"create", "--scope", "read", "--repository", "**", "--expires", "2001-01-01"},
		"whole token":   {"revoke", secret},
		"nothing":       {"revoke"},
	} {
		if status, _, stderr := call(t, nil, append([]string{"--data", data, "token"}, args...)...); status != 2 || strings.Contains(stderr, secret) {
			t.Errorf("%s: exit %d %q", name, status, stderr)
		}
	}
	if status, _, _ := call(t, nil, "--data", data, "token", "revoke", strings.Repeat("a", 16)); status != 1 {
		t.Errorf("revoke of what is not there: exit %d", status)
	}
}

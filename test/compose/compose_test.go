// Package compose checks the form of docker-compose.yml and the Dockerfile: that
// nothing of the hardening that the README promises was lost.
package compose

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composeFile is what the checks read of docker-compose.yml.
type composeFile struct {
	Services map[string]service           `yaml:"services"`
	Networks map[string]network           `yaml:"networks"`
	Secrets  map[string]map[string]string `yaml:"secrets"`
}

type network struct {
	Internal bool `yaml:"internal"`
}

type service struct {
	User        string            `yaml:"user"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	CapAdd      []string          `yaml:"cap_add"`
	Privileged  bool              `yaml:"privileged"`
	SecurityOpt []string          `yaml:"security_opt"`
	Networks    []string          `yaml:"networks"`
	NetworkMode string            `yaml:"network_mode"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	Tmpfs       []string          `yaml:"tmpfs"`
	Secrets     []string          `yaml:"secrets"`
	Environment map[string]string `yaml:"environment"`
	MemLimit    string            `yaml:"mem_limit"`
	PidsLimit   int               `yaml:"pids_limit"`
	Healthcheck struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
	Build struct {
		Target string `yaml:"target"`
	} `yaml:"build"`
}

func read(t *testing.T) composeFile {
	t.Helper()
	data, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := yaml.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryServiceIsHardened(t *testing.T) {
	c := read(t)
	if got := len(c.Services); got != 3 {
		t.Fatalf("%d services, want server, signer and postgres", got)
	}
	users := map[string]string{}
	for name, s := range c.Services {
		if uid, _, _ := strings.Cut(s.User, ":"); uid == "" || uid == "0" || uid == "root" {
			t.Errorf("%s runs as %q", name, s.User)
		}
		if other, ok := users[s.User]; ok {
			t.Errorf("%s and %s share the user %s", name, other, s.User)
		}
		users[s.User] = name
		if !s.ReadOnly || s.Privileged || s.NetworkMode != "" || len(s.CapAdd) > 0 {
			t.Errorf("%s: root not read-only, privileged, on the host's network, or with added capabilities", name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) {
			t.Errorf("%s drops %v, want ALL", name, s.CapDrop)
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may gain privileges", name)
		}
		if s.MemLimit == "" || s.PidsLimit == 0 || len(s.Healthcheck.Test) == 0 {
			t.Errorf("%s lacks a memory limit, a limit of processes or a health check", name)
		}
		for _, v := range append(slices.Clone(s.Volumes), s.Tmpfs...) {
			if strings.Contains(v, "docker.sock") || strings.HasPrefix(v, "/:") {
				t.Errorf("%s mounts %s", name, v)
			}
		}
		for _, tmp := range s.Tmpfs {
			if !strings.Contains(tmp, "noexec") || !strings.Contains(tmp, "size=") {
				t.Errorf("%s: tmpfs %s may run programs or grow without end", name, tmp)
			}
		}
	}
}

func TestOnlyTheServerIsReachedAndReaches(t *testing.T) {
	c := read(t)
	for name, s := range c.Services {
		if name != "server" && len(s.Ports) > 0 {
			t.Errorf("%s is published: %v", name, s.Ports)
		}
		for _, n := range s.Networks {
			if name != "server" && !c.Networks[n].Internal {
				t.Errorf("%s is on %s, which is not internal", name, n)
			}
		}
	}
	for _, n := range c.Services["signer"].Networks {
		if slices.Contains(c.Services["postgres"].Networks, n) {
			t.Errorf("signer and postgres share the network %s", n)
		}
	}
	if !strings.Contains(c.Services["server"].Ports[0], "127.0.0.1") {
		t.Errorf("by default the server is published beyond this machine: %v", c.Services["server"].Ports)
	}
}

func TestSecretsAreFiles(t *testing.T) {
	c := read(t)
	for name, s := range c.Services {
		for variable, value := range s.Environment {
			secret := strings.Contains(variable, "PASSWORD") || strings.Contains(variable, "TOKEN") || strings.Contains(variable, "KEY")
			if secret && !strings.HasPrefix(value, "/run/secrets/") {
				t.Errorf("%s: %s holds a secret in the environment", name, variable)
			}
		}
		for _, secret := range s.Secrets {
			if c.Secrets[secret]["file"] == "" {
				t.Errorf("%s uses the secret %s, which is no file", name, secret)
			}
		}
	}
	// What each part must not see, whatever else changes.
	for name, secrets := range map[string][]string{
		"server":   {"key-encryption-key", "signer-key", "postgres-key"},
		"signer":   {"database-url", "server-key", "signer-client-key"},
		"postgres": {"database-url", "key-encryption-key", "server-key"},
	} {
		for _, secret := range secrets {
			if slices.Contains(c.Services[name].Secrets, secret) {
				t.Errorf("%s sees %s", name, secret)
			}
		}
	}
}

func TestDockerfileEndsAsNonRootOnScratch(t *testing.T) {
	f, err := os.Open("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stages, users, stage := map[string]string{}, map[string]string{}, ""
	for scan := bufio.NewScanner(f); scan.Scan(); {
		fields := strings.Fields(scan.Text())
		switch {
		case len(fields) == 4 && fields[0] == "FROM":
			stage = fields[3]
			stages[stage] = fields[1]
		case len(fields) == 2 && fields[0] == "USER":
			users[stage] = fields[1]
		}
	}
	for name, s := range read(t).Services {
		if s.Build.Target == "" {
			continue
		}
		if stages[s.Build.Target] != "scratch" || users[s.Build.Target] != s.User {
			t.Errorf("%s: built from %q as user %q, want scratch and %q", name, stages[s.Build.Target], users[s.Build.Target], s.User)
		}
	}
}

// build builds one of the programs and returns its path.
func build(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), program)
	cmd := exec.Command("go", "build", "-o", path, "./cmd/"+program)
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// TestProgramsTakeTheMountedConfigurations lets the real programs read what the
// compose file mounts: an unknown key would end them.
func TestProgramsTakeTheMountedConfigurations(t *testing.T) {
	for _, program := range []string{"signet-server", "signet-signer"} {
		config := "../../deploy/" + strings.TrimPrefix(program, "signet-") + ".yaml"
		cmd := exec.Command(build(t, program), "health", "--config", config)
		out, err := cmd.CombinedOutput()
		// Nothing listens there, so the health check fails; but it got that far.
		if err == nil || !strings.Contains(string(out), "127.0.0.1:44") {
			t.Errorf("%s health --config %s: %v\n%s", program, config, err, out)
		}
	}
}

// TestSecretsScriptMakesEverySecret runs scripts/secrets as docs/operating.md says
// and looks for each file that the compose file mounts.
func TestSecretsScriptMakesEverySecret(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "deploy", "secrets")
	cmd := exec.Command("../../scripts/secrets", "signet.example.com")
	cmd.Env = append(os.Environ(), "SIGNET_SIGNER="+build(t, "signet-signer"), "SIGNET_SECRETS="+folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, secret := range read(t).Secrets {
		file := secret["file"]
		if made, ok := strings.CutPrefix(file, "deploy/secrets/"); ok {
			file = filepath.Join(folder, made)
		} else {
			file = filepath.Join("../..", file)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Errorf("secret %s: %v", name, err)
			continue
		}
		isKey := strings.HasSuffix(file, "key.pem") || strings.HasSuffix(file, "password") || strings.HasSuffix(file, "url") || strings.HasSuffix(file, "encryption-key")
		if isKey && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("secret %s may be read by others: %v", name, info.Mode())
		}
	}
	again := exec.Command(cmd.Path)
	again.Env = cmd.Env
	if out, err := again.CombinedOutput(); err == nil {
		t.Errorf("a second run overwrote the secrets:\n%s", out)
	}
}

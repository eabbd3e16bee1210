package nodecheck

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes files below a new folder, by their paths. Those below bin are programs.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(name, "bin/") || name == "kubectl" || name == "containerd" {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(data, "DIR", dir)), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// statuses lists the findings as "check: status".
func statuses(t *testing.T, c Config) map[string]Finding {
	t.Helper()
	found, err := Check(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Finding{}
	for _, f := range found {
		if f.Status != OK && f.Advice == "" {
			t.Errorf("%s has no advice: %s", f.Check, f.Detail)
		}
		if other, ok := all[f.Check]; ok && other.Status != OK {
			continue
		}
		all[f.Check] = f
	}
	return all
}

func TestHosts(t *testing.T) {
	gate := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodHead || r.URL.Query().Get("ns") != "registry.example.com:5000" && r.URL.Query().Get("ns") != "_default" || !strings.HasPrefix(r.URL.Path, "/v2/signet-doctor/never-signed/manifests/probe-") {
				t.Errorf("asked %s %s", r.Method, r.URL)
			}
			if status == 302 {
				w.Header().Set("Location", "https://elsewhere.example/")
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	refuses, final, lets, redirects, next := gate(403), gate(300), gate(200), gate(302), gate(404)
	const server = "server = \"https://registry.example.com:5000\"\ncapabilities = [\"pull\"]\n"
	host := func(url, more string) string {
		return fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n%s", url, more)
	}
	for _, c := range []struct {
		name, file string
		want       Status
	}{
		{"it answers as a registry that hides what it has", server + host(refuses, ""), Warning},
		{"it answers as a registry that has no such image", server + host(next, ""), Warning},
		{"such a registry stands ahead of the gate", server + host(next, "") + host(final, ""), Warning},
		{"one that is down stands ahead of the gate", server + host("http://localhost:1", "") + host(final, ""), Warning},
		{"the gate lets it through", server + host(lets, ""), Trouble},
		{"a mirror that may resolve stands behind it", server + host(next, "") + host(lets, ""), Trouble},
		{"a mirror that may resolve is asked after a refusal", server + host(refuses, "") + host(lets, ""), Trouble},
		{"a mirror that may resolve is asked when the gate is down", server + host("http://localhost:1", "") + host(lets, ""), Trouble},
		{"a redirect is followed", server + host(redirects, ""), Trouble},
		{"the registry may resolve", "server = \"https://registry.example.com:5000\"\n" + host(refuses, ""), Trouble},
		{"the registry may resolve, and the gate's word is final", "server = \"https://registry.example.com:5000\"\n" + host(final, ""), Warning},
		{"the registry may resolve, and the gate is down", "server = \"https://registry.example.com:5000\"\n" + host("http://localhost:1", ""), Trouble},
		{"the gate's word is final", server + host(final, ""), OK},
		{"the gate's word is final ahead of a mirror", server + host(final, "") + host(lets, ""), OK},
		{"no server is named", "capabilities = [\"pull\"]\n" + host(refuses, ""), Trouble},
		{"it is garbled", server + "[host.\n", Trouble},
		{"a capability that is not known garbles it", server + "[host.\"http://localhost\"]\ncapabilities = [\"all\"]\n", Trouble},
		{"the gate is down", server + host("http://localhost:1", ""), Warning},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, map[string]string{"certs.d/registry.example.com_5000_/hosts.toml": c.file})
			found := statuses(t, Config{File: filepath.Join(dir, "none.toml"), HostsDirs: []string{filepath.Join(dir, "certs.d")}})
			if f := found["hosts.toml for registry.example.com:5000"]; f.Status != c.want {
				t.Errorf("got %q (%s), expected %q", f.Status, f.Detail, c.want)
			}
		})
	}
	t.Run("a registry of an anchor without one", func(t *testing.T) {
		dir := write(t, map[string]string{"certs.d/registry.example.com_5000_/hosts.toml": server + host(refuses, "")})
		found := statuses(t, Config{HostsDirs: []string{filepath.Join(dir, "certs.d")}, Registries: []string{"registry.example.com:5000", "other.example.com"}})
		if f := found["hosts.toml for other.example.com"]; f.Status != Trouble {
			t.Errorf("got %+v", f)
		}
	})
	for _, c := range []struct {
		name  string
		files map[string]string // in a/ and b/, which are searched in this order
		want  Status
	}{
		{"certificates alone hide the default", map[string]string{"a/_default/hosts.toml": server + host(final, ""), "a/registry.example.com_5000_/ca.crt": ""}, Trouble},
		{"an empty file hides the default", map[string]string{"a/_default/hosts.toml": server + host(final, ""), "a/registry.example.com_5000_/hosts.toml": ""}, Trouble},
		{"its own server alone", map[string]string{"a/other.example.com/hosts.toml": server + host("http://localhost:1", ""), "a/registry.example.com_5000_/hosts.toml": "server = \"https://registry.example.com:5000\"\n"}, Trouble},
		{"the default of the first folder goes before the second", map[string]string{"a/_default/hosts.toml": server + host(lets, ""), "b/registry.example.com_5000_/hosts.toml": server + host(final, "")}, Trouble},
		{"the name with underscores goes first", map[string]string{"a/registry.example.com:5000/hosts.toml": server + host(final, ""), "a/registry.example.com_5000_/hosts.toml": server + host(lets, "")}, Trouble},
		{"the default's gate is asked for the registry", map[string]string{"a/_default/hosts.toml": server + host(final, "")}, OK},
		{"a ca that is no text garbles it", map[string]string{"a/registry.example.com_5000_/hosts.toml": server + host(final, "  ca = 5\n")}, Trouble},
		{"a pair of three garbles it", map[string]string{"a/registry.example.com_5000_/hosts.toml": server + host(final, "  client = [[\"a\", \"b\", \"c\"]]\n")}, Trouble},
		{"a header that is no text garbles it", map[string]string{"a/registry.example.com_5000_/hosts.toml": server + host(final, "  header = {x = 1}\n")}, Trouble},
		{"a time that is none garbles it", map[string]string{"a/registry.example.com_5000_/hosts.toml": server + host(final, "  dial_timeout = \"soon\"\n")}, Trouble},
		{"an older containerd knows no referrers", map[string]string{"a/registry.example.com_5000_/hosts.toml": server + strings.Replace(host(final, ""), "resolve\"", "resolve\", \"referrers\"", 1)}, Warning},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, c.files)
			const registry = "registry.example.com:5000"
			found := statuses(t, Config{File: filepath.Join(dir, "none.toml"), HostsDirs: []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}, Registries: []string{registry}})
			if f := found["hosts.toml for "+registry]; f.Status != c.want {
				t.Errorf("got %q (%s), expected %q", f.Status, f.Detail, c.want)
			}
		})
	}
	t.Run("no door at all", func(t *testing.T) {
		found := statuses(t, Config{File: filepath.Join(t.TempDir(), "none"), HostsDirs: []string{t.TempDir()}})
		if f := found["doors"]; f.Status != Trouble {
			t.Errorf("got %+v", found)
		}
		away := filepath.Join(t.TempDir(), "away")
		found = statuses(t, Config{File: filepath.Join(t.TempDir(), "none"), HostsDirs: []string{away}})
		if f := found["doors"]; f.Status != Trouble || !strings.Contains(f.Detail, "there is no folder "+away) {
			t.Errorf("a folder that is not there: %+v", found)
		}
	})
}

func TestVerifiers(t *testing.T) {
	const (
		allow  = "#!/bin/sh\nexit 0\n"
		refuse = "#!/bin/sh\n[ \"$1\" = -name ] && [ \"$3\" = -digest ] && [ \"$5\" = -stdin-media-type ] || exit 0\ncat >/dev/null\necho not signed\nexit 1\n"
		on     = "[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = 'DIR/bin'\nmax_verifiers = 10\n"
		cri    = "[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = false\ndisable_snapshot_annotations = true\nmax_concurrent_downloads = 3\n"
	)
	for _, c := range []struct {
		name, config string
		bin          map[string]string
		verifiers    Status
		kubernetes   Status // "" where it is not told
	}{
		{"it refuses", on + cri, map[string]string{"a": refuse}, OK, OK},
		{"the folder is empty", on + cri, nil, Trouble, ""},
		{"it allows", on + cri, map[string]string{"a": allow}, Trouble, ""},
		{"one of two refuses", on + cri, map[string]string{"a": allow, "b": refuse}, OK, OK},
		{"more than are run", strings.Replace(on, "10", "1", 1) + cri, map[string]string{"a": allow, "b": refuse}, Trouble, ""},
		{"none is run", strings.Replace(on, "10", "0", 1) + cri, map[string]string{"a": refuse}, Trouble, ""},
		{"the plugin is switched off", "disabled_plugins = ['io.containerd.image-verifier.v1.bindir']\n" + on, map[string]string{"a": refuse}, Warning, ""},
		{"the plugin is switched off, and so not dumped", "disabled_plugins = ['io.containerd.image-verifier.v1.bindir']\n", map[string]string{"a": refuse}, Warning, ""},
		{"Kubernetes pulls past it", on + strings.Replace(cri, "use_local_image_pull = false", "use_local_image_pull = true", 1), map[string]string{"a": refuse}, OK, Trouble},
		{"a setting makes Kubernetes pull past it", on + strings.Replace(cri, "downloads = 3", "downloads = 5", 1), map[string]string{"a": refuse}, OK, Trouble},
		{"annotations make Kubernetes pull past it", on + strings.Replace(cri, "annotations = true", "annotations = false", 1), map[string]string{"a": refuse}, OK, Trouble},
		{"mirrors make Kubernetes pull past it", on + cri + "[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'docker.io']\nendpoint = ['https://m']\n", map[string]string{"a": refuse}, OK, Trouble},
		{"an older containerd's Kubernetes asks none", on + "[plugins.'io.containerd.cri.v1.images']\n", map[string]string{"a": refuse}, OK, Trouble},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{"config.toml": c.config, "containerd": "#!/bin/sh\ncat DIR/config.toml\n"}
			for name, text := range c.bin {
				files["bin/"+name] = text
			}
			dir := write(t, files)
			found := statuses(t, Config{Containerd: filepath.Join(dir, "containerd"), File: filepath.Join(dir, "config.toml"), HostsDirs: []string{dir}})
			if f := found["image verifiers"]; f.Status != c.verifiers {
				t.Errorf("verifiers: got %q (%s), expected %q", f.Status, f.Detail, c.verifiers)
			}
			if f := found["image verifiers and Kubernetes"]; f.Status != c.kubernetes {
				t.Errorf("Kubernetes: got %q (%s), expected %q", f.Status, f.Detail, c.kubernetes)
			}
		})
	}
}

// TestVerifiersWithoutAFolder holds the check to the folder that containerd looks at: ""
// is none, and not the one it has by default.
func TestVerifiersWithoutAFolder(t *testing.T) {
	dir := write(t, map[string]string{"config.toml": "[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = ''\n", "containerd": "#!/bin/sh\ncat DIR/config.toml\n"})
	found := statuses(t, Config{Containerd: filepath.Join(dir, "containerd"), File: filepath.Join(dir, "config.toml"), HostsDirs: []string{dir}})
	if f := found["image verifiers"]; f.Status != Trouble || strings.Contains(f.Detail, defaultBin) {
		t.Errorf("got %q (%s), expected trouble with no folder", f.Status, f.Detail)
	}
}

// TestSettingsThatAreGarbled says what is wrong with what containerd told.
func TestSettingsThatAreGarbled(t *testing.T) {
	dir := write(t, map[string]string{"config.toml": "", "containerd": "#!/bin/sh\necho a =\n"})
	found := statuses(t, Config{Containerd: filepath.Join(dir, "containerd"), File: filepath.Join(dir, "config.toml"), HostsDirs: []string{dir}})
	if f := found["containerd"]; f.Status != Warning || !strings.Contains(f.Detail, "toml: ") {
		t.Errorf("got %q (%s), expected a warning that says why", f.Status, f.Detail)
	}
}

// TestSettingsThatAreNotKnown says no ok where only containerd itself could tell.
func TestSettingsThatAreNotKnown(t *testing.T) {
	const (
		refuse = "#!/bin/sh\necho not signed\nexit 1\n"
		bin    = "[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = 'DIR/bin'\n"
	)
	for _, c := range []struct {
		name, config string
		checks       []string
	}{
		{"further files", "imports = ['/etc/containerd/conf.d/*.toml']\n" + bin, []string{"containerd", "image verifiers and Kubernetes"}},
		// containerd takes in conf.d without being told to, since 2.2.
		{"a file that says it", bin + "[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = false\n", []string{"image verifiers and Kubernetes"}},
		{"two folders of hosts.toml", bin + "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = 'DIR/certs.d:DIR/more'\n", []string{"hosts.toml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, map[string]string{"bin/a": refuse, "config.toml": c.config, "certs.d/r.example.com/hosts.toml": ""})
			found := statuses(t, Config{File: filepath.Join(dir, "config.toml")})
			for _, check := range c.checks {
				if f := found[check]; f.Status != Warning {
					t.Errorf("%s: got %q (%s), expected a warning", check, f.Status, f.Detail)
				}
			}
		})
	}
}

// TestConfigPath looks at where containerd's CRI reads hosts.toml, and its transfer
// service does not.
func TestConfigPath(t *testing.T) {
	const (
		cri      = "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '%s'\n"
		asks     = "[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = false\n"
		itself   = "[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\n"
		old      = "[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = '%s'\n"
		transfer = "[plugins.'io.containerd.transfer.v1.local']\nconfig_path = '%s'\n"
		garbled  = "[host.\n"
		none     = "server = \"https://r.example.com\"\ncapabilities = [\"pull\"]\n[host.\"https://r.example.com\"]\ncapabilities = [\"pull\"]\n"
	)
	for _, c := range []struct {
		name, config, check string
		want                Status
	}{
		{"both alike", fmt.Sprintf(cri, "DIR/good") + fmt.Sprintf(transfer, "DIR/good"), "hosts.toml for r.example.com", OK},
		{"the CRI's is garbled", fmt.Sprintf(cri, "DIR/bad") + fmt.Sprintf(transfer, "DIR/good"), "hosts.toml for r.example.com", Trouble},
		{"the transfer service's, which nobody reads, is garbled", fmt.Sprintf(cri, "DIR/good") + fmt.Sprintf(transfer, "DIR/bad"), "hosts.toml for r.example.com", OK},
		{"the transfer service's is another", fmt.Sprintf(cri, "DIR/good") + fmt.Sprintf(transfer, "DIR/bad"), "hosts.toml", Warning},
		{"the transfer service's alone", "disabled_plugins = ['io.containerd.cri.v1.images']\n" + fmt.Sprintf(transfer, "DIR/good"), "hosts.toml", Warning},
		{"two folders by way of the transfer service", asks + fmt.Sprintf(cri, "DIR/good:DIR/none"), "hosts.toml", Trouble},
		{"two folders without a file", asks + fmt.Sprintf(cri, "DIR/none:DIR/neither"), "hosts.toml", ""},
		{"two folders of a CRI that pulls itself", itself + fmt.Sprintf(cri, "DIR/good:DIR/none"), "hosts.toml", ""},
		{"two folders of containerd 2.0", fmt.Sprintf(cri, "DIR/good:DIR/none"), "hosts.toml", ""},
		{"two folders of containerd 1", fmt.Sprintf(old, "DIR/good:DIR/none"), "hosts.toml for r.example.com", OK},
		{"the CRI reads none", fmt.Sprintf(cri, "") + fmt.Sprintf(transfer, "DIR/good"), "hosts.toml", Trouble},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, map[string]string{"config.toml": c.config, "containerd": "#!/bin/sh\ncat DIR/config.toml\n", "good/r.example.com/hosts.toml": none, "bad/r.example.com/hosts.toml": garbled})
			found := statuses(t, Config{Containerd: filepath.Join(dir, "containerd"), File: filepath.Join(dir, "config.toml")})
			if f := found[c.check]; f.Status != c.want {
				t.Errorf("got %q (%s), expected %q", f.Status, f.Detail, c.want)
			}
		})
	}
}

func TestKubernetes(t *testing.T) {
	for _, c := range []struct {
		name, kubectl string
		want          Status
	}{
		{"denied", "#!/bin/sh\nread pod\nimage=${pod##*image\\\":\\\"}\necho \"Error from server: admission webhook denied the request: $(cat | grep -o 'probe-[0-9a-f]*') is not signed\" >&2\nexit 1\n", OK},
		{"admitted", "#!/bin/sh\necho pod/x created\n", Trouble},
		{"the webhook is down", "#!/bin/sh\necho 'Error from server: failed calling webhook' >&2\nexit 1\n", Warning},
		{"no cluster", "#!/bin/sh\necho 'connection refused' >&2\nexit 1\n", Warning},
		{"denied for another reason", "#!/bin/sh\necho 'Error: admission webhook denied the request: no such quota' >&2\nexit 1\n", Warning},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, map[string]string{"kubectl": c.kubectl})
			found := statuses(t, Config{File: filepath.Join(dir, "none"), HostsDirs: []string{dir}, Kubectl: filepath.Join(dir, "kubectl"), Namespaces: []string{"prod"}})
			if f := found["Kubernetes namespace prod"]; f.Status != c.want {
				t.Errorf("got %q (%s), expected %q", f.Status, f.Detail, c.want)
			}
		})
	}
}

// FuzzReadHosts checks that whatever is taken has a server as its last host: its
// absence is what lets containerd ask the registry itself.
func FuzzReadHosts(f *testing.F) {
	f.Add([]byte("server = \"https://a\"\n[host.\"https://b\"]\ncapabilities = [\"pull\"]\nca = [\"x\"]\nclient = [[\"a\", \"b\"]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		hosts, err := readHosts(data, "/d")
		if err == nil && len(hosts) == 0 {
			t.Fatal("no host at all")
		}
	})
}

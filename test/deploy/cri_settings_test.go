//go:build deploy

package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/signet-trust/signet/nodecheck"
)

// doctor is what `signet doctor --node` finds on a node, with the worst of each check.
func (n *node) doctor(t *testing.T, probe string) map[string]nodecheck.Finding {
	t.Helper()
	found, err := nodecheck.Check(t.Context(), nodecheck.Config{
		Containerd: program(t, "containerd"), File: n.config, Probes: []string{probe}, Timeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	worst := map[string]nodecheck.Finding{}
	for _, f := range found {
		if have, ok := worst[f.Check]; !ok || have.Status == nodecheck.OK {
			worst[f.Check] = f
		}
	}
	return worst
}

// passes tells whether the CRI pulls an image that nobody has signed.
func (n *node) passes(t testing.TB, image string) bool {
	t.Helper()
	out, err := n.crictl(t, "pull", image)
	if err != nil && !strings.Contains(out, "nothing is signed under ") {
		t.Errorf("crictl pull %s: %v: %s", image, err, out)
	}
	return err == nil
}

// Settings of the CRI's section for images that do not keep it from the verifiers. Those
// that do are in TestCRISettings; together they are all that this containerd has.
var harmless = []string{
	"snapshotter", "pinned_images", "runtime_platforms", "image_decryption", "concurrent_layer_fetch_buffer",
	"image_pull_progress_timeout", "stats_collect_period", "registry.config_path", "registry.headers",
}

// TestCRISettings tries every setting with which the CRI goes past the verifiers: an
// image that nobody has signed is then pulled, and signet doctor --node says so of that
// very configuration. With any other it is refused.
func TestCRISettings(t *testing.T) {
	s, first := startShop(t), newNode(t)
	install(t, first, s.trusted())
	unsigned := s.app.Repository + ":unsigned"
	const verifiers, kubernetes = "image verifiers", "image verifiers and Kubernetes"
	tried := slices.Clone(harmless)
	for _, c := range []struct {
		name    string
		setting string // tried
		images  string // further lines of the CRI's section
		passes  bool
		check   string // of the doctor's
		want    nodecheck.Status
	}{
		{"none", "", "", false, kubernetes, nodecheck.OK},
		{"use_local_image_pull", "use_local_image_pull", "  use_local_image_pull = true\n", true, kubernetes, nodecheck.Trouble},
		{"discard_unpacked_layers", "discard_unpacked_layers", "  discard_unpacked_layers = true\n", true, kubernetes, nodecheck.Trouble},
		{"image_pull_with_sync_fs", "image_pull_with_sync_fs", "  image_pull_with_sync_fs = true\n", true, kubernetes, nodecheck.Trouble},
		{"disable_snapshot_annotations", "disable_snapshot_annotations", "  disable_snapshot_annotations = false\n", true, kubernetes, nodecheck.Trouble},
		{"max_concurrent_downloads", "max_concurrent_downloads", "  max_concurrent_downloads = 4\n", true, kubernetes, nodecheck.Trouble},
		{"max_concurrent_downloads as it is by default", "", "  max_concurrent_downloads = 3\n", false, kubernetes, nodecheck.OK},
		{"registry.mirrors", "registry.mirrors", registrySection("") + imagesSection + ".registry.mirrors.\"*\"]\n  endpoint = [\"http://" + s.host + "\"]\n", true, kubernetes, nodecheck.Trouble},
		{"registry.configs", "registry.configs", imagesSection + ".registry.configs.\"other.example.com\".auth]\n  username = \"a\"\n  password = \"b\"\n", true, kubernetes, nodecheck.Trouble},
		{"registry.auths", "registry.auths", imagesSection + ".registry.auths.\"https://other.example.com\"]\n  username = \"a\"\n  password = \"b\"\n", true, kubernetes, nodecheck.Trouble},
		{"the rest", "", `  concurrent_layer_fetch_buffer = 1024
  image_pull_progress_timeout = "1m"
  stats_collect_period = 20
` + imagesSection + ".pinned_images]\n  sandbox = \"registry.example.com/pause:1\"\n" +
			imagesSection + ".runtime_platforms.runc]\n  platform = \"linux/amd64\"\n  snapshotter = \"overlayfs\"\n" +
			imagesSection + ".image_decryption]\n  key_model = \"\"\n" +
			registrySection("/nowhere") + imagesSection + ".registry.headers]\n  X-Node = [\"a\"]\n", false, kubernetes, nodecheck.OK},
	} {
		if c.setting != "" {
			tried = append(tried, c.setting)
		}
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t)
			n.plugins = first.plugins
			n.start(t, n.criSettings(t, c.images)+n.verifier())
			if passes := n.passes(t, unsigned); passes != c.passes {
				t.Errorf("it is pulled: %t, expected %t", passes, c.passes)
			}
			found := n.doctor(t, s.app.Repository)
			if f := found[c.check]; f.Status != c.want {
				t.Errorf("doctor says %q (%s), expected %q", f.Status, f.Detail, c.want)
			} else if c.want != nodecheck.OK && !strings.Contains(f.Detail, c.setting) {
				t.Errorf("doctor names another setting than %s: %s", c.setting, f.Detail)
			}
			if f := found[verifiers]; f.Status != nodecheck.OK {
				t.Errorf("verifiers: doctor says %q (%s)", f.Status, f.Detail)
			}
		})
	}
	t.Run("there are no others", func(t *testing.T) {
		for _, setting := range imageSettings(t) {
			if !slices.Contains(tried, setting) {
				t.Errorf("%s: nobody has tried whether it keeps the CRI from the verifiers", setting)
			}
		}
	})
	for _, c := range []struct {
		name string
		file func(n *node) string
		want map[string]nodecheck.Status
	}{
		{"a file of containerd 1", func(n *node) string {
			return "version = 2\n[plugins.\"io.containerd.nri.v1.nri\"]\n  disable = true\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"native\"\n  disable_snapshot_annotations = false\n" +
				"[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n" + n.verifier()
		}, map[string]nodecheck.Status{kubernetes: nodecheck.Trouble}},
		{"a further file", func(n *node) string {
			more := writeFile(t, filepath.Dir(n.socket), "more.toml", "version = 3\n"+imagesSection+"]\n  discard_unpacked_layers = true\n")
			return "imports = [\"" + more + "\"]\n" + n.criSettings(t, "") + n.verifier()
		}, map[string]nodecheck.Status{kubernetes: nodecheck.Trouble}},
		{"a folder of plugins without a name", func(n *node) string {
			return n.criSettings(t, "") + strings.Replace(n.verifier(), n.plugins, "", 1)
		}, map[string]nodecheck.Status{verifiers: nodecheck.Trouble}},
		{"no verifier may run", func(n *node) string {
			return n.criSettings(t, "") + strings.Replace(n.verifier(), "max_verifiers = 10", "max_verifiers = 0", 1)
		}, map[string]nodecheck.Status{verifiers: nodecheck.Trouble}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t)
			n.plugins = first.plugins
			n.start(t, c.file(n))
			if !n.passes(t, unsigned) {
				t.Error("it is not pulled")
			}
			found := n.doctor(t, s.app.Repository)
			for check, want := range c.want {
				if f := found[check]; f.Status != want {
					t.Errorf("%s: doctor says %q (%s), expected %q", check, f.Status, f.Detail, want)
				}
			}
		})
	}
}

// imageSettings are all that the section for images can have.
func imageSettings(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command(program(t, "containerd"), "config", "default").Output()
	if err != nil {
		t.Fatal(err)
	}
	var tree struct {
		Plugins map[string]map[string]any `toml:"plugins"`
	}
	if err := toml.Unmarshal(out, &tree); err != nil {
		t.Fatal(err)
	}
	section := tree.Plugins["io.containerd.cri.v1.images"]
	registry, _ := section["registry"].(map[string]any)
	var names []string
	for name := range section {
		if name != "registry" {
			names = append(names, name)
		}
	}
	for name := range registry {
		names = append(names, "registry."+name)
	}
	if len(names) < 10 {
		t.Fatalf("containerd config default has the settings %q alone", names)
	}
	return names
}

// TestCRIConfigPath tries where the CRI reads hosts.toml, and what signet doctor --node
// says of that.
func TestCRIConfigPath(t *testing.T) {
	s := startShop(t)
	g := startCRIGate(t, s)
	empty := t.TempDir()
	unsigned := s.app.Repository + ":unsigned"
	list := g.folder + string(os.PathListSeparator) + empty
	const itself = "  use_local_image_pull = true\n"
	for _, c := range []struct {
		name, images, transfer string
		passes                 bool
		want                   nodecheck.Status // the worst
	}{
		{"one folder", registrySection(g.folder), "", false, nodecheck.OK},
		{"one folder, and the CRI pulls itself", itself + registrySection(g.folder), "", false, nodecheck.OK},
		{"two folders", registrySection(list), "", true, nodecheck.Trouble},
		{"two folders, and the CRI pulls itself", itself + registrySection(list), "", false, nodecheck.OK},
		{"none", registrySection(""), "", true, nodecheck.Trouble},
		{"another", registrySection(empty), "", true, nodecheck.Trouble},
		{"the transfer service's alone", registrySection(""), g.folder, true, nodecheck.Trouble},
		{"the transfer service's alone, and the CRI's as it is by default", "", g.folder, true, nodecheck.Trouble},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNode(t)
			settings := n.criSettings(t, c.images)
			if c.transfer != "" {
				settings += "[plugins.\"io.containerd.transfer.v1.local\"]\n  config_path = \"" + c.transfer + "\"\n"
			}
			n.start(t, settings+n.verifier())
			asked := g.asked.Load()
			if passes := n.passes(t, unsigned); passes != c.passes {
				t.Errorf("it is pulled: %t, expected %t", passes, c.passes)
			}
			if asks := g.asked.Load() > asked; asks == c.passes {
				t.Errorf("the gate is asked: %t", asks)
			}
			worst := nodecheck.Finding{Status: nodecheck.OK}
			for _, f := range n.doctor(t, s.app.Repository) {
				t.Logf("%s: %s: %s", f.Status, f.Check, f.Detail)
				if worst.Status == nodecheck.OK || f.Status == nodecheck.Trouble {
					worst = f
				}
			}
			if worst.Status != c.want {
				t.Errorf("doctor says %q at worst (%s), expected %q", worst.Status, worst.Detail, c.want)
			}
			// ctr asks where it is told to, and nowhere else.
			if out, err := n.ctr(t, "images", "pull", "--plain-http", unsigned); err != nil {
				t.Errorf("ctr without --hosts-dir: %v: %s", err, out)
			}
		})
	}
}

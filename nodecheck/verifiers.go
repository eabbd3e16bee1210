package nodecheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// defaultBin is where containerd 2 looks for verifiers unless told otherwise.
const defaultBin = "/opt/containerd/image-verifier/bin"

// verifiers looks at the image verifier plugins, runs them as containerd would, and
// tells which of its callers go past them.
func (n *node) verifiers(ctx context.Context, s settings) {
	const check = "image verifiers"
	table := s.plugin(bindir)
	if s.disabled(bindir) {
		n.addf(check, Warning, "take it out of disabled_plugins, if verifiers are to be asked", "the plugin is switched off: containerd asks no verifier")
		return
	}
	if table == nil && s.whole {
		return // containerd 1 has no such door
	}
	dir, said := table["bin_dir"].(string) // "" is a folder that is not there
	if !said {
		dir = defaultBin
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.add(check, Warning, err.Error(), "run it as root")
		return
	}
	if len(entries) == 0 {
		if n.doors > 0 {
			n.addf(check, OK, "", "none is set up; another door is")
		} else {
			n.addf(check, Trouble, "put signet-guard there as a verifier", "%q is empty or not there, and then containerd allows every image", dir)
		}
		return
	}
	n.doors++
	most := 10
	if m, ok := table["max_verifiers"].(int64); ok {
		most = int(m)
	}
	if most >= 0 && len(entries) > most {
		n.addf(check, Trouble, "raise max_verifiers, or take the others out", "%s holds %d files, of which containerd runs the first %d alone", dir, len(entries), most)
	}
	timeout := n.Timeout
	if d, err := time.ParseDuration(text(table, "per_verifier_timeout")); err == nil && d > 0 {
		timeout = d
	}
	if most >= 0 {
		entries = entries[:min(len(entries), most)]
	}
	refused := false
	for _, reference := range n.anywhere("localhost") {
		refused = n.verify(ctx, dir, entries, reference, timeout, table != nil) || refused
	}
	if refused {
		n.bypass(s)
	}
}

// verify runs those in dir, of which one has to refuse, and tells whether one did.
func (n *node) verify(ctx context.Context, dir string, entries []os.DirEntry, reference string, timeout time.Duration, asked bool) bool {
	const check = "image verifiers"
	var passed []string
	for _, entry := range entries {
		allowed, said := n.verifier(ctx, filepath.Join(dir, entry.Name()), reference, timeout)
		said = strings.TrimSuffix(entry.Name()+": "+said, ": ")
		switch {
		case allowed:
			passed = append(passed, said)
			continue
		case forWantOfARule(said):
			n.unproven(check, reference, said)
		case !asked: // nor would the file say so
			n.addf(check, Warning, "run it on the node itself, as root", "a verifier refuses an image that nobody has signed (%s), but whether containerd asks it is not known: containerd 1 asks none", said)
		default:
			n.addf(check, OK, "", "an image that nobody has signed is refused (%s)", said)
		}
		return true
	}
	n.addf(check, Trouble, byMode, "all verifiers in %s allow %s, which nobody has signed (%s)", dir, reference, strings.Join(passed, "; "))
	return false
}

// verifier runs one as containerd does. Whatever is not exit status 0 refuses.
func (n *node) verifier(ctx context.Context, file, reference string, timeout time.Duration) (allowed bool, said string) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, file, "-name", reference, "-digest", "sha256:"+n.hex, "-stdin-media-type", "application/vnd.oci.descriptor.v1+json")
	cmd.Stdin = bytes.NewReader(fmt.Appendf(nil, `{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:%s","size":1000}`, n.hex))
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &limited{&out, 32 << 10}
	err := cmd.Run()
	said = strings.Join(strings.Fields(out.String()), " ")
	if err != nil && said == "" {
		said = err.Error()
	}
	return err == nil, said
}

// limited takes only so many bytes, and the rest without a word.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	take := p[:min(len(p), l.left)]
	l.left -= len(take)
	if _, err := l.w.Write(take); err != nil {
		return 0, err
	}
	return len(p), nil
}

// bypass tells with which settings the CRI plugin, and so Kubernetes, pulls images
// itself: it then asks no verifier.
func (n *node) bypass(s settings) {
	const check = "image verifiers and Kubernetes"
	if s.disabled(criImages) || s.disabled(criOld) {
		return // no CRI: no Kubernetes on this node
	}
	setting := s.pullsItself()
	switch {
	case s.whole && !s.asks():
		n.add(check, Trouble, "this containerd's CRI asks no verifier: those since 2.1 do", "use hosts.toml or admission for Kubernetes, or a newer containerd")
	case setting != "":
		n.addf(check, Trouble, "take the setting out, and say the same in the section "+transfer,
			"%s makes containerd's CRI pull images itself, past the verifiers, with no more than a line in its log", setting)
	case !s.whole: // those before 2.1 ask none, later ones by their defaults, and files are taken in unasked
		n.add(check, Warning, "whether containerd's CRI asks them is not known: its settings could not be asked for", "run it on the node itself, as root")
	default:
		n.add(check, OK, "containerd's CRI asks them", "")
	}
}

// asks tells whether the CRI plugin can pull by way of the transfer service, which asks
// the verifiers: those since 2.1 can, and have a setting against it.
func (s settings) asks() bool {
	_, known := s.plugin(criImages)["use_local_image_pull"].(bool)
	return known
}

// byTransfer tells whether it does, as far as containerd itself could be asked.
func (s settings) byTransfer() bool { return s.whole && s.asks() && s.pullsItself() == "" }

// pullsItself names a setting by which the CRI plugin pulls images itself, "" when
// there is none (containerd, internal/cri/config, CheckLocalImagePullConfigs: the same
// from 2.1 to 2.4).
func (s settings) pullsItself() string {
	cri, registry := s.plugin(criImages), s.plugin(criImages, "registry")
	for _, setting := range []struct {
		name string
		set  bool
	}{
		{"use_local_image_pull", cri["use_local_image_pull"] == true},
		{"discard_unpacked_layers", cri["discard_unpacked_layers"] == true},
		{"image_pull_with_sync_fs", cri["image_pull_with_sync_fs"] == true},
		{"disable_snapshot_annotations = false", cri["disable_snapshot_annotations"] == false},
		{"max_concurrent_downloads", cri["max_concurrent_downloads"] != nil && cri["max_concurrent_downloads"] != int64(3)},
		{"registry.mirrors", some(registry["mirrors"])},
		{"registry.configs", some(registry["configs"])},
		{"registry.auths", some(registry["auths"])},
	} {
		if setting.set {
			return setting.name
		}
	}
	return ""
}

func some(v any) bool {
	table, ok := v.(map[string]any)
	return ok && len(table) > 0
}

package nodecheck

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// settings are containerd's: what its configuration says or, where the program could
// be asked, what holds.
type settings struct {
	tree  map[string]any
	whole bool // with what containerd fills in where the file is silent
}

// settings asks containerd for them, or reads the file.
func (n *node) settings(ctx context.Context) settings {
	if n.Containerd != "" {
		ctx, cancel := context.WithTimeout(ctx, n.Timeout)
		defer cancel()
		out, err := exec.CommandContext(ctx, n.Containerd, "--config", n.File, "config", "dump").Output()
		if err == nil {
			var s settings
			if s, err = parse(out); err == nil {
				s.whole = true
				return s
			}
		}
		n.addf("containerd", Warning, "run it on the node itself, as root",
			"%s does not tell its settings (%s): only what its file says is looked at", n.Containerd, reason(err))
	}
	data, err := os.ReadFile(n.File)
	if errors.Is(err, fs.ErrNotExist) {
		return settings{}
	}
	if err != nil {
		n.add("containerd", Warning, err.Error(), "run it as root")
		return settings{}
	}
	s, err := parse(data)
	if err != nil {
		n.addf("containerd", Warning, "containerd would not start with it: mend it", "%s is not TOML: %v", n.File, err)
	}
	if imports, ok := s.tree["imports"].([]any); ok && len(imports) > 0 {
		n.addf("containerd", Warning, "run it on the node itself, as root", "%s takes in further files, which are not looked at: only containerd itself can tell what holds", n.File)
	}
	return s
}

func reason(err error) string {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		return strings.Join(strings.Fields(string(exit.Stderr)), " ")
	}
	return fmt.Sprint(err)
}

func parse(data []byte) (settings, error) {
	var s settings
	err := toml.Unmarshal(data, &s.tree)
	return s, err
}

// plugin returns the table of a plugin, nil when there is none.
func (s settings) plugin(id string, path ...string) map[string]any {
	table := s.tree
	for _, key := range append([]string{"plugins", id}, path...) {
		next, ok := table[key].(map[string]any)
		if !ok {
			return nil
		}
		table = next
	}
	return table
}

// text returns a string of a table, "" when there is none.
func text(table map[string]any, key string) string {
	s, _ := table[key].(string)
	return s
}

// disabled tells whether a plugin is switched off by name.
func (s settings) disabled(id string) bool {
	list, _ := s.tree["disabled_plugins"].([]any)
	for _, item := range list {
		if item == id {
			return true
		}
	}
	return false
}

// The CRI plugin's settings: of containerd 2, and of 1.
const (
	criImages = "io.containerd.cri.v1.images"
	criOld    = "io.containerd.grpc.v1.cri"
	transfer  = "io.containerd.transfer.v1.local"
	bindir    = "io.containerd.image-verifier.v1.bindir"
)

package nodecheck

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// A Status says how a check came out.
type Status string

// The statuses.
const (
	OK      Status = "ok"
	Warning Status = "warning" // it could not be found out, or it is off where that may be meant
	Trouble Status = "trouble" // an image that nobody has signed would run
)

// A Finding is what one check found.
type Finding struct {
	Check  string
	Status Status
	Detail string
	Advice string
}

// A Config says what to look at.
type Config struct {
	// Containerd is the program, which is asked what holds once its configuration is
	// read; "" reads the file alone.
	Containerd string
	// File is containerd's configuration.
	File string
	// HostsDirs are folders of hosts.toml in place of those that containerd reads.
	HostsDirs []string
	// Registries are hosts that have to be enforced: those of the trust anchors.
	Registries []string
	// Probes are repositories ("registry.example.com/team/app") to ask about at each door,
	// by a tag that nobody has signed; none: one that nobody has. Their registries have to
	// be enforced, too.
	Probes []string
	// Kubectl, with the namespaces to try, creates pods as a dry run; none: not asked.
	Kubectl    string
	Namespaces []string
	// Timeout bounds each question; 0 means 10 s.
	Timeout time.Duration
}

// A node is one run.
type node struct {
	Config
	found []Finding
	doors int      // that were found
	away  []string // folders of HostsDirs that are not there
	tag   string
	hex   string
}

// Check looks at everything that c names. The findings are in the order in which an
// image passes the doors.
func Check(ctx context.Context, c Config) ([]Finding, error) {
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	// A tag and a digest of chance: nobody has signed them, and nobody could know them.
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	n := &node{Config: c, tag: "probe-" + hex.EncodeToString(random[:8]), hex: hex.EncodeToString(random[:])}
	n.enforceProbes()
	settings := n.settings(ctx)
	n.hosts(ctx, settings)
	n.verifiers(ctx, settings)
	n.kubernetes(ctx)
	switch {
	case n.doors == 0 && len(n.away) > 0:
		n.add("doors", Trouble, "no door was found: there is no folder "+strings.Join(n.away, ", "), noFolder)
	case n.doors == 0:
		n.add("doors", Trouble, "no door is set up here: every image runs, signed or not",
			"set one up: signet-guard config containerd prints a hosts.toml")
	}
	return n.found, nil
}

// noFolder is what to do where a folder is not there that was named.
const noFolder = "correct the folder's name; without one, those that containerd reads are looked at"

func (n *node) add(check string, status Status, detail, advice string) {
	n.found = append(n.found, Finding{check, status, detail, advice})
}

func (n *node) addf(check string, status Status, advice, format string, args ...any) {
	n.add(check, status, fmt.Sprintf(format, args...), advice)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/keystore/yubikey"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A finding is one line of doctor.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // "ok", "warning" or "trouble"
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

// An examination gathers findings.
type examination struct {
	app      *app
	Findings []finding  `json:"findings"`
	Expiring []expiring `json:"expiring"` // what servers say of all repositories, soonest first
}

// expiring is one file that expires soon, as a server says.
type expiring struct {
	Server string `json:"server"`
	api.ExpiringRole
}

func (e *examination) ok(check, format string, args ...any) {
	e.Findings = append(e.Findings, finding{check, "ok", oneLine(fmt.Sprintf(format, args...)), ""})
}

func (e *examination) warn(check, advice, format string, args ...any) {
	e.Findings = append(e.Findings, finding{check, "warning", oneLine(fmt.Sprintf(format, args...)), advice})
}

func (e *examination) trouble(check string, err error) {
	e.Findings = append(e.Findings, finding{check, "trouble", sentence(err), strings.TrimSuffix(hint(err), doctorLooks)})
}

func newDoctor(a *app) *cobra.Command {
	var flags nodeFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for trouble: configuration, servers, keys, YubiKeys, expiries",
		Long: `Look for trouble, and say what mends it: the configuration, the servers, the keys,
YubiKeys, and what expires within 30 days: of the repositories that are verified
here, and, as its server says, of every other that a token covers. Exit status 1 when there is trouble.

With --node, look for enforcement that is silently off on the node where it runs, and
at nothing else: which hosts.toml files and image verifiers containerd asks, what goes
past them, and whether each door refuses an image that nobody has signed. Run it there
as root, and with --namespace where kubectl works. The image is of a repository that
nobody has, and proves nothing about names that other rules of the policy are for:
name a repository of each such rule with --probe.`,
		Example: `  signet doctor
  signet doctor --node --probe registry.example.com/team/app`,
		Args: cobra.NoArgs,
		RunE: a.action(func(ctx context.Context, _ []string) error {
			e := &examination{app: a, Expiring: []expiring{}}
			if flags.node {
				if err := e.nodeChecks(ctx, flags); err != nil {
					return err
				}
			} else {
				if len(flags.hostsDirs)+len(flags.namespaces)+len(flags.probes) > 0 {
					return usagef("--hosts-dir, --namespace and --probe go with --node")
				}
				e.folders()
				servers := e.servers(ctx)
				e.anchors(ctx, servers)
				e.expiring()
				e.keys(ctx)
			}
			if err := a.print(e, e.write); err != nil {
				return err
			}
			n := 0
			for _, f := range e.Findings {
				if f.Status == "trouble" {
					n++
				}
			}
			if n > 0 {
				return fmt.Errorf("%s found", strings.Replace(plural(n, "trouble"), "troubles", "troubles were", 1))
			}
			return nil
		}),
	}
	flags.add(cmd.Flags())
	return cmd
}

func (e *examination) write(w io.Writer) {
	for _, f := range e.Findings {
		fmt.Fprintf(w, "%-8s %s: %s\n", f.Status, f.Check, f.Detail)
		if f.Hint != "" {
			fmt.Fprintf(w, "         hint: %s\n", f.Hint)
		}
	}
}

// folders looks whether the state folder can be written to.
func (e *examination) folders() {
	dir := e.app.stateDir
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".doctor-*"); err == nil {
			f.Close()
			err = os.Remove(f.Name())
		}
	}
	if err != nil {
		e.trouble("state", err)
		return
	}
	e.ok("state", "%s can be written to", dir)
}

// servers asks each server that somebody logged in to.
func (e *examination) servers(ctx context.Context) client.Servers {
	servers, err := client.LoadServers(e.app.serversFile())
	if err != nil {
		e.trouble("servers", err)
		return nil
	}
	if len(servers) == 0 {
		e.ok("servers", "none is known; one is needed to publish only")
	}
	for _, server := range servers {
		e.server(ctx, servers, server)
	}
	return servers
}

func (e *examination) server(ctx context.Context, servers client.Servers, server client.Server) {
	check := "server " + server.URL
	publisher := client.Publisher{Client: client.New(e.app.clientConfig(nil, servers)), Server: server}
	info, err := publisher.Info(ctx)
	if err != nil {
		e.trouble(check, err)
		return
	}
	e.ok(check, "answers, version %s", info.Version)
	if ahead := e.app.now().Sub(info.Time); ahead.Abs() > 5*time.Minute {
		e.warn(check, "set this machine's clock, or the server's", "its clock and this machine's differ by %s", about(ahead.Abs()))
	}
	switch {
	case info.Identity == nil:
		e.warn(check, "ask its operator to look at the signer", "its signer does not answer: nothing can be published")
	case server.Identity != nil && !info.Identity.Equal(server.Identity):
		e.warn(check, "ask its operator; if it is so: signet login "+server.URL, "its signer has another identity than the one that was pinned at login")
	}
	if server.Token == "" {
		return
	}
	token, err := publisher.Token(ctx)
	if err != nil {
		e.trouble(check+" token", err)
		return
	}
	text := fmt.Sprintf("token %s may %s for %s", token.Name, strings.Join(token.Scopes, ", "), strings.Join(token.Repositories, " "))
	if token.Expires != nil && token.Expires.Sub(e.app.now()) < 14*24*time.Hour {
		e.warn(check+" token", "ask the operator for a new one", "%s; it expires %s", text, until(e.app.now(), *token.Expires))
		return
	}
	e.ok(check+" token", "%s", text)
	e.askExpiring(ctx, check, &publisher)
}

// soon is how long before it expires doctor tells of a file.
const soon = 30 * 24 * time.Hour

// askExpiring asks a server what expires soon in all repositories that the token
// covers, also those that nobody has verified here.
func (e *examination) askExpiring(ctx context.Context, check string, publisher *client.Publisher) {
	list, err := publisher.Expiring(ctx, e.app.now().Add(soon))
	switch {
	case errors.Is(err, tuf.ErrNotFound):
		e.ok(check, "is of a release that does not tell what expires soon; only repositories with an anchor are looked at")
		return
	case err != nil:
		e.trouble(check+" expiries", err)
		return
	}
	if len(list) == 0 {
		e.ok(check, "nothing that the token covers expires within 30 days")
	}
	for _, role := range list {
		e.Expiring = append(e.Expiring, expiring{publisher.Server.URL, role})
	}
}

// expiring tells what servers said that no repository which was verified has told
// before, one line for each repository, soonest first. JSON has all of it.
func (e *examination) expiring() {
	const most = 50
	told := map[string]bool{}
	for _, f := range e.Findings {
		if f.Status == "warning" {
			told[f.Check+" "+f.Hint] = true
		}
	}
	var order []string
	lines := map[string][]string{}
	for _, role := range e.Expiring {
		advice := "signet renew " + role.Repository
		if told[role.Repository+" "+advice] {
			continue
		}
		if lines[role.Repository] == nil {
			order = append(order, role.Repository)
		}
		verb := "expires"
		if !e.app.now().Before(role.Expires) {
			verb = "expired"
		}
		lines[role.Repository] = append(lines[role.Repository], fmt.Sprintf("%s version %d %s %s", role.Role, role.Version, verb, until(e.app.now(), role.Expires)))
	}
	for i, name := range order {
		if i == most {
			e.warn("expiries", "signet doctor --output json lists all; signet renew takes a pattern",
				"%d more repositories have something that expires within 30 days", len(order)-most)
			break
		}
		e.warn(name, "signet renew "+name, "%s, its server says", strings.Join(lines[name], "; "))
	}
}

// anchors verifies every repository that has an anchor of its own, and tells
// what expires soon.
func (e *examination) anchors(ctx context.Context, servers client.Servers) {
	anchors, err := e.app.anchors()
	if err != nil {
		e.trouble("anchors", err)
		return
	}
	if len(anchors) == 0 {
		e.warn("anchors", "signet trust add PATTERN --root-key KEY --server URL", "none is set: nothing can be verified")
	}
	for _, server := range servers {
		if anchor := otherCA(servers, anchors, server.URL); anchor != nil {
			e.warn("server "+server.URL, fmt.Sprintf("repeat the anchor's signet trust add with --ca FILE --replace, or signet login %s --ca FILE, whichever is out of date", server.URL),
				"login and the anchor for %s have different CAs for it", anchor.Pattern)
		}
	}
	verifier := client.New(e.app.clientConfig(anchors, servers))
	for _, anchor := range anchors {
		if !strings.ContainsAny(anchor.Pattern, "*?") {
			e.repository(ctx, verifier, "anchor "+anchor.Pattern, anchor.Pattern)
			continue
		}
		e.ok("anchor "+anchor.Pattern, "%s, at %s", pins(anchor), strings.Join(anchor.Servers, " "))
	}
	e.patterns(ctx, verifier, anchors)
}

// patterns looks at the repositories that this machine has verified under an anchor
// for many names.
func (e *examination) patterns(ctx context.Context, verifier *client.Client, anchors client.Anchors) {
	uses, err := verifier.KeyUses(ctx)
	if err != nil {
		e.trouble("state", err)
	}
	seen := map[string]bool{}
	for _, list := range uses {
		for _, use := range list {
			anchor, err := anchors.For(use.Repository)
			seen[use.Repository] = err == nil && anchor.Pattern != use.Repository
		}
	}
	maps.DeleteFunc(seen, func(_ string, many bool) bool { return !many })
	const most = 20
	for i, name := range sortedKeys(seen) {
		if i == most {
			e.ok("repositories", "%d more are not looked at; signet inspect REPO looks at one", len(seen)-most)
			break
		}
		e.repository(ctx, verifier, "repository "+name, name)
	}
}

// repository verifies all of one repository.
func (e *examination) repository(ctx context.Context, verifier *client.Client, check, name string) {
	view, err := verifier.View(ctx, name, client.Options{})
	if err != nil {
		e.trouble(check, err)
		return
	}
	e.ok(check, "%s signed", plural(len(view.Tags), "tag"))
	e.expiries(view)
	e.held(view)
}

// held tells of keys whose loss or theft would be worse than it need be.
func (e *examination) held(view *client.View) {
	name := view.Repository
	if root := view.Role(tuf.RoleRoot); root != nil && len(root.Keys) == 1 {
		e.warn(name, "signet rotate "+name+" root --add KEY", "root has one key only: if it is lost, nobody can ever change a key again")
	}
	roots, _, err := e.app.demanded(name, attestation.Yubico())
	if err != nil {
		e.trouble(name, err)
		return
	}
	keys := e.app.peoplesKeys(view, roots)
	for _, role := range view.Roles {
		for _, key := range role.Keys {
			if weakness := keys[key.ID].Weakness; weakness != "" {
				e.warn(name, fmt.Sprintf("signet rotate %s %s --add NEWKEY --remove %s", name, word(role.Name), key.ID[:12]), "%s key %s: %s", role.Name, key.ID[:12], weakness)
			}
		}
	}
}

// expiries tells what people have to renew within a month. Snapshot and
// timestamp are the server's.
func (e *examination) expiries(view *client.View) {
	for _, role := range view.Roles {
		if role.Expires.Sub(e.app.now()) < soon && role.Name != tuf.RoleSnapshot && role.Name != tuf.RoleTimestamp {
			e.warn(view.Repository, "signet renew "+view.Repository, "%s expires %s", role.Name, until(e.app.now(), role.Expires))
		}
	}
}

// keys looks at key files and at YubiKeys.
func (e *examination) keys(ctx context.Context) {
	ring, err := e.app.keyring()
	if err != nil {
		e.trouble("keys", err)
		return
	}
	defer ring.Close()
	entries, err := ring.store.List()
	if err != nil {
		e.trouble("keys", err)
	}
	e.ok("keys", "%s in %s", plural(len(entries), "key"), ring.store.Dir)
	sticks, err := ring.session.List(ctx)
	switch {
	case errors.Is(err, yubikey.ErrNoSupport), errors.Is(err, yubikey.ErrNoDaemon):
		e.warn("YubiKeys", hint(err), "%v", err)
	case err != nil:
		e.trouble("YubiKeys", err)
	case len(sticks) == 0:
		e.ok("YubiKeys", "none is plugged in")
	}
	for _, stick := range sticks {
		if stick.Err != nil {
			e.trouble("YubiKey", stick.Err)
			continue
		}
		e.stick(ctx, ring, stick)
	}
}

// stick looks at one YubiKey, without any secret.
func (e *examination) stick(ctx context.Context, ring *keyring, info yubikey.Info) {
	check := fmt.Sprintf("YubiKey %d", info.Serial)
	stick, err := ring.session.Open(ctx, info.Serial)
	if err != nil {
		e.trouble(check, err)
		return
	}
	status, err := stick.Status(ctx)
	if err != nil {
		e.trouble(check, err)
		return
	}
	e.ok(check, "firmware %s, %s", status.Firmware, plural(len(usable(status.Slots)), "key"))
	switch {
	case status.PIN.Left == 0:
		e.trouble(check, &yubikey.PINError{Serial: info.Serial})
	case status.PIN.Left == 1:
		e.warn(check, fmt.Sprintf("signet yubikey unblock --serial %d sets a new one with the PUK", info.Serial), "one try is left for its PIN; a wrong one blocks it")
	}
	if status.PUK.Left == 0 {
		e.warn(check, "move its keys' roles to another one while the PIN works: signet rotate", "its PUK is blocked: a blocked PIN could not be mended any more")
	}
	if sold := factoryList(status); sold != "" {
		e.warn(check, fmt.Sprintf("signet yubikey setup --serial %d", info.Serial), "it still has the %s that all YubiKeys are sold with: whoever finds it can use it", sold)
	}
}

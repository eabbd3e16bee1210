package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

func newTrustAdd(a *app) *cobra.Command {
	var anchor client.Anchor
	var rootKeys, servers, require []string
	var caFile string
	var replace bool
	var stale string
	var hardware hardwareFlags
	cmd := &cobra.Command{
		Use:   "add PATTERN --root-key KEYID|FILE|PEM... --server URL",
		Short: "Trust root keys for a name, or for all names that fit a pattern",
		Long: `Trust root keys for the repositories whose names fit PATTERN: a full name, or
one in which '*' stands for characters other than '/', and which may end in
'/**' for everything below. The most specific anchor decides.

A root key is given by its full key ID (64 hex digits), by a file with the
public key in PEM, or by the PEM itself. All of them must have signed, unless
--threshold says how many.

With --require NAME=KEY, a digest is trusted only if that signer has signed it under
the same tag, by that very key: whoever holds the targets keys may rename signers,
but cannot sign for them. Give it once for each voice that is demanded.

With --require-hardware, nothing is trusted unless every root and targets key is
proved to have been made on a YubiKey, by an attestation that travels with the
signed root; that is checked offline, too.`,
		Example: `  signet trust add 'registry.example.com/team/*' --root-key root.pem --server https://signet.example.com
  signet trust add 'registry.example.com/**' --root-key KEYID --require-hardware --min-firmware 5.7
  signet trust add 'registry.example.com/team/*' --root-key root.pem --require qa=qa.pem --require security=KEYID
  signet trust add registry.example.com/team/app --root-sha256 HEX --server https://signet.example.com --server https://mirror.example.com`,
		Args: cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&rootKeys, "root-key", nil, "a root `key` to trust: key ID, PEM file or PEM (may be given several times)")
	flags.IntVar(&anchor.Threshold, "threshold", 0, "how many of the root keys must have signed (default: all that are given)")
	flags.StringVar(&anchor.RootSHA256, "root-sha256", "", "trust the very root file with this SHA-256, in place of root keys")
	flags.StringArrayVar(&servers, "server", nil, "where the metadata is fetched from: the base `address` of a server or mirror (may be given several times: when one does not answer or misbehaves, the next is asked; default: the one that somebody logged in to)")
	flags.StringVar(&caFile, "ca", "", "PEM `file` of the only authorities that may vouch for the servers")
	flags.Int64Var(&anchor.MinRoot, "min-root", 0, "the lowest root `version` that is accepted")
	flags.Int64Var(&anchor.MinTargets, "min-targets", 0, "the lowest targets `version` that is accepted")
	flags.StringVar(&stale, "max-stale", "", "on machines without a network, take metadata that expired up to so long ago, such as `30d` (verify --offline and --from; every answer says so)")
	flags.StringArrayVar(&require, "require", nil, requireUsage)
	flags.BoolVar(&anchor.PlainHTTP, "allow-http", false, "allow http:// to other than this machine")
	flags.BoolVar(&replace, "replace", false, "replace the anchor for this very pattern, if there is one")
	hardware.add(cmd)
	cmd.RunE = a.action(func(_ context.Context, args []string) error {
		pattern, err := patternArg(args[0])
		if err != nil {
			return err
		}
		if anchor.Hardware, err = hardware.demand(cmd); err != nil {
			return err
		}
		if anchor.Require, err = readVoices(require); err != nil {
			return err
		}
		if stale != "" {
			late, err := parseLife(stale)
			if err != nil {
				return usagef("--max-stale: %v", err)
			}
			anchor.MaxStale = client.Duration(late)
		}
		anchor.Pattern = pattern
		for _, key := range rootKeys {
			id, err := rootKeyID(key)
			if err != nil {
				return err
			}
			anchor.RootKeys = append(anchor.RootKeys, id)
		}
		if err := a.anchorServers(&anchor, servers, caFile); err != nil {
			return err
		}
		if err := anchor.Check(); err != nil {
			return &usageError{plain(err)}
		}
		if err := a.saveAnchor(anchor, replace); err != nil {
			return err
		}
		return a.print(anchor, func(w io.Writer) {
			fmt.Fprintf(w, "trusted for %s: %s\n", anchor.Pattern, pins(anchor))
			if anchor.Hardware != nil {
				fmt.Fprintf(w, "demanded: %s\n", demands(anchor.Hardware))
			}
			if len(anchor.Require) > 0 {
				fmt.Fprintf(w, "required: %s\n", voiceKeys(anchor.Require))
			}
			if late := staleUpTo(anchor); late != "" {
				fmt.Fprintf(w, "taken without a network: what expired %s ago\n", late)
			}
		})
	})
	return cmd
}

// anchorServers fills in where an anchor's metadata is fetched from: the given
// servers and CA, or else the one server that somebody logged in to for these
// names. What login knows of the first one is taken over.
func (a *app) anchorServers(anchor *client.Anchor, given []string, caFile string) error {
	if caFile != "" {
		ca, err := readNamed("--ca", caFile)
		if err != nil {
			return err
		}
		anchor.CA = string(ca)
	}
	servers, err := client.LoadServers(a.serversFile())
	if err != nil {
		return err
	}
	var known *client.Server
	if len(given) > 0 {
		for i, url := range given {
			if slices.ContainsFunc(given[:i], func(other string) bool { return sameAddress(url, other) }) {
				return usagef("--server %s is given twice", url)
			}
		}
		anchor.Servers = given
		known, err = servers.ByURL(given[0])
	} else {
		known, err = servers.For(anyName(anchor.Pattern))
		if err != nil {
			return advise(usagef("no server is given"), "add --server URL: where the metadata is fetched from")
		}
		anchor.Servers = []string{known.URL}
	}
	if err == nil && anchor.CA == "" {
		anchor.CA = known.CA
	} else if err == nil && !client.SameCA(known.CA, anchor.CA) {
		a.note("warning: login knows another CA for %s than --ca gives; publishing goes by login's", known.URL)
	}
	if err == nil && known.PlainHTTP {
		anchor.PlainHTTP = true
	}
	return nil
}

// saveAnchor adds an anchor to trust.json. One for the very same pattern is only
// replaced when that was asked for: it would change whom this machine trusts.
func (a *app) saveAnchor(anchor client.Anchor, replace bool) error {
	return client.EditAnchors(a.trustFile(), func(anchors client.Anchors) (client.Anchors, error) {
		for i := range anchors {
			if wider := anchors[i]; wider.Hardware != nil && anchor.Hardware == nil && wider.Pattern != anchor.Pattern && tuf.MatchName(wider.Pattern, anchor.Pattern) {
				a.note("warning: the anchor for %s demands hardware: %s; this one, which goes before it, does not", wider.Pattern, demands(wider.Hardware))
			}
			if wider := anchors[i]; wider.Pattern != anchor.Pattern && tuf.MatchName(wider.Pattern, anchor.Pattern) {
				if less := requiresLess(wider, anchor); len(less) > 0 {
					a.note("warning: the anchor for %s requires %s; this one, which goes before it, does not", wider.Pattern, voiceKeys(less))
				}
			}
			if anchors[i].Pattern != anchor.Pattern {
				continue
			}
			if less := requiresLess(anchors[i], anchor); replace && len(less) > 0 {
				a.note("warning: the anchor before required %s; this one does not", voiceKeys(less))
			}
			if anchors[i].Hardware != nil && anchor.Hardware == nil && replace {
				a.note("warning: the anchor before demanded hardware: %s; this one does not", demands(anchors[i].Hardware))
			}
			if !replace {
				return nil, advise(fmt.Errorf("there is an anchor for %s already: %s", anchor.Pattern, pins(anchors[i])),
					"signet trust remove '%s' takes it away; --replace puts the new one in its place", anchor.Pattern)
			}
			anchors[i] = anchor
			return anchors, nil
		}
		return append(anchors, anchor), nil
	})
}

// rootKeyID reads a --root-key: a verifier pins what it was told in full, never
// a name or the start of an ID.
func rootKeyID(s string) (string, error) { return pinnedKeyID("--root-key", s) }

// pinnedKeyID reads a key that is pinned by a flag.
func pinnedKeyID(flag, s string) (string, error) {
	if raw, err := hex.DecodeString(s); err == nil && len(raw) == 32 {
		return strings.ToLower(s), nil
	}
	pem := []byte(s)
	if !strings.Contains(s, "-----BEGIN") {
		var err error
		if pem, err = os.ReadFile(s); err != nil {
			return "", advise(usagef("%s %.80q is neither a full key ID (64 hex digits) nor a file with a public key", flag, s),
				"signet key export KEY > key.pem, where that key is, makes such a file")
		}
	}
	if strings.Contains(string(pem), "PRIVATE KEY-----") {
		return "", fmt.Errorf("%s: this is a private key; only its public half may be given here", flag)
	}
	key, err := tuf.ParseKeyPEM(pem)
	if err != nil {
		return "", usagef("%s: %v", flag, err)
	}
	return key.ID(), nil
}

// patternArg reads a PATTERN argument. A name without wildcard is made canonical.
func patternArg(arg string) (string, error) {
	if !strings.ContainsAny(arg, "*?") {
		return repository(arg)
	}
	if err := tuf.CheckPattern(arg); err != nil {
		return "", &usageError{plain(err)}
	}
	return arg, nil
}

// pins says what an anchor pins.
func pins(anchor client.Anchor) string {
	if anchor.RootSHA256 != "" {
		return "root file " + anchor.RootSHA256[:12]
	}
	short := make([]string, len(anchor.RootKeys))
	for i, id := range anchor.RootKeys {
		short[i] = id[:12]
	}
	threshold := anchor.Threshold
	if threshold == 0 {
		threshold = len(anchor.RootKeys)
	}
	return fmt.Sprintf("%d of %s %s", threshold, plural(len(short), "root key"), strings.Join(short, ", "))
}

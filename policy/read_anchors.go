package policy

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/tuf"
)

// anchor reads a trust anchor. Its keys are those of trust.json, in the form of this
// file; a missing pattern is that of all images which the rule fits.
func (r *reader) anchor(node *yaml.Node, path string) (client.Anchor, bool) {
	anchor := client.Anchor{Pattern: "**"}
	before := len(r.errs)
	r.object(node, path, r.anchorFields(&anchor), "servers")
	if len(r.errs) > before {
		return anchor, false // what is missing for a mistake would be told as another
	}
	if err := anchor.Check(); err != nil {
		r.fail(node, path, "%s", detail(err))
		return anchor, false
	}
	return anchor, true
}

func (r *reader) anchorFields(anchor *client.Anchor) fields {
	return fields{
		"pattern": func(node *yaml.Node, path string) {
			text, ok := r.text(node, path, "a pattern of repository names")
			if !ok {
				return
			}
			pattern, err := ParsePattern(text)
			if err == nil && pattern.Tag != "" {
				err = fmt.Errorf("an anchor is for repositories, whatever the tag")
			}
			if err != nil {
				r.fail(node, path, "%q: %s", clip(text), detail(err))
				return
			}
			anchor.Pattern = pattern.Repository
		},
		"root-keys": r.keyList(&anchor.RootKeys),
		"threshold": r.number(func(n int64) { anchor.Threshold = int(min(n, 1<<30)) }),
		"root-sha256": func(node *yaml.Node, path string) {
			anchor.RootSHA256, _ = r.scalar(node, path, "64 hex digits")
		},
		"servers": func(node *yaml.Node, path string) {
			r.items(node, path, 32, func(item *yaml.Node, path string) {
				if text, ok := r.text(item, path, "a server's address"); ok {
					anchor.Servers = append(anchor.Servers, text)
				}
			})
		},
		"ca":          r.pem(&anchor.CA, "the PEM of certificates, or a file that holds it"),
		"plain-http":  r.flag(&anchor.PlainHTTP),
		"min-root":    r.number(func(n int64) { anchor.MinRoot = n }),
		"min-targets": r.number(func(n int64) { anchor.MinTargets = n }),
		"hardware": func(node *yaml.Node, path string) {
			anchor.Hardware = &attestation.Demand{}
			r.object(node, path, r.hardwareFields(anchor.Hardware))
		},
		"max-stale": func(node *yaml.Node, path string) {
			var d time.Duration
			r.span(&d)(node, path)
			anchor.MaxStale = client.Duration(d)
		},
	}
}

func (r *reader) hardwareFields(demand *attestation.Demand) fields {
	return fields{
		"min-firmware": func(node *yaml.Node, path string) {
			text, ok := r.scalar(node, path, "a version such as 5.7")
			if !ok {
				return
			}
			version, err := attestation.ParseVersion(text)
			if err != nil {
				r.fail(node, path, "%s", err)
			}
			demand.MinFirmware = version
		},
		"touch":   r.flag(&demand.Touch),
		"pin":     r.flag(&demand.PIN),
		"signers": r.flag(&demand.Signers),
		"roots":   r.pem(&demand.Roots, "the PEM of certificates, or a file that holds it"),
	}
}

// keyList returns how a list of public keys is read: each by its full key ID, as PEM,
// or by a file that holds that.
func (r *reader) keyList(to *[]string) func(*yaml.Node, string) {
	return func(node *yaml.Node, path string) {
		r.items(node, path, 64, func(item *yaml.Node, path string) {
			text, ok := r.scalar(item, path, "a key: its ID (64 hex digits), its PEM, or a file that holds that")
			if !ok {
				return
			}
			if raw, err := hex.DecodeString(text); err == nil && len(raw) == 32 {
				*to = append(*to, strings.ToLower(text))
				return
			}
			var data string
			before := len(r.errs)
			r.pem(&data, "a key: its ID (64 hex digits), its PEM, or a file that holds that")(item, path)
			if len(r.errs) > before {
				return
			}
			key, err := tuf.ParseKeyPEM([]byte(data))
			switch {
			case strings.Contains(data, "PRIVATE KEY-----"):
				r.fail(item, path, "this is a private key; only its public half may stand here")
			case err != nil:
				r.fail(item, path, "%s", detail(err))
			default:
				*to = append(*to, key.ID())
			}
		})
	}
}

// pem returns how a key is read that holds PEM, or names a file that does.
func (r *reader) pem(to *string, expected string) func(*yaml.Node, string) {
	return func(node *yaml.Node, path string) {
		text, ok := r.scalar(node, path, expected)
		switch {
		case !ok:
		case strings.Contains(text, "-----BEGIN"):
			*to = text
		case r.open == nil:
			r.fail(node, path, "%q, expected the PEM itself: this policy is no file of a folder in which others could be", clip(text))
		default:
			data, err := r.open(text)
			if err != nil {
				r.fail(node, path, "%q, expected %s: %s", clip(text), expected, err)
				return
			}
			*to = string(data)
		}
	}
}

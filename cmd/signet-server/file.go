package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/tuf"
)

// A configFile reads what is more than an option in the file:
//
//	repositories:
//	  - pattern: registry.example.com/team/**
//	    root-keys: [ID, ID]     # the only keys that root may list as its own
//	    max-root-life: 400d     # max-targets-life, max-signer-life
//	    hardware: {touch: true} # pin, signers, min-firmware, roots
type configFile struct{ program.ConfigFile }

// A rule is one of repositories.
type rule struct {
	server.Rule
	hardwareRoots string // the file of Hardware.Roots
}

// serverRules returns rules as the server takes them.
func serverRules(rules []rule) []server.Rule {
	var list []server.Rule
	for _, r := range rules {
		list = append(list, r.Rule)
	}
	return list
}

// hardware reads what a rule demands of keys, and the file that it names.
func (f configFile) hardware(node *yaml.Node) (d *attestation.Demand, roots string, err error) {
	d = &attestation.Demand{}
	err = f.Mapping(node, func(key string, at, value *yaml.Node) error {
		text, err := f.Text(value, false)
		if err != nil {
			return err
		}
		switch key {
		case "touch":
			err = trueOrFalse(text, &d.Touch)
		case "pin":
			err = trueOrFalse(text, &d.PIN)
		case "signers":
			err = trueOrFalse(text, &d.Signers)
		case "min-firmware":
			err = d.MinFirmware.UnmarshalText([]byte(text))
		case "roots":
			var data []byte
			data, err = os.ReadFile(text)
			roots, d.Roots = text, string(data)
			if err == nil {
				err = d.Check()
			}
		default:
			return f.Errorf(at, "unknown key %q in hardware; known are touch, pin, signers, min-firmware, roots", key)
		}
		if err != nil {
			return f.Errorf(value, "hardware: %s: %w", key, err)
		}
		return nil
	})
	return d, roots, err
}

func trueOrFalse(text string, to *bool) error {
	if text != "true" && text != "false" {
		return fmt.Errorf("%q is neither true nor false", text)
	}
	*to = text == "true"
	return nil
}

// keyIDPattern is what root-keys lists.
var keyIDPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// repositories reads the rules by name.
func (f configFile) repositories(o *options, node *yaml.Node) error {
	if node.Kind != yaml.SequenceNode {
		return f.Errorf(node, "repositories: expected a list of patterns with their rules")
	}
	for _, item := range node.Content {
		rule := rule{Rule: server.Rule{MaxLife: map[string]time.Duration{}}}
		err := f.Mapping(item, func(key string, at, value *yaml.Node) (err error) {
			switch key {
			case "pattern":
				if rule.Pattern, err = f.Text(value, false); err != nil {
					return err
				}
				if err := tuf.CheckPattern(rule.Pattern); err != nil {
					return f.Errorf(value, "%v", err)
				}
			case "root-keys":
				if rule.RootKeys, err = f.List(value); err != nil {
					return err
				}
				for _, id := range rule.RootKeys {
					if !keyIDPattern.MatchString(id) {
						return f.Errorf(value, "root-keys: %q is not a key ID of 64 hex digits", id)
					}
				}
				if len(rule.RootKeys) == 0 {
					return f.Errorf(value, "root-keys: an empty list would let nobody; leave it out to let anybody")
				}
			case "max-root-life", "max-targets-life", "max-signer-life":
				var life program.Duration
				text, err := f.Text(value, false)
				if err != nil {
					return err
				}
				if err := life.Set(text); err != nil {
					return f.Errorf(value, "%s: %v", key, err)
				}
				rule.MaxLife[strings.TrimSuffix(strings.TrimPrefix(key, "max-"), "-life")] = time.Duration(life)
			case "hardware":
				rule.Hardware, rule.hardwareRoots, err = f.hardware(value)
				return err
			default:
				return f.Errorf(at, "unknown key %q in repositories; known are pattern, root-keys, max-root-life, max-targets-life, max-signer-life, hardware", key)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if rule.Pattern == "" {
			return f.Errorf(item, "repositories: a rule without a pattern")
		}
		o.rules = append(o.rules, rule)
	}
	return nil
}

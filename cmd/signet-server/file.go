package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/server"
	"github.com/signet-trust/signet/tuf"
)

// readFile fills options that neither a flag nor the environment set. Its keys are
// the options' names, and repositories:
//
//	listen: 0.0.0.0:4443
//	repositories:
//	  - pattern: registry.example.com/team/**
//	    root-keys: [ID, ID]     # the only keys that root may list as its own
//	    max-root-life: 400d     # max-targets-life, max-signer-life
//	    hardware: {touch: true} # pin, signers, min-firmware, roots
//
// A key that nobody knows is refused, with its line: it is a mistake that would
// otherwise be found when it hurts.
func (o *options) readFile(path string, flags *pflag.FlagSet, known map[string]*pflag.Flag) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	if len(document.Content) == 0 {
		return nil // an empty file
	}
	file := configFile{path}
	return file.mapping(document.Content[0], func(key string, at, value *yaml.Node) error {
		switch {
		case key == "repositories":
			return file.repositories(o, value)
		case known[key] == nil || !settable(key) || key == "config":
			return file.errorf(at, "unknown key %q%s", key, similar(key, known))
		case flags.Changed(key): // a flag or the environment
			return nil
		}
		text, err := file.text(value, key == "tls-name")
		if err != nil {
			return err
		}
		if err := flags.Set(key, text); err != nil {
			return file.errorf(value, "%s: %v", key, err)
		}
		return nil
	})
}

// A configFile makes errors that name the file and line.
type configFile struct{ path string }

func (f configFile) errorf(at *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("configuration %s:%d: %w", f.path, at.Line, fmt.Errorf(format, args...))
}

// mapping calls do for every key of a mapping, once each.
func (f configFile) mapping(node *yaml.Node, do func(key string, at, value *yaml.Node) error) error {
	if node.Kind != yaml.MappingNode {
		return f.errorf(node, "expected keys and values")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		at, value := node.Content[i], node.Content[i+1]
		if seen[at.Value] {
			return f.errorf(at, "the key %q stands twice", at.Value)
		}
		seen[at.Value] = true
		if err := do(at.Value, at, value); err != nil {
			return err
		}
	}
	return nil
}

// text returns a scalar, or a list of them where one may stand, as a flag takes it.
func (f configFile) text(node *yaml.Node, list bool) (string, error) {
	if list && node.Kind == yaml.SequenceNode {
		values, err := f.list(node)
		return strings.Join(values, ","), err
	}
	if node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		return "", f.errorf(node, "expected one value")
	}
	return node.Value, nil
}

func (f configFile) list(node *yaml.Node) ([]string, error) {
	if node.Kind != yaml.SequenceNode {
		return nil, f.errorf(node, "expected a list")
	}
	var values []string
	for _, item := range node.Content {
		if item.Kind != yaml.ScalarNode {
			return nil, f.errorf(item, "expected a value")
		}
		values = append(values, item.Value)
	}
	return values, nil
}

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
	err = f.mapping(node, func(key string, at, value *yaml.Node) error {
		text, err := f.text(value, false)
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
			return f.errorf(at, "unknown key %q in hardware; known are touch, pin, signers, min-firmware, roots", key)
		}
		if err != nil {
			return f.errorf(value, "hardware: %s: %w", key, err)
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
		return f.errorf(node, "repositories: expected a list of patterns with their rules")
	}
	for _, item := range node.Content {
		rule := rule{Rule: server.Rule{MaxLife: map[string]time.Duration{}}}
		err := f.mapping(item, func(key string, at, value *yaml.Node) (err error) {
			switch key {
			case "pattern":
				if rule.Pattern, err = f.text(value, false); err != nil {
					return err
				}
				if err := tuf.CheckPattern(rule.Pattern); err != nil {
					return f.errorf(value, "%v", err)
				}
			case "root-keys":
				if rule.RootKeys, err = f.list(value); err != nil {
					return err
				}
				for _, id := range rule.RootKeys {
					if !keyIDPattern.MatchString(id) {
						return f.errorf(value, "root-keys: %q is not a key ID of 64 hex digits", id)
					}
				}
				if len(rule.RootKeys) == 0 {
					return f.errorf(value, "root-keys: an empty list would let nobody; leave it out to let anybody")
				}
			case "max-root-life", "max-targets-life", "max-signer-life":
				var life duration
				text, err := f.text(value, false)
				if err != nil {
					return err
				}
				if err := life.Set(text); err != nil {
					return f.errorf(value, "%s: %v", key, err)
				}
				rule.MaxLife[strings.TrimSuffix(strings.TrimPrefix(key, "max-"), "-life")] = time.Duration(life)
			case "hardware":
				rule.Hardware, rule.hardwareRoots, err = f.hardware(value)
				return err
			default:
				return f.errorf(at, "unknown key %q in repositories; known are pattern, root-keys, max-root-life, max-targets-life, max-signer-life, hardware", key)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if rule.Pattern == "" {
			return f.errorf(item, "repositories: a rule without a pattern")
		}
		o.rules = append(o.rules, rule)
	}
	return nil
}

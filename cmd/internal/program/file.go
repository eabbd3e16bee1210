package program

import (
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A ConfigFile reads nodes of a configuration file, with errors that name the file
// and line.
type ConfigFile struct{ path string }

// openConfig returns the top of the file, nil for an empty one.
func openConfig(path string) (ConfigFile, *yaml.Node, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return ConfigFile{}, nil, Advise(fmt.Errorf("configuration (--config): %w", err), "look at the name of the file that --config, or the environment in its place, gives, and whether it may be read")
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return ConfigFile{}, nil, correctConfig(path, fmt.Errorf("configuration %s: %w", path, err))
	}
	if len(document.Content) == 0 {
		return ConfigFile{}, nil, nil
	}
	return ConfigFile{path}, document.Content[0], nil
}

// Errorf returns an error about a place in the file.
func (f ConfigFile) Errorf(at *yaml.Node, format string, args ...any) error {
	return correctConfig(f.path, fmt.Errorf("configuration %s:%d: %w", f.path, at.Line, fmt.Errorf(format, args...)))
}

func correctConfig(path string, err error) error {
	return Advise(err, "correct %s, the file of --config; docs/configuration.md has every key", path)
}

// Mapping calls do for every key of a mapping, once each.
func (f ConfigFile) Mapping(node *yaml.Node, do func(key string, at, value *yaml.Node) error) error {
	if node.Kind != yaml.MappingNode {
		return f.Errorf(node, "expected keys and values")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		at, value := node.Content[i], node.Content[i+1]
		if seen[at.Value] {
			return f.Errorf(at, "the key %q stands twice", at.Value)
		}
		seen[at.Value] = true
		if err := do(at.Value, at, value); err != nil {
			return err
		}
	}
	return nil
}

// Text returns one value as it is written. With list it may be several, which are
// joined as a flag takes them.
func (f ConfigFile) Text(node *yaml.Node, list bool) (string, error) {
	if list && node.Kind == yaml.SequenceNode {
		values, err := f.List(node)
		return strings.Join(values, ","), err
	}
	if node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		return "", f.Errorf(node, "expected one value")
	}
	return node.Value, nil
}

// List returns the values of a list.
func (f ConfigFile) List(node *yaml.Node) ([]string, error) {
	if node.Kind != yaml.SequenceNode {
		return nil, f.Errorf(node, "expected a list")
	}
	var values []string
	for _, item := range node.Content {
		if item.Kind != yaml.ScalarNode {
			return nil, f.Errorf(item, "expected a value")
		}
		values = append(values, item.Value)
	}
	return values, nil
}

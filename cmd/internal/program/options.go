package program

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// Options say where the options of a service come from, beside flags. Each has one
// name, as a flag (--tls-cert), in the environment (SIGNET_SERVER_TLS_CERT) and in
// the file (tls-cert).
type Options struct {
	Prefix   string               // of the environment's variables, "SIGNET_SERVER_"
	Register func(*pflag.FlagSet) // names every option; config, a file, is one of them
	Lists    []string             // options that may be a list in the file
	// Keys are those of the file that are no options.
	Keys map[string]func(ConfigFile, *yaml.Node) error
}

// Load fills options that no flag set from the environment, then from the file.
func (o Options) Load(flags *pflag.FlagSet, environ []string) error {
	known := map[string]*pflag.Flag{}
	fromFlag := map[string]bool{}
	names := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.Register(names)
	names.VisitAll(func(f *pflag.Flag) {
		known[f.Name] = flags.Lookup(f.Name)
		fromFlag[f.Name] = flags.Changed(f.Name)
	})
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		name, ok := strings.CutPrefix(variable, o.Prefix)
		if !ok {
			continue
		}
		name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		if known[name] == nil {
			return fmt.Errorf("environment: unknown variable %s%s", variable, similar(name, known))
		}
		if fromFlag[name] {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return fmt.Errorf("environment: %s: %w", variable, err)
		}
	}
	if path := flags.Lookup("config").Value.String(); path != "" {
		return o.readFile(path, flags, known)
	}
	return nil
}

// readFile fills options that neither a flag nor the environment set. A key that
// nobody knows is refused, with its line: it is a mistake that would otherwise be
// found when it hurts.
func (o Options) readFile(path string, flags *pflag.FlagSet, known map[string]*pflag.Flag) error {
	file, top, err := openConfig(path)
	if err != nil || top == nil {
		return err
	}
	return file.Mapping(top, func(key string, at, value *yaml.Node) error {
		switch {
		case o.Keys[key] != nil:
			return o.Keys[key](file, value)
		case known[key] == nil || key == "config":
			return file.Errorf(at, "unknown key %q%s", key, similar(key, known))
		case flags.Changed(key): // a flag or the environment
			return nil
		}
		if value.Kind != yaml.ScalarNode && !slices.Contains(o.Lists, key) {
			return file.Errorf(value, "%s: expected one value", key)
		}
		text, err := file.Text(value, true)
		if err != nil {
			return err
		}
		if err := flags.Set(key, text); err != nil {
			return file.Errorf(value, "%s: %w", key, err)
		}
		return nil
	})
}

// similar is a hint at a known option that name may have meant.
func similar(name string, known map[string]*pflag.Flag) string {
	for _, candidate := range slices.Sorted(maps.Keys(known)) {
		if strings.HasPrefix(candidate, name) || strings.HasPrefix(name, candidate) ||
			strings.ReplaceAll(candidate, "-", "") == strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name)) {
			return fmt.Sprintf(" (did you mean %s?)", candidate)
		}
	}
	return ""
}

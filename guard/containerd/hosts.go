package containerd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
)

// Hosts is a hosts.toml for one registry.
type Hosts struct {
	Registry string // host[:port], as in images' names: "registry.example.com"
	Gate     string // the gate's address, "https://HOST:PORT"
	// Files on the node, absolute: the CA of the gate's certificate ("": the
	// system's), and the certificate that the node shows, with its key.
	CA, Cert, Key string
	// RegistryCA is the CA of the registry's certificate; "": the system's. A registry
	// on this machine without one is asked over plain HTTP, as containerd does.
	RegistryCA string
	// Resolve lets the registry resolve what the gate does not: for a policy that
	// warns, audits or exempts.
	Resolve bool
}

const hostsHead = `# %[1]s/hosts.toml in containerd's folder of hosts (config_path of its CRI plugin,
# usually /etc/containerd/certs.d; ctr and nerdctl: --hosts-dir).
#
# Containerd asks the gate which digest a tag of %[2]s means, and pulls that digest
# from the registry. What it does not stop:
#   - A reference that is a digest already is asked about too, but where the gate does
#     not answer, it is pulled from the registry unasked. Image verifier plugins and
#     admission see those.
#   - If this file is not there, cannot be read or has a mistake, or if config_path is
#     not set, or names several folders (as it does by default since containerd 2.2),
#     containerd pulls from the registry unasked: signet doctor --node tells.
#   - Images that are on the node already, and whoever may use containerd's socket:
#     ctr asks nobody without --hosts-dir.
`

// Write writes it, with comments that say what it does not stop.
func (h Hosts) Write(w io.Writer) error {
	if err := h.check(); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, hostsHead, h.Registry, h.Registry)
	if h.Resolve {
		b.WriteString(`#   - The registry may resolve here: while the gate does not answer, every tag is
#     pulled unasked. It is for a policy that warns or audits; take it away to enforce.
`)
	}
	capabilities := `["pull"]`
	if h.Resolve {
		capabilities = `["pull", "resolve"]`
	} else {
		b.WriteString(`# The registry has no "resolve": while the gate does not answer, no tag is pulled.
`)
	}
	fmt.Fprintf(&b, "\nserver = %q\ncapabilities = %s\n", h.server(), capabilities)
	if h.RegistryCA != "" {
		fmt.Fprintf(&b, "ca = %q\n", h.RegistryCA)
	}
	fmt.Fprintf(&b, "\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", h.Gate)
	if h.CA != "" {
		fmt.Fprintf(&b, "  ca = %q\n", h.CA)
	}
	if h.Cert != "" {
		fmt.Fprintf(&b, "  client = [[%q, %q]]\n", h.Cert, h.Key)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// server is the registry's own address.
func (h Hosts) server() string {
	host := h.Registry
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	switch {
	case h.Registry == "docker.io":
		return "https://registry-1.docker.io"
	case h.RegistryCA == "" && (host == "localhost" || (ip != nil && ip.IsLoopback())):
		return "http://" + h.Registry
	}
	return "https://" + h.Registry
}

func (h Hosts) check() error {
	gate, err := url.Parse(h.Gate)
	switch {
	case err != nil || gate.Scheme != "https" || gate.Host == "" || (gate.Path != "" && gate.Path != "/") || gate.RawQuery != "":
		return fmt.Errorf("the gate's address %q is not https://HOST:PORT", h.Gate)
	case (h.Cert == "") != (h.Key == ""):
		return errors.New("the node's certificate and its key go together")
	case strings.ContainsAny(h.Registry, "/\\ \t\r\n\"'") || h.Registry == "":
		return fmt.Errorf("%q is not a registry's host, such as registry.example.com or registry.example.com:5000", h.Registry)
	case gate.Host == h.Registry:
		return errors.New("the gate cannot stand at the registry's own address: containerd would not say which registry it asks for")
	}
	for _, file := range []string{h.CA, h.Cert, h.Key, h.RegistryCA} {
		if strings.ContainsAny(file, "\"\\\r\n") {
			return fmt.Errorf("%q cannot be the name of a file in hosts.toml", file)
		}
	}
	return nil
}

package main

import (
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/guard/containerd"
)

// newHosts prints what a node needs, and reads nothing of the gate's own options.
func newHosts() *cobra.Command {
	var h containerd.Hosts
	cmd := &cobra.Command{
		Use:   "containerd REGISTRY",
		Short: "Print the hosts.toml that puts the gate in front of a registry",
		Long: `Containerd prints the hosts.toml of one registry, for containerd and all that resolve
names as it does: the gate says what a tag means, the registry has the content.
Save it as REGISTRY/hosts.toml in the folder that config_path names. Comments in it say
what it does not stop.`,
		Args:              program.OneArg("the registry's host as in images' names, such as registry.example.com:5000"),
		PersistentPreRunE: func(*cobra.Command, []string) error { return nil }, // in place of the root's
		RunE: func(cmd *cobra.Command, args []string) error {
			h.Registry = args[0]
			if h.Gate == "" {
				return program.UsageError{Err: errors.New("--gate says where nodes reach the gate: https://HOST:PORT")}
			}
			for _, file := range []string{h.CA, h.Cert, h.Key, h.RegistryCA} {
				if file != "" && !filepath.IsAbs(file) {
					return program.UsageError{Err: errors.New("files are those on the node, and have to be absolute: containerd takes others from the folder of hosts.toml")}
				}
			}
			if err := h.Write(cmd.OutOrStdout()); err != nil {
				return program.UsageError{Err: err}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&h.Gate, "gate", "", "the gate's `URL` as nodes reach it: https://HOST:PORT")
	f.StringVar(&h.CA, "gate-ca", "", "`file` on the node with the CA of the gate's certificate")
	f.StringVar(&h.Cert, "node-cert", "", "`file` on the node with the certificate to show to the gate")
	f.StringVar(&h.Key, "node-key", "", "`file` on the node with its private key")
	f.StringVar(&h.RegistryCA, "node-registry-ca", "", "`file` on the node with the CA of the registry's certificate (default: the system's; one on loopback is asked over plain HTTP)")
	f.BoolVar(&h.Resolve, "resolve", false, "let the registry resolve what the gate does not: for a policy that warns or audits")
	return cmd
}

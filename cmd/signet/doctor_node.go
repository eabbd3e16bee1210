package main

import (
	"context"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/signet-trust/signet/nodecheck"
	"github.com/signet-trust/signet/tuf"
)

// nodeFlags are doctor's flags for the node that it runs on.
type nodeFlags struct {
	node             bool
	containerdConfig string
	hostsDirs        []string
	namespaces       []string
	probes           []string
}

func (flags *nodeFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&flags.node, "node", false, "look whether this node enforces: run an image that nobody has signed past each door")
	f.StringVar(&flags.containerdConfig, "containerd-config", "/etc/containerd/config.toml", "with --node: containerd's configuration `file`")
	f.StringArrayVar(&flags.hostsDirs, "hosts-dir", nil, "with --node: `folder` of hosts.toml, in place of those that containerd reads; may be repeated")
	f.StringArrayVar(&flags.namespaces, "namespace", nil, "with --node: a Kubernetes `namespace` in which kubectl tries to create a pod, as a dry run; may be repeated")
	f.StringArrayVar(&flags.probes, "probe", nil, "with --node: a `repository` that a rule of the policy is for, to ask about by a tag that nobody has signed; may be repeated")
}

// repositories reads the probes.
func (flags *nodeFlags) repositories() ([]string, error) {
	var list []string
	for _, probe := range flags.probes {
		image, err := tuf.ParseImage(probe)
		switch {
		case err != nil:
			return nil, usagef("--probe: %v", err)
		case image.Tag != "" || image.Digest != "":
			return nil, usagef("--probe %s: it takes a repository, %s, and makes up a tag of its own, which nobody has signed", probe, image.Repository)
		}
		list = append(list, image.Repository)
	}
	return list, nil
}

// nodeChecks looks at the node alone.
func (e *examination) nodeChecks(ctx context.Context, flags nodeFlags) error {
	probes, err := flags.repositories()
	if err != nil {
		return err
	}
	config := nodecheck.Config{Probes: probes, File: flags.containerdConfig, HostsDirs: flags.hostsDirs, Namespaces: flags.namespaces, Kubectl: "kubectl", Timeout: e.app.timeout}
	if path, err := exec.LookPath("containerd"); err == nil {
		config.Containerd = path
	}
	if len(flags.namespaces) > 0 {
		path, err := exec.LookPath("kubectl")
		if err != nil {
			return usagef("--namespace needs kubectl: %v", err)
		}
		config.Kubectl = path
	}
	anchors, err := e.app.anchors()
	if err != nil {
		return err
	}
	for _, anchor := range anchors {
		host, _, _ := strings.Cut(anchor.Pattern, "/")
		if !strings.ContainsAny(host, "*?") && !slices.Contains(config.Registries, host) {
			config.Registries = append(config.Registries, host)
		}
	}
	found, err := nodecheck.Check(ctx, config)
	if err != nil {
		return err
	}
	for _, f := range found {
		e.Findings = append(e.Findings, finding{f.Check, string(f.Status), clip(f.Detail, maxSentence), f.Advice})
	}
	return nil
}

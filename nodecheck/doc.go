// Package nodecheck finds enforcement that is silently off on a node: it reads what
// containerd would do, runs a reference that nobody has signed past each door, and
// says which one let it through.
//
//	containerd's settings, as it understands them   containerd.go
//	hosts.toml: who resolves tags                   hosts.go
//	image verifier plugins, and who goes past them  verifiers.go
//	Kubernetes' admission                           kubernetes.go
//	what is asked about, and what an answer proves  probe.go
//
// What it knows of containerd is that of 1.6 to 2.2.
package nodecheck

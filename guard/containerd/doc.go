// Package containerd has the gate's two doors for containerd, and for every other
// program that resolves names as it does (nerdctl, BuildKit, docker with containerd's
// image store, Kubernetes' CRI).
//
//	hosts.toml: which digest does this tag mean?    door.go, answer.go
//	the hosts.toml itself                           hosts.go
//	image verifier plugin: may this be pulled?      plugin.go
//
// In hosts.toml the gate stands first, with the capabilities pull and resolve, and the
// registry second with pull alone. Containerd then asks the gate, and only the gate,
// what a tag means: one HEAD gives the signed digest. Content is 404 here, so it comes
// from the registry, by that digest, with the registry's credentials. The gate never
// challenges: containerd would hand it the secrets that it pulls with.
//
// What a refusal's status has to do (containerd's remotes/docker/resolver.go): on 404
// and on every status from 400 on, and when nobody answers, containerd goes on to the
// next host that may resolve. From 300 to 399, without a Location, it gives up at
// once, in every version from 1.4 on; so that is what a refusal is. Where the
// registry, by mistake or on purpose, may resolve too, a refused name is refused all
// the same. Since the answer to a HEAD has no body, the reason is in the status line,
// which containerd prints.
package containerd

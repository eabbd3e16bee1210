// Package deploy tries the doors on real parts: an API server with Debian's etcd,
// Gatekeeper, containerd 2 with its image verifier plugins and its CRI, which crictl
// asks. scripts/test-deploy builds those, which takes minutes, and runs the tests that
// have the build tag deploy; the ordinary tests look at the manifests in
// deploy/kubernetes alone.
package deploy

// Package workload finds the images that Kubernetes objects run: pods, and every
// object that holds a pod's template. The gate asks it about admissions, the command
// line about manifests.
package workload

// Package workload finds the images that Kubernetes objects run: pods, and every
// object that holds a pod's template. The gate asks it about admissions, the command
// line about manifests.
//
//	Pod                                                       /spec
//	PodTemplate                                               /template/spec
//	ReplicationController, ReplicaSet, Deployment,
//	StatefulSet, DaemonSet, Job                               /spec/template/spec
//	CronJob                                                   /spec/jobTemplate/spec/template/spec
//	List, and PodList, DeploymentList and so on               each of /items
//
// In a pod's specification it looks at initContainers, containers,
// ephemeralContainers, and the volumes that are images.
//
// An object whose shape is not what its kind says is an error that names the place:
// skipping it would call an image checked that nobody looked at. Of other kinds
// ([Known]) it knows nothing, and whoever asks has to say what that means.
//
// Who may be evil: whoever wrote the object. Its size is the caller's to bound.
package workload

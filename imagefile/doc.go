// Package imagefile finds the images that files name: lists, compose files,
// Kubernetes manifests and Dockerfiles. It writes digests into them, too. It asks
// nobody anything: bytes go in, [Use]s and bytes come out.
//
//	formats, limits                             file.go
//	one reference a line                        list.go
//	YAML and JSON: places in the source         yaml.go
//	compose files (compose specification)       compose.go
//	Kubernetes objects, over package workload   kubernetes.go
//	Dockerfiles, by BuildKit's own parser       dockerfile.go
//	digests written in place                    pin.go
//
// Whatever might name an image and cannot be read is a Use with a Problem, never
// left out: whoever checks a file must not get a yes for a part of it that nobody
// looked at. A file in which nothing is found is an error for the same reason.
package imagefile

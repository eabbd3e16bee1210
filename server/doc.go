// Package server is the metadata server: it serves signed files to whoever
// asks, takes publishes from those who may, and keeps timestamps fresh.
//
//	who asks        names.go (is that a name at all?), limit.go (how often?), auth.go (with which token?)
//	read            read.go: files as they were published, with caching headers
//	publish         publish.go: check all with tuf, have the signer sign, one transaction
//	propose         propose.go, proposals.go: publishes that wait for signatures
//	refresh         refresh.go: in the background, ahead of expiry; prune.go
//	recover         recover.go: finish what was signed when a server died
//	tell            handle.go (problems, RFC 9457), info.go, health.go, metrics.go
//
// It holds no trust: whoever takes it over, or its database, can refuse service
// and withhold what is new until the timestamp expires, but cannot make a client
// accept a digest that no publisher signed. So every check here is made again by
// the client; what only this side enforces is who may publish, limits, and that
// broken metadata is refused before it is stored rather than when it is read.
//
// Several servers may share one store and one signer. Which publish wins is
// decided by the store's compare-and-swap, and by the signer's marks, never here.
package server

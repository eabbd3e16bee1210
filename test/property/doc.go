// Package property plays random histories of a repository: publishes, rotations of
// every key, signers that come and go, time that passes, servers that lie, online
// keys that are stolen. After each step a verifier that was anywhere in the past is
// asked, and what it says is held against three judges that share no code with it:
// what was really published; that nothing ever steps back; and go-tuf's own
// trustedmetadata, fed with the same bytes.
//
//	go test ./test/property                          30 histories
//	go test ./test/property -rapid.checks 10000      more of them
//	go test ./test/property -rapid.failfile FILE     one again, which rapid has kept
package property

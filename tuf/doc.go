// Package tuf decides whether metadata may be trusted. It does no I/O, reads no
// clock and writes no log: bytes and a time go in, a verdict comes out, so the
// server (before it stores an upload), the signer (before it signs) and the
// client (before it believes a download) run the very same checks.
//
// Sections are those of the TUF specification, version 1.0.34.
//
//	§4.1-4.5  strict reading ahead of every parse   shape.go
//	§4.2      keys and key IDs                      key.go
//	§5.3-5.6  the order of the update workflow      trusted.go
//	§5.6.7    the delegation search                 search.go
//	§6        what a publisher and the signer write build.go, targets.go
//	          what a server demands beyond that     publish.go
//	          names: OCI references, target paths   name.go
//
// Formats, canonical form and signature rules are those of go-tuf's metadata and
// trustedmetadata packages; the strict reading ahead of them, the order of the
// workflow and the search are this package's.
//
// A refusal is a *Refusal or an *ExpiredError and means "untrusted". Any other
// trouble (a file that could not be fetched, say) is the caller's and means
// "could not find out".
//
// Not implemented: mirrors (§4.7).
package tuf

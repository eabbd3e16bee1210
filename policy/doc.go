// Package policy decides whether an image may run: a YAML file, kept in git, says
// for which names which keys count and what else must hold, and an [Engine] holds
// each image against it. The command line and the gate read the same file.
//
//	the file: strict reading, limits       file.go, read.go
//	what shadows, never fits, has ended    lint.go
//	from a name to its rule                match.go
//	the decision                           engine.go
//
// Rules are in order, and the first that fits decides. No rule, no run: a name that
// no rule fits is refused.
//
// Who may be evil: whoever is asked about (names, tags, digests), and every server.
// Whoever can write the file decides what runs; it can be taken from a signed
// artifact, whose trust anchor comes from local configuration only, so that no
// policy widens its own anchor.
package policy

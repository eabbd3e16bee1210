// Package policy decides whether an image may run: a YAML file, kept in git, says
// for which names which keys count and what else must hold, and an [Engine] holds
// each image against it. The command line and the gate read the same file.
//
//	the file, and its limits        policy.go, schema.go
//	strict reading                  read.go, read_rules.go, read_anchors.go, read_rest.go
//	from a name to its rule         match.go, pattern.go
//	the decision                    engine.go, judge.go
//	what Kubernetes' doors ask      kubernetes.go
//	what shadows, never fits, ends  lint.go, lint_rules.go
//
// Rules are in order, and the first that fits decides. No rule, no run: a name that
// no rule fits is refused. What cannot be read, found out or evaluated is refused,
// too.
//
// Who may be evil: whoever is asked about (names, tags, digests), and every server.
// Whoever can write the file decides what runs; it can be taken from a signed
// artifact, whose trust anchor comes from local configuration only, so that no
// policy widens its own anchor.
//
// Nothing here asks a server; [Load] alone reads files: the policy, and the keys and
// certificates that it names.
package policy

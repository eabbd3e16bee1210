// Package guard is the gate in front of what deploys: whoever is about to run an
// image asks at one of its doors, and gets the policy's decision. The doors speak
// the languages of those who ask; what they have in common is here.
//
//	the decision, counted and logged      gate.go, log.go, metrics.go
//	what its doors know of it             door/
//	doors, limits                         door.go
//	POST /v1/decide, and who asks it      decide.go, remote.go
//	is it well?                           health.go
//
// The other doors are packages below: containerd, kubernetes.
//
// Who may be evil: whoever asks (names, digests, sizes and rates are bounded, and
// nothing of theirs gets into the log as it is), the registry, and every trust
// server. Whoever asks learns what the policy says of any name: where that matters,
// demand clients' certificates. Whoever can write the policy, trust.json or the
// state folder decides what runs.
//
// It fails closed: no policy, no answer in time, a panic or a decision that says two
// things are refusals.
package guard

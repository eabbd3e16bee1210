// Package door is what a gate and its doors have in common: the question, who asks it,
// and the answer. It decides as a gate does, and counts and logs nothing: a command
// that is to tell what a gate would answer links this, and no server around it.
//
//	the decision                          decide.go
//	what the registry offers for a name   offered.go
//	what to do about a refusal            next.go
//	a door, and who stands before it      door.go, who.go, asker.go
//
// Who may be evil: as for package guard, whose gate decides by this one.
package door

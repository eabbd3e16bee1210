package tuf

import (
	"fmt"
	"time"
)

// CheckState holds a repository's files together as a client without a cache
// would: root by its own keys, timestamp, snapshot, targets and every signer. It
// is the last look of a server, or of an admin, at what is to be served. It
// returns the verified metadata.
func CheckState(repository string, s *State, now time.Time, limits Limits) (*Trusted, error) {
	t, err := NewTrusted(repository, s.Root.Bytes, now, limits)
	if err != nil {
		return nil, err
	}
	if err := t.UpdateTimestamp(s.Timestamp.Bytes); err != nil {
		return nil, err
	}
	if err := t.UpdateSnapshot(s.Snapshot.Bytes, false); err != nil {
		return nil, err
	}
	load := func(role, delegator string) error {
		file, ok := s.Roles[role]
		if !ok {
			return fmt.Errorf("%s of %s: %w", role, repository, ErrNotFound)
		}
		return t.UpdateRole(file.Bytes, role, delegator)
	}
	if err := t.Walk(load, func(string, string, *Targets) error { return nil }); err != nil {
		return nil, err
	}
	return t, nil
}

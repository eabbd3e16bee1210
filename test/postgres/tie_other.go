//go:build !linux

package postgres

import "os/exec"

// An identity is the user that Postgres runs as: here always the present one.
type identity struct{}

func unprivileged() (*identity, error) { return nil, nil }

func (*identity) own(string) error { return nil }

func (*identity) apply(*exec.Cmd) {}

// tie does nothing here: only Linux ends a process with its parent.
func tie(*exec.Cmd) (untie func()) { return func() {} }

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestCarriedPipe has a pipe in a file's place into which nobody ever writes: whoever
// waits for it can stop.
func TestCarriedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "proposal")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // let whoever still opens it go
		if f, err := os.OpenFile(path, os.O_RDWR, 0); err == nil {
			f.Close()
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readProposalFile(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a proposal: %v", err)
	}
	a := &app{}
	if err := a.heed(ctx, &replaced{}, path, false); !errors.Is(err, context.Canceled) {
		t.Errorf("a notice: %v", err)
	}
}

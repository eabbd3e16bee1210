package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/signet-trust/signet/tuf"
)

// A folder keeps verified metadata, the newest file of each role under the role's
// escaped name.
type folder string

func (f folder) path(role string) string { return filepath.Join(string(f), escape(role)+".json") }

// Load returns the file of role, or nil.
func (f folder) Load(role string) ([]byte, error) {
	data, err := os.ReadFile(f.path(role))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Save replaces files one by one; nil bytes remove one.
func (f folder) Save(_ context.Context, files []tuf.File) error {
	for _, file := range files {
		if file.Bytes == nil {
			if err := os.Remove(f.path(file.Role)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if err := replace(f.path(file.Role), file.Bytes); err != nil {
			return err
		}
	}
	return nil
}

// replace puts data at path in one step.
func replace(path string, data []byte) (err error) {
	t, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(t.Name()))
		}
	}()
	if _, err = t.Write(data); err != nil {
		return errors.Join(err, t.Close())
	}
	if err = t.Close(); err != nil {
		return err
	}
	return os.Rename(t.Name(), path)
}

package main

import (
	"errors"
	"os"
	"sync"
)

// A lineFile is a file that lines are added to, and that somebody else may move away.
// Nil is none.
type lineFile struct {
	path string

	mu   sync.Mutex
	file *os.File
}

func openLines(path string) (*lineFile, error) {
	l := &lineFile{path: path}
	return l, l.Reopen()
}

// Write adds a line.
func (l *lineFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(line)
}

// Reopen opens the file of that name anew. The one from before stays if it cannot.
func (l *lineFile) Reopen() error {
	if l == nil {
		return nil
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.file
	l.file = file
	if old != nil {
		return old.Close()
	}
	return nil
}

// Close ends it.
func (l *lineFile) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.file.Sync(), l.file.Close())
}

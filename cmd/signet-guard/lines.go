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

// Write adds lines. It holds no lock while it does, for a disk may hang: whoever
// reopens the file waits for none.
func (l *lineFile) Write(lines []byte) (int, error) {
	n, err := l.open().Write(lines)
	if n == 0 && errors.Is(err, os.ErrClosed) { // reopened in between
		n, err = l.open().Write(lines)
	}
	return n, err
}

func (l *lineFile) open() *os.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file
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
	old := l.file
	l.file = file
	l.mu.Unlock()
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
	file := l.open()
	return errors.Join(file.Sync(), file.Close())
}

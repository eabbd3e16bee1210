package main

import (
	"errors"
	"io"
	"os"
	"sync"
)

// A lineFile is a file that lines are added to, and that somebody else may move away.
// Nil is none.
type lineFile struct {
	path string
	torn bool // its last line was begun by a gate that has ended; Write's own

	mu   sync.Mutex
	file *os.File
}

func openLines(path string) (*lineFile, error) {
	l := &lineFile{path: path, torn: endsTorn(path)}
	return l, l.Reopen()
}

// endsTorn tells whether a file is there and ends within a line, as far as it may be read.
func endsTorn(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false // who opens a pipe to read takes from its reader
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	last := make([]byte, 1)
	if _, err := file.Seek(-1, io.SeekEnd); err != nil {
		return false
	}
	n, err := file.Read(last)
	return err == nil && n == 1 && last[0] != '\n'
}

// Write adds lines. It holds no lock while it does, for a disk may hang: whoever
// reopens the file waits for none.
func (l *lineFile) Write(lines []byte) (int, error) {
	if l.torn {
		if _, err := l.open().Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		l.torn = false
	}
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

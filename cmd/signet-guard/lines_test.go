package main

import (
	"os"
	"path/filepath"
	"testing"
)

// What an earlier gate began to write, on a disk that was full, is ended before anything is
// added: the first line of the next gate can be read.
func TestLinesBeginOnTheirOwn(t *testing.T) {
	for _, test := range []struct{ before, want string }{
		{"", "{\"b\":1}\n"},
		{"{\"a\":1}\n", "{\"a\":1}\n{\"b\":1}\n"},
		{"{\"a\":1}", "{\"a\":1}\n{\"b\":1}\n"},
		{"{\"a\":1}\n{\"a", "{\"a\":1}\n{\"a\n{\"b\":1}\n"},
	} {
		path := filepath.Join(t.TempDir(), "decisions")
		if err := os.WriteFile(path, []byte(test.before), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := openLines(path)
		if err != nil {
			t.Fatal(err)
		}
		line := []byte("{\"b\":1}\n")
		if n, err := l.Write(line); n != len(line) || err != nil {
			t.Errorf("%d bytes were written, %v", n, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != test.want {
			t.Errorf("after %q: got %q, %v", test.before, got, err)
		}
	}
}

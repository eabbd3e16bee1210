//go:build linux && cgo

package yubikey_test

import (
	"bytes"
	"compress/gzip"
	"testing"
)

// certificateIn takes the certificate out of an object that we wrote.
func certificateIn(t *testing.T, object []byte) []byte {
	t.Helper()
	if len(object) < 4 || object[0] != 0x70 || object[1] != 0x82 {
		t.Fatalf("object %x", object)
	}
	return object[4 : 4+int(object[2])<<8+int(object[3])]
}

func certificateObject(value []byte, info byte) []byte {
	object := append([]byte{0x70, 0x82, byte(len(value) >> 8), byte(len(value))}, value...)
	return append(object, 0x71, 1, info, 0xfe, 0)
}

func zip(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// compressed is the object as other programs write it when room is short.
func compressed(t *testing.T, object []byte) []byte {
	t.Helper()
	return certificateObject(zip(t, certificateIn(t, object)), 1)
}

func bomb(t *testing.T) []byte {
	t.Helper()
	return certificateObject(zip(t, make([]byte, 1<<20)), 1)
}

package limit

import "testing"

// One address cannot take every place, and gives back what it had.
func TestCounts(t *testing.T) {
	var c Counts
	free, ok := c.Take("192.0.2.1", 1)
	if !ok {
		t.Fatal("the first is refused")
	}
	if _, ok := c.Take("192.0.2.1", 1); ok {
		t.Error("the second is not refused")
	}
	if _, ok := c.Take("192.0.2.2", 1); !ok {
		t.Error("another address is refused")
	}
	free()
	free() // once is enough
	if _, ok := c.Take("192.0.2.1", 1); !ok {
		t.Error("its place is not free again")
	}
	if len(c.of) != 2 {
		t.Errorf("%d addresses are remembered", len(c.of))
	}
}

func TestClientAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"127.0.0.1:1":              "",
		"[::1]:1":                  "",
		"192.0.2.7:1":              "192.0.2.7",
		"[::ffff:192.0.2.7]:1":     "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64",
	} {
		if got := Address(remote); got != want {
			t.Errorf("%s is %q, expected %q", remote, got, want)
		}
	}
}

// Memory for addresses is bounded, and those that ask often stay limited.
func TestBucketsAreBounded(t *testing.T) {
	s := NewBuckets(50)
	busy := s.bucket("busy")
	for i := range 3 * MaxTracked {
		s.bucket(string(rune(i)) + "x")
		if i%1000 == 0 && s.bucket("busy") != busy {
			t.Fatal("who asks often was forgotten")
		}
	}
	if n := s.held(); n > 2*MaxTracked {
		t.Fatalf("%d are remembered", n)
	}
}

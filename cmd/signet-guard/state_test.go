package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/signet-trust/signet/guard"
)

// However often readiness is asked for, the folder is written to once in five seconds; what
// is answered is no older, be it good or bad.
func TestStateIsTriedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries int
		var broken error
		c := &stateCheck{try: func() (string, error) { tries++; return "", broken }}
		expect := func(what string, state guard.State, n int) {
			t.Helper()
			for range 100 {
				if got, text := c.check(); got != state {
					t.Fatalf("%s: %v: %s", what, got, text)
				}
			}
			if tries != n {
				t.Errorf("%s: tried %d times, expected %d", what, tries, n)
			}
		}
		expect("at first", guard.OK, 1)
		broken = errors.New("no space left on device")
		<-time.After(stateEvery - 1)
		expect("a moment before the next try", guard.OK, 1)
		<-time.After(1)
		expect("with a full disk", guard.Unavailable, 2)
		broken = nil
		<-time.After(stateEvery - 1)
		expect("with a full disk, as far as is known", guard.Unavailable, 2)
		<-time.After(1)
		expect("with room again", guard.OK, 3)
	})
}

// A disk that hangs keeps no probe waiting for longer than a try may take, however many
// there are, and has one try hang.
func TestStateOnAHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		disk := make(chan struct{})
		c := &stateCheck{try: func() (string, error) { tries.Add(1); <-disk; return "", nil }}
		ask := func(most time.Duration) {
			t.Helper()
			began := time.Now()
			var probes sync.WaitGroup
			for range 50 {
				probes.Go(func() {
					if state, text := c.check(); state != guard.Unavailable || !strings.Contains(text, "does not answer") {
						t.Errorf("%v: %s", state, text)
					}
				})
			}
			probes.Wait()
			if took := time.Since(began); took > most {
				t.Errorf("they waited %s, expected at most %s", took, most)
			}
		}
		ask(stateWait)
		<-time.After(10 * stateEvery)
		ask(0)
		if tries.Load() != 1 {
			t.Errorf("%d tries hang", tries.Load())
		}
		close(disk)
		synctest.Wait()
		if state, text := c.check(); state != guard.OK || tries.Load() != 2 {
			t.Errorf("a disk that is back: %v: %s, after %d tries", state, text, tries.Load())
		}
	})
}

// A try leaves nothing behind, and says who else has the folder.
func TestStateTry(t *testing.T) {
	folder := t.TempDir()
	if word, err := tryState(folder, func() (bool, error) { return false, nil }); word != "" || err != nil {
		t.Errorf("%q, %v", word, err)
	}
	if word, err := tryState(folder, func() (bool, error) { return true, nil }); word != sharedState || err != nil {
		t.Errorf("%q, %v", word, err)
	}
	if left, err := os.ReadDir(folder); len(left) > 0 || err != nil {
		t.Errorf("%v, %v", left, err)
	}
	if _, err := tryState(filepath.Join(folder, "none"), func() (bool, error) { return false, nil }); err == nil {
		t.Error("a folder that is not there can be written")
	}
}

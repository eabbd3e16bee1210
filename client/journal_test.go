package client

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// entry is a line about a content of targets.
func entry(act string, version int64, word string) JournalEntry {
	return JournalEntry{Time: newClock().Now(), Act: act, Repository: appName, Role: tuf.RoleTargets, Version: version, SHA256: digestHex([]byte(word))}
}

func TestJournal(t *testing.T) {
	for _, test := range []struct {
		claim  string
		before []JournalEntry
		now    JournalEntry
		again  bool
		want   error
	}{
		{"the first content", nil, entry(ActApprove, 2, "a"), false, nil},
		{"the same content", []JournalEntry{entry(ActPropose, 2, "a")}, entry(ActApprove, 2, "a"), false, nil},
		{"the next version", []JournalEntry{entry(ActPropose, 2, "a")}, entry(ActApprove, 3, "b"), false, nil},
		{"another content", []JournalEntry{entry(ActPropose, 2, "a")}, entry(ActApprove, 2, "b"), false, ErrSigned},
		{"another content, by an ordinary signature", []JournalEntry{entry(ActApprove, 2, "a")}, entry(ActPublish, 2, "b"), false, ErrSigned},
		{"another content, in words", []JournalEntry{entry(ActPropose, 2, "a")}, entry(ActApprove, 2, "b"), true, nil},
		{"what a server turned down", []JournalEntry{entry(ActPublish, 2, "a"), entry(ActRefused, 2, "a")}, entry(ActPublish, 2, "b"), false, nil},
		{"what one server turned down of a proposal", []JournalEntry{entry(ActApprove, 2, "a"), entry(ActRefused, 2, "a")}, entry(ActPublish, 2, "b"), false, ErrSigned},
		{"one turned down, one not", []JournalEntry{entry(ActPublish, 2, "a"), entry(ActPublish, 2, "c"), entry(ActRefused, 2, "c")}, entry(ActPublish, 2, "b"), false, ErrSigned},
		{"turned down, then sent again", []JournalEntry{entry(ActPublish, 2, "a"), entry(ActRefused, 2, "a"), entry(ActApprove, 2, "a")}, entry(ActPublish, 2, "b"), false, ErrSigned},
		{"after the repository was forgotten", []JournalEntry{entry(ActApprove, 2, "a"), {Act: ActForget, Repository: appName}}, entry(ActApprove, 2, "b"), false, nil},
		{"another repository was forgotten", []JournalEntry{entry(ActApprove, 2, "a"), {Act: ActForget, Repository: appName + "2"}}, entry(ActApprove, 2, "b"), false, ErrSigned},
	} {
		t.Run(test.claim, func(t *testing.T) {
			j := journal{filepath.Join(t.TempDir(), "state", "journal")}
			for _, e := range test.before {
				if err := j.add(t.Context(), true, e); err != nil {
					t.Fatal(err)
				}
			}
			if err := j.add(t.Context(), test.again, test.now); !errors.Is(err, test.want) {
				t.Errorf("%v, expected %v", err, test.want)
			}
		})
	}
}

// What a crash cut off was not handed out, and stands in nobody's way; a line that
// is damaged may be the one that matters.
func TestDamagedJournal(t *testing.T) {
	j := journal{filepath.Join(t.TempDir(), "journal")}
	if err := j.add(t.Context(), false, entry(ActApprove, 2, "a")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(data string) {
		if err := os.WriteFile(j.path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(whole) + string(whole[:len(whole)/2]))
	if err := j.add(t.Context(), false, entry(ActApprove, 3, "b")); err != nil {
		t.Error(err)
	}
	if entries, err := j.read(appName); err != nil || len(entries) != 2 || entries[1].Version != 3 {
		t.Errorf("%+v, %v", entries, err)
	}
	if err := j.add(t.Context(), false, entry(ActApprove, 2, "b")); !errors.Is(err, ErrSigned) {
		t.Errorf("another content: %v", err)
	}
	write(strings.Replace(string(whole), `"act"`, `act`, 1) + string(whole))
	if err := j.add(t.Context(), false, entry(ActApprove, 4, "b")); err == nil || !strings.Contains(err.Error(), "line 1 is damaged") {
		t.Errorf("a damaged line: %v", err)
	}
	if info, err := os.Stat(j.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// Of several that would sign different contents at once, one does.
func TestJournalAmongProcesses(t *testing.T) {
	j := journal{filepath.Join(t.TempDir(), "journal")}
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		group.Go(func() { errs[i] = j.add(context.Background(), false, entry(ActApprove, 2, string(rune('a'+i)))) })
	}
	group.Wait()
	signed := 0
	for _, err := range errs {
		if err == nil {
			signed++
		} else if !errors.Is(err, ErrSigned) {
			t.Error(err)
		}
	}
	if signed != 1 {
		t.Errorf("%d contents were signed", signed)
	}
}

// TestSignTwice has answers get lost, and servers say no, between two tries of
// ordinary signing.
func TestSignTwice(t *testing.T) {
	b := newBench(t)
	p, changes := b.publisher()
	answer := func(status int, err error) {
		b.server.setIntercept(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.URL.Path, "/v1/publish/") {
				return false
			}
			if err != nil {
				problem(w, err)
				return true
			}
			w.WriteHeader(status)
			return true
		})
	}
	sign := func(tag, word string) error {
		_, err := p.Sign(t.Context(), b.signRequest(tag, word))
		return err
	}
	answer(http.StatusBadGateway, nil)
	if err := sign("2.0", "two"); !errors.Is(err, ErrUncertain) {
		t.Fatalf("a lost answer: %v", err)
	}
	first := (*changes)[0].Files[0].SHA256
	b.clock.Add(time.Hour)
	b.repo.release()
	if err := sign("2.0", "two"); !errors.Is(err, ErrUncertain) {
		t.Fatalf("again: %v", err)
	}
	if again := (*changes)[1].Files[0].SHA256; again != first {
		t.Errorf("the same command signed other bytes: %s, then %s", first, again)
	}
	asked := len(*changes)
	err := sign("2.0", "other")
	e, ok := errors.AsType[*SignedError](err)
	if !ok || e.Version != 3 || e.Before.SHA256 != first || len(*changes) != asked {
		t.Errorf("another content: %v", err)
	}
	p.DryRun = true
	if step, err := p.PrepareSign(t.Context(), b.signRequest("2.0", "other")); err != nil || len(step.Change.Warnings) != 1 {
		t.Errorf("a dry run: %+v, %v", step, err)
	}
	p.DryRun = false
	p.SignAgain = true
	answer(0, api.ErrRefused)
	if err := sign("2.0", "other"); !errors.Is(err, api.ErrRefused) {
		t.Errorf("asked for in words: %v", err)
	}
	if w := (*changes)[len(*changes)-1].Warnings; len(w) != 1 || !strings.Contains(w[0], "signed again") {
		t.Errorf("warnings %q", w)
	}
	p.SignAgain = false
	// Nobody else can complete what the server turned down, but the first try may
	// still be there.
	b.server.setIntercept(nil)
	if err := sign("2.0", "third"); !errors.Is(err, ErrSigned) {
		t.Errorf("the first try: %v", err)
	}
	if err := sign("2.0", "two"); err != nil {
		t.Error(err)
	}
	b.trusts("2.0", "two")
	answer(0, api.ErrRefused)
	if err := sign("3.0", "three"); !errors.Is(err, api.ErrRefused) {
		t.Error(err)
	}
	b.server.setIntercept(nil)
	if err := sign("3.0", "four"); err != nil {
		t.Errorf("after the server said no: %v", err)
	}
	if w := (*changes)[len(*changes)-1].Warnings; len(w) != 1 || !strings.Contains(w[0], "would not take") {
		t.Errorf("warnings %q", w)
	}
	entries, err := p.Client.Journal(appName)
	if err != nil || !slices.ContainsFunc(entries, func(e JournalEntry) bool { return e.SHA256 == first && e.Act == ActPublish }) {
		t.Errorf("%+v, %v", entries, err)
	}
	if err := b.client().Forget(t.Context(), appName); err != nil {
		t.Fatal(err)
	}
	if entries, err := p.Client.Journal(appName); err != nil || len(entries) > 0 {
		t.Errorf("forgotten: %+v, %v", entries, err)
	}
}

package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signet-trust/signet/server/store"
	"github.com/signet-trust/signet/server/store/storetest"
	"github.com/signet-trust/signet/test/postgres"
	"github.com/signet-trust/signet/tuf"
)

// openVariable makes this test program open a database and close it again: a
// server of its own process.
const openVariable = "SIGNET_TEST_OPEN"

// cluster is the Postgres of all tests, started by the first that needs it.
var cluster = sync.OnceValues(func() (*postgres.Cluster, error) {
	c, err := postgres.Start(postgres.Config{})
	if err != nil {
		return nil, err
	}
	stopCluster = c.Stop
	return c, c.Template(func(url string) error {
		db, err := store.Open(context.Background(), url)
		if err != nil {
			return err
		}
		return db.Close()
	})
})

var stopCluster = func() error { return nil }

func TestMain(m *testing.M) {
	if url := os.Getenv(openVariable); url != "" {
		os.Exit(openOnce(url))
	}
	code := m.Run()
	if err := stopCluster(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// openOnce says that it is ready, waits for its standard input to end, and
// opens the database, so that several processes do so at the same moment.
func openOnce(url string) int {
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
	db, err := store.Open(context.Background(), url)
	if err == nil {
		err = errors.Join(db.Ping(context.Background()), db.Close())
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.DB { return open(t, sqliteURL(t)) })
}

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.DB { return open(t, postgresURL(t)) })
}

// Two servers on one database: each has its own connections, as in two
// processes.
func TestTwoHandles(t *testing.T) {
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := url(t)
			storetest.Race(t, open(t, url), open(t, url))
		})
	}
}

// Five servers start at once on an empty database: one migrates, and all run.
func TestOpenAtOnce(t *testing.T) {
	for name, url := range map[string]func(*testing.T) string{"sqlite": sqliteURL, "postgres": emptyPostgresURL} {
		t.Run(name, func(t *testing.T) {
			url := url(t)
			start := make(chan struct{})
			var ready, done sync.WaitGroup
			for range 5 {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), openVariable+"="+url)
				in, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				ready.Add(1)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				done.Go(func() {
					lines := bufio.NewScanner(out)
					lines.Scan()
					ready.Done()
					<-start
					in.Close()
					for lines.Scan() {
						t.Error(lines.Text())
					}
					if err := cmd.Wait(); err != nil {
						t.Error(err)
					}
				})
			}
			ready.Wait()
			close(start)
			done.Wait()
			db := open(t, url)
			if err := db.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// While one server migrates, all others wait, and go on when it is done.
func TestOpenWaits(t *testing.T) {
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := url(t)
			unlock, err := store.Lock(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			db, err := store.Open(ctx, url)
			if err == nil {
				db.Close()
			}
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "lock the schema") {
				t.Errorf("%v, expected to wait for the lock in vain", err)
			}
			if err := unlock(); err != nil {
				t.Fatal(err)
			}
			open(t, url)
		})
	}
}

func TestOpenMistakes(t *testing.T) {
	dir := t.TempDir()
	for url, want := range map[string]string{
		"":                                     "expected sqlite:PATH or a postgres:// URL",
		"mysql://alice:hunter2@db/signet":      "expected sqlite:PATH or a postgres:// URL",
		"sqlite:":                              "expected the path of a file",
		"sqlite::memory:":                      "expected the path of a file",
		"sqlite:" + dir:                        "is not a file",
		"sqlite:" + dir + "/none/signet.db":    "no such file or directory",
		"postgres://alice:hunter2@db:x/signet": "not a URL",
		"postgres://alice:hunter2@db/signet?connect_timeout=x":     "connect_timeout",
		"postgres://alice:hunter2@127.0.0.1:1/signet":              "cannot be reached",
		"postgres://alice:hunter2@127.0.0.1:1/x?sslmode=disable":   "cannot be reached",
		"postgres:///signet?host=" + dir + "&password=hunter2":     "cannot be reached",
		"postgres://alice:hunter2%zz@127.0.0.1:1/x":                "not a URL",
		"postgres://alice:hunter2@127.0.0.1:1/x?sslmode=hunter2":   "sslmode",
		"postgres://alice:hunter2@127.0.0.1:1/x?sslrootcert=/none": "open database postgres://127.0.0.1:1/x",
	} {
		db, err := store.Open(t.Context(), url)
		if err == nil {
			db.Close()
			t.Errorf("%s: opened", url)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nexpected: %s", url, err, want)
		}
		if strings.Contains(err.Error(), "hunter2") && !strings.Contains(url, "sslmode=hunter2") {
			t.Errorf("the password is in: %v", err)
		}
	}
}

// What a client may see of a broken database says what is wrong, and neither
// where it is nor as whom it is asked.
func TestErrorsForClients(t *testing.T) {
	url := postgresURL(t)
	db := open(t, url)
	c, err := cluster()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Drop(url); err != nil {
		t.Fatal(err)
	}
	_, readErr := db.File(t.Context(), "registry.example/app", tuf.RoleTimestamp, 0)
	_, writeErr := db.Publish(t.Context(), publication(0))
	for _, err := range []error{readErr, writeErr, db.Ping(t.Context())} {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, tuf.ErrNotFound) || errors.Is(err, tuf.ErrConflict) {
			t.Errorf("%v, expected only %v", err, store.ErrUnavailable)
		}
		for _, secret := range []string{"signet-pg", ".s.PGSQL", "signet_", "FATAL", "pq:"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%q is in: %v", secret, err)
			}
		}
		e, ok := errors.AsType[*store.Error](err)
		if !ok || !strings.Contains(e.Cause(), "pq:") {
			t.Errorf("%v has no cause for the log", err)
		}
	}
}

// Whoever waits for another's publish may give up, and is not told that the
// database is broken; one that took too long is.
func TestGiveUp(t *testing.T) {
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := url(t)
			slow, db := open(t, url), open(t, url)
			if _, err := db.Publish(t.Context(), publication(0)); err != nil {
				t.Fatal(err)
			}
			tx, err := store.Writer(slow).Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if _, err := tx.Exec("UPDATE head SET generation = 7"); err != nil {
				t.Fatal(err)
			}

			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			_, err = db.Publish(ctx, publication(1))
			if !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%v, expected %v", err, context.Canceled)
			}
			ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err = db.Publish(ctx, publication(1))
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "did not answer in time") {
				t.Errorf("%v, expected %v", err, store.ErrUnavailable)
			}

			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Publish(t.Context(), publication(1)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A Postgres that crashes under publishers has all that it acknowledged.
func TestPostgresCrash(t *testing.T) {
	c, err := postgres.Start(postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	url, err := c.Create()
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, url)
	acknowledged := make(chan int64, 1)
	broken := make(chan error)
	go func() {
		for base := int64(0); ; base++ {
			generation, err := db.Publish(context.Background(), publication(base))
			if err != nil {
				broken <- err
				return
			}
			select {
			case <-acknowledged: // keep the newest only
			default:
			}
			acknowledged <- generation
			if generation == 20 {
				go c.Kill()
			}
		}
	}()
	if err := <-broken; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v, expected %v", err, store.ErrUnavailable)
	}
	c.Kill() // waits, should the other not be done
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	head, err := db.Head(t.Context(), publication(0).Repository) // the same handle heals
	if err != nil {
		t.Fatal(err)
	}
	last := <-acknowledged
	if head.Generation != last && head.Generation != last+1 {
		t.Errorf("generation %d, expected the acknowledged %d or the one in flight", head.Generation, last)
	}
	if v := head.State.Timestamp.Version; v != head.Generation {
		t.Errorf("generation %d with timestamp %d", head.Generation, v)
	}
}

func publication(base int64) store.Publication {
	p := store.Publication{Repository: "registry.example/app", Base: base, By: "alice", At: time.Unix(1, 0), RefreshAt: time.Unix(2, 0),
		TimestampExpires: time.Unix(3, 0), RootExpires: time.Unix(4, 0)}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		p.Files = append(p.Files, tuf.File{Role: role, Version: base + 1, Bytes: []byte(role)})
	}
	return p
}

var databases = map[string]func(*testing.T) string{"sqlite": sqliteURL, "postgres": postgresURL}

func sqliteURL(t *testing.T) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "signet.db")
}

func postgresURL(t *testing.T) string {
	t.Helper()
	c, err := cluster()
	if err != nil {
		t.Fatal(err)
	}
	url, err := c.Create()
	if err != nil {
		t.Fatal(err)
	}
	return url
}

func emptyPostgresURL(t *testing.T) string {
	t.Helper()
	c, err := cluster()
	if err != nil {
		t.Fatal(err)
	}
	return c.URL("postgres")
}

func open(t *testing.T, url string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

package postgres_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/test/postgres"
)

// The life of a cluster: databases of their own from one template, a crash that
// loses nothing which was committed, and nothing left at the end.
func TestCluster(t *testing.T) {
	cluster, err := postgres.Start(postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cluster.Stop() })

	err = cluster.Template(func(url string) error {
		return run(url, "CREATE TABLE pet (name TEXT)")
	})
	if err != nil {
		t.Fatal(err)
	}
	first, second := create(t, cluster), create(t, cluster)
	if err := run(first, "INSERT INTO pet VALUES ('cat')"); err != nil {
		t.Fatal(err)
	}
	if n := pets(t, second); n != 0 {
		t.Errorf("the second database has %d pets of the first, expected 0", n)
	}

	if err := cluster.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := run(first, "SELECT 1"); err == nil {
		t.Error("postgres answers after Kill")
	}
	if err := cluster.Run(); err != nil {
		t.Fatal(err)
	}
	if n := pets(t, first); n != 1 {
		t.Errorf("%d pets after a crash, expected 1", n)
	}

	if err := cluster.Drop(second); err != nil {
		t.Error(err)
	}
	if err := run(second, "SELECT 1"); err == nil {
		t.Error("a dropped database answers")
	}
	if err := cluster.Stop(); err != nil {
		t.Error(err)
	}
	if err := run(first, "SELECT 1"); err == nil {
		t.Error("postgres answers after Stop")
	}
}

// A test process that is killed takes its Postgres with it.
func TestEndsWithItsParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a process with its parent")
	}
	child := exec.Command(os.Args[0], "-test.run=^TestEndsWithItsParent$")
	child.Env = append(os.Environ(), "SIGNET_TEST_PARENT=1")
	if os.Getenv("SIGNET_TEST_PARENT") != "" {
		cluster, err := postgres.Start(postgres.Config{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(cluster.URL("postgres"))
		select {} // until killed
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err, child.Wait())
	}
	u, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(u.Query().Get("host")) })
	db, err := sql.Open("postgres", u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lost := make(chan error)
	go func() {
		_, err := db.ExecContext(ctx, "SELECT pg_sleep(600)")
		lost <- err
	}()
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; err == nil || ctx.Err() != nil {
		t.Errorf("postgres outlives the process that started it: %v", err)
	}
	child.Wait()
}

func create(t *testing.T, cluster *postgres.Cluster) (url string) {
	t.Helper()
	url, err := cluster.Create()
	if err != nil {
		t.Fatal(err)
	}
	return url
}

func run(url, statement string) error {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(statement)
	return err
}

func pets(t *testing.T, url string) (n int) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT COUNT(*) FROM pet").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

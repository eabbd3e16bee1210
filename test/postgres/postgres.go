// Package postgres starts a private Postgres for tests: a cluster of its own in
// a temporary folder, reached over a Unix socket in that folder and nowhere
// else, and ended with the test process, however that ends (on Linux).
//
//	cluster, err := postgres.Start(postgres.Config{})
//	defer cluster.Stop()
//	err = cluster.Template(func(url string) error { ... })   // once: what every database starts with
//	url, err := cluster.Create()                             // a fresh database for each test
//
// Postgres does not run as root, so when the tests do, it runs as the user
// postgres or nobody. It trusts every user that reaches the socket, which only
// its own user and root can. Tests that need Postgres fail without it: install
// Debian's package postgresql.
package postgres

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
)

// Config says how to run Postgres.
type Config struct {
	// Fsync makes commits reach the disk. It is for tests that measure, or
	// that pull the plug; Postgres killed by a signal loses nothing without.
	Fsync bool

	// Settings are further lines of postgresql.conf, by name.
	Settings map[string]string
}

const (
	superuser = "signet"
	template  = "signet_template"
	patience  = time.Minute // for Postgres to start or stop
)

// A Cluster is a running Postgres.
type Cluster struct {
	dir      string // holds data and the socket
	bin      string
	args     []string
	identity *identity

	mu        sync.Mutex
	process   *process
	made      int
	templated bool
}

// Start makes a cluster and starts Postgres on it.
func Start(config Config) (c *Cluster, err error) {
	bin, err := find("/usr/lib/postgresql")
	if err != nil {
		return nil, err
	}
	// Not the test's own folder: a socket's path has 107 bytes at most.
	dir, err := os.MkdirTemp("", "signet-pg-")
	if err != nil {
		return nil, err
	}
	c = &Cluster{dir: dir, bin: bin}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if c.identity, err = unprivileged(); err != nil {
		return nil, err
	}
	if err := c.identity.own(dir); err != nil {
		return nil, err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata="+c.data(), "--no-sync",
		"--auth=trust", "--username="+superuser, "--encoding=UTF8", "--locale=C")
	initdb.Dir = dir
	c.identity.apply(initdb)
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	c.args = settings(dir, config)
	return c, c.Run()
}

func settings(dir string, config Config) []string {
	set := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": dir,
		"unix_socket_permissions": "0700",
		"max_connections":         "200",
		"shared_buffers":          "64MB",
		"logging_collector":       "off",
		"log_min_messages":        "warning",
		"max_wal_size":            "256MB",
	}
	if !config.Fsync {
		set["fsync"] = "off"
		set["full_page_writes"] = "off"
	}
	for name, value := range config.Settings {
		set[name] = value
	}
	args := []string{"-D", filepath.Join(dir, "data")}
	for name, value := range set {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// find returns the folder of Postgres' programs: the newest below debian, where
// Debian keeps them by version, or PATH's.
func find(debian string) (string, error) {
	folders, err := filepath.Glob(filepath.Join(debian, "*", "bin", "postgres"))
	if err != nil {
		return "", err
	}
	newest, bin := 0, ""
	for _, postgres := range folders {
		folder := filepath.Dir(postgres)
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
		if err == nil && version > newest {
			newest, bin = version, folder
		}
	}
	if bin != "" {
		return bin, nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", fmt.Errorf("postgres is neither in %s/*/bin nor in PATH; install it (Debian: apt-get install postgresql)", debian)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

// URL returns the URL of one database of the cluster.
func (c *Cluster) URL(database string) string {
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: url.Values{
		"host": {c.dir}, "user": {superuser}, "sslmode": {"disable"},
	}.Encode()}).String()
}

// Template makes the database that Create copies, and fills it by fill, which
// must close all its connections. Without a template, Create makes empty ones.
func (c *Cluster) Template(fill func(url string) error) error {
	if err := c.exec("CREATE DATABASE " + template); err != nil {
		return err
	}
	if err := fill(c.URL(template)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.templated = true
	return nil
}

// Create makes a fresh database and returns its URL.
func (c *Cluster) Create() (string, error) {
	c.mu.Lock()
	c.made++
	name, from := fmt.Sprintf("signet_%d", c.made), "template1"
	if c.templated {
		from = template
	}
	c.mu.Unlock()
	return c.URL(name), c.exec("CREATE DATABASE " + name + " TEMPLATE " + from)
}

// Drop removes a database that Create made, and ends all connections to it.
func (c *Cluster) Drop(url string) error {
	config, err := pq.NewConfig(url)
	if err != nil {
		return err
	}
	return c.exec("DROP DATABASE " + pq.QuoteIdentifier(config.Database) + " WITH (FORCE)")
}

func (c *Cluster) exec(statement string) error {
	db, err := sql.Open("postgres", c.URL("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// Run starts Postgres again after Kill, on the same data. It returns once
// Postgres takes connections.
func (c *Cluster) Run() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil {
		return errors.New("postgres is running")
	}
	cmd := exec.Command(filepath.Join(c.bin, "postgres"), c.args...)
	cmd.Dir = c.dir
	c.identity.apply(cmd)
	p, err := start(cmd)
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	select {
	case <-p.ready:
		c.process = p
		return nil
	case <-p.ended:
		return fmt.Errorf("postgres ended at once: %w\n%s", p.err, p.log())
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("postgres does not start\n%s", p.log()), p.end(os.Kill))
	}
}

// Kill ends Postgres as a crash would. Run starts it again.
func (c *Cluster) Kill() error { return c.end(os.Kill) }

// Stop ends Postgres and removes its files.
func (c *Cluster) Stop() error {
	return errors.Join(c.end(os.Interrupt), os.RemoveAll(c.dir)) // SIGINT: end all sessions, then stop
}

func (c *Cluster) end(signal os.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return nil
	}
	p := c.process
	c.process = nil
	return p.end(signal)
}

// A process is one run of postgres.
type process struct {
	cmd   *exec.Cmd
	ready chan struct{} // closed when it takes connections
	ended chan struct{} // closed when it is gone; err is set then
	err   error

	mu    sync.Mutex
	lines []string // the last of what it said
}

func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ready: make(chan struct{}), ended: make(chan struct{})}
	out, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		unlock := tie(cmd) // the process ends with this thread, so the thread stays
		defer unlock()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.read(out)
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, <-started
}

// read keeps the last lines, and notices when postgres is ready.
func (p *process) read(out io.Reader) {
	ready := false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		p.mu.Lock()
		p.lines = append(p.lines[max(0, len(p.lines)-49):], line)
		p.mu.Unlock()
		if !ready && strings.Contains(line, "ready to accept connections") {
			ready = true
			close(p.ready)
		}
	}
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

func (p *process) end(signal os.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("postgres did not end on %s", signal), p.cmd.Process.Kill())
	}
}

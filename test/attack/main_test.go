package attack_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The programs under test, as built by TestMain. The second one is the first, but
// for its clock: it runs ahead by what the environment variable says.
const (
	program      = "signet"
	programClock = "signet-clock"
	clockEnv     = "SIGNET_ATTACK_CLOCK"
	// What runs them, and tells how much memory they took.
	programMeasure = "signet-measure"
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "attack-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	overlay, err := clockOverlay(dir)
	if err == nil {
		err = errors.Join(build(dir, program, "../../cmd/signet"), build(dir, programClock, "../../cmd/signet", "-overlay", overlay),
			build(dir, programMeasure, "./measure"))
	}
	if err == nil {
		err = os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func build(dir, name, what string, args ...string) error {
	cmd := exec.Command("go", append(append([]string{"build"}, args...), "-o", filepath.Join(dir, name), what)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return nil
}

// clockOverlay tells the go command to build cmd/signet with another clock.
func clockOverlay(dir string) (string, error) {
	folder, err := filepath.Abs("../../cmd/signet")
	if err != nil {
		return "", err
	}
	source, err := os.ReadFile(filepath.Join(folder, "app.go"))
	if err != nil {
		return "", err
	}
	clock := regexp.MustCompile(`\bnow:( +)time\.Now,`)
	if len(clock.FindAll(source, -1)) != 1 {
		return "", errors.New("cmd/signet/app.go sets its clock in another way than this test knows")
	}
	changed := map[string]string{
		"app.go": string(clock.ReplaceAll(source, []byte(`now:${1}attackClock,`))),
		"attack_clock.go": `package main

import (
	"os"
	"time"
)

func attackClock() time.Time {
	ahead, err := time.ParseDuration(os.Getenv("` + clockEnv + `"))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(ahead)
}
`,
	}
	replace := map[string]string{}
	for name, text := range changed {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(folder, name)] = path
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, data, 0o600)
}

// environment is that of a machine of its own: nothing of this one's
// configuration, keys or state is seen.
func environment(dir string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "XDG_") && !strings.HasPrefix(v, "HOME=") && !strings.HasPrefix(v, "SIGNET_") {
			env = append(env, v)
		}
	}
	return append(env, "HOME="+dir, "XDG_CONFIG_HOME="+filepath.Join(dir, "config"),
		"XDG_STATE_HOME="+filepath.Join(dir, "state"), "XDG_DATA_HOME="+filepath.Join(dir, "data"))
}

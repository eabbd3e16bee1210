package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// measureCommand makes this program a small parent that runs one command and
// reports what it cost. A child's peak memory starts at its parent's on Linux, so
// the parent has to be small: the bench itself is not.
const measureCommand = "-measure-one-process"

// A cost is what one process took, as the operating system counted it.
type cost struct {
	CPU  time.Duration `json:"cpu"` // user and system
	Wall time.Duration `json:"wall"`
	Peak int64         `json:"peak"` // bytes of resident memory
	Out  string        `json:"out"`
}

// measureChild runs args and prints its cost as JSON. It returns an exit status.
func measureChild(args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	started := time.Now()
	err := cmd.Run()
	wall := time.Since(started)
	if err != nil {
		fmt.Fprintln(os.Stderr, args[0]+":", err)
		return 1
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		fmt.Fprintln(os.Stderr, "no resource usage on this system")
		return 1
	}
	err = json.NewEncoder(os.Stdout).Encode(cost{
		CPU:  cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		Wall: wall, Peak: int64(usage.Maxrss) * 1024, Out: out.String(),
	})
	if err != nil {
		return 1
	}
	return 0
}

// measure runs one command with env and returns its cost.
func (b *bench) measure(env []string, args ...string) (cost, error) {
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	cmd := exec.CommandContext(b.ctx, self, append([]string{measureCommand}, args...)...)
	cmd.Env, cmd.Dir, cmd.Stderr = env, b.dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return cost{}, fmt.Errorf("%v: %w", args, err)
	}
	var c cost
	return c, json.Unmarshal(out, &c)
}

// median returns the middle of values.
func median[T int64 | float64 | time.Duration](values []T) T {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

// row prints one row. Less is better, unless more is set.
func row(name string, figure float64, unit string, bar float64, more bool) {
	verdict := "ok"
	if (figure > bar) != more && figure != bar {
		verdict = "short"
	}
	fmt.Printf("bench %-40s %s %s bar %s %s %s\n", name, number(figure), unit, number(bar), unit, verdict)
}

func number(f float64) string {
	switch {
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// cpuOf returns the CPU time that a running process has taken so far.
func cpuOf(pid int) (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// Fields 14 and 15 of proc(5), counted behind the name, which may hold spaces.
	i := bytes.LastIndexByte(data, ')')
	if i < 0 {
		return 0, errors.New("unreadable /proc stat")
	}
	fields := bytes.Fields(data[i+1:])
	if len(fields) < 13 {
		return 0, errors.New("unreadable /proc stat")
	}
	var user, system int64
	if _, err := fmt.Sscan(string(fields[11])+" "+string(fields[12]), &user, &system); err != nil {
		return 0, err
	}
	const ticks = 100 // USER_HZ, which Linux fixes for what it shows to programs
	return time.Duration(user+system) * time.Second / ticks, nil
}

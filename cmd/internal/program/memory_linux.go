package program

import "golang.org/x/sys/unix"

// guardMemory keeps online keys and tokens out of core dumps and away from
// debuggers of the same user. Where the system refuses it we go on: nothing else
// depends on it.
func guardMemory() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

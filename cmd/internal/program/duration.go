package program

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// A Duration is a time.Duration above zero that may be written in days: 90d. It is
// a pflag.Value.
type Duration time.Duration

// DurationVar registers an option that is a duration.
func DurationVar(f *pflag.FlagSet, d *Duration, name string, value time.Duration, usage string) {
	*d = Duration(value)
	f.Var(d, name, usage)
}

// String returns d as Set takes it.
func (d *Duration) String() string {
	const day = 24 * time.Hour
	if v := time.Duration(*d); v%day == 0 && v != 0 {
		return strconv.FormatInt(int64(v/day), 10) + "d"
	}
	return time.Duration(*d).String()
}

// Set reads 90d, 12h, 30s.
func (d *Duration) Set(s string) error {
	v, err := ParseDuration(s)
	if err == nil && v <= 0 {
		err = fmt.Errorf("%s is not above zero", s)
	}
	*d = Duration(v)
	return err
}

// Type is the word for --help.
func (d *Duration) Type() string { return "duration" }

// ParseDuration reads 90d, 12h, 30s.
func ParseDuration(s string) (time.Duration, error) {
	v, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int64
		n, err = strconv.ParseInt(days, 10, 16)
		v = time.Duration(n) * 24 * time.Hour
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 90d, 12h or 30s", s)
	}
	return v, nil
}

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/tuf"
)

// lifeFlag is --expires: how long new files live, by role.
type lifeFlag []string

func (f *lifeFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar((*[]string)(f), "expires", nil, "how long what is signed now lives, such as `90d`; or by role: root=1y,targets=180d")
}

// life reads the flag.
func (f lifeFlag) life() (map[string]time.Duration, error) {
	life := map[string]time.Duration{}
	for _, item := range f {
		role, text, ok := strings.Cut(item, "=")
		if !ok {
			role, text = "", item
		}
		d, err := parseLife(text)
		if err != nil {
			return nil, usagef("--expires %s: %v", item, err)
		}
		switch role {
		case "":
			life[tuf.RoleRoot], life[tuf.RoleTargets], life["signer"] = d, d, d
		case tuf.RoleRoot, tuf.RoleTargets, "signer":
			life[role] = d
		default:
			return nil, usagef("--expires %s: expected root, targets or signer before the '='; snapshot and timestamp are the server's", item)
		}
	}
	return life, nil
}

// parseLife reads "90d", "1y", "36h".
func parseLife(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	units := map[byte]time.Duration{'y': 365 * day, 'w': 7 * day, 'd': day, 'h': time.Hour, 'm': time.Minute, 's': time.Second}
	count, unit := "", time.Duration(0)
	if s != "" {
		count, unit = s[:len(s)-1], units[s[len(s)-1]]
	}
	n, err := strconv.ParseUint(count, 10, 32)
	if unit == 0 || err != nil {
		return 0, fmt.Errorf("%q is no length of time: expected a number and y, w, d, h, m or s, such as 90d", s)
	}
	if n == 0 || n > uint64(100*365*day/unit) {
		return 0, fmt.Errorf("%q: expected more than nothing, and less than a hundred years", s)
	}
	return time.Duration(n) * unit, nil
}

package client

import (
	"maps"
	"slices"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A WithdrawnTag is a tag that the key, or keys that it let in, alone withdrew. Its
// owner may have done so, for a good reason: nobody but a person can tell, so nothing
// puts it back by itself.
type WithdrawnTag struct {
	Tag     string     `json:"tag"`
	Role    string     `json:"role"`
	Good    tuf.Target `json:"good"` // what it meant last before the thief signed something else for it
	Version int64      `json:"version"`
	Time    time.Time  `json:"time"`
	Token   string     `json:"token"`
}

// withdraws notes a tag of a role that means nothing any more, by the thief alone, or
// that means something again. What it meant is noted already, in c.meant.
func (c *compromise) withdraws(past *Past, key, tag, after string, late bool) {
	good := c.meant[key]
	switch {
	case after != "":
		delete(c.gone, key)
	case late && c.alone(past) && good != nil:
		c.gone[key] = WithdrawnTag{Tag: tag, Role: past.Role, Good: *good, Version: past.Version, Time: past.Time, Token: past.Token}
	}
}

// stillGone lists those that mean nothing now, in whatever role, where the role that
// had them is there.
func (c *compromise) stillGone(view *View) []WithdrawnTag {
	list := []WithdrawnTag{}
	for _, key := range slices.Sorted(maps.Keys(c.gone)) {
		tag := c.gone[key]
		if is := view.Tag(tag.Tag); view.Role(tag.Role) != nil && (is == nil || is.Digest == "") {
			list = append(list, tag)
		}
	}
	return list
}

package client

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A ChangedSigner is a signer that others once agreed to, and that the key in question
// alone made what it is now, or took away, from Since on. Keys that it let in are in
// Compromise.Brought.
type ChangedSigner struct {
	Role      string       `json:"role"`
	Delegator string       `json:"delegator"`
	Version   int64        `json:"version"` // of the delegator's file in which the key first did so
	Time      time.Time    `json:"time"`
	Token     string       `json:"token"`
	Was       SignerTerms  `json:"was"`          // but for what others have decided since
	Is        *SignerTerms `json:"is,omitempty"` // absent: it is no signer any more
	Gone      []string     `json:"gone,omitempty"`
}

// SignerTerms are what a signer may sign, and by which keys.
type SignerTerms struct {
	Keys        []string `json:"keys"`
	Threshold   int      `json:"threshold"`
	Paths       []string `json:"paths"`
	Terminating bool     `json:"terminating"`
	Before      string   `json:"before,omitempty"` // the signer that it is asked just ahead of; absent: it is asked last
}

// grantName names a signer by who delegates to it.
type grantName struct{ delegator, signer string }

// A grant is a signer that the thief alone made, or changed. What others decide about
// it afterwards is taken over into was.
type grant struct {
	version int64
	time    time.Time
	token   string
	was     *SignerTerms // nil: nobody but the thief ever said that there is such a signer
	order   []string     // the signers beside it, as they were
}

// termsIn are the signers of a file, and their order.
func termsIn(md *tuf.Targets) (order []string, all map[string]*SignerTerms) {
	all = map[string]*SignerTerms{}
	if md == nil || md.Signed.Delegations == nil {
		return nil, all
	}
	for _, role := range md.Signed.Delegations.Roles {
		order = append(order, role.Name)
		all[role.Name] = &SignerTerms{Keys: slices.Sorted(slices.Values(role.KeyIDs)), Threshold: role.Threshold,
			Paths: slices.Concat(role.Paths, hashPrefixes(role.PathHashPrefixes)), Terminating: role.Terminating}
	}
	return order, all
}

// grants notes what a proven file changes about who may sign.
func (c *compromise) grants(past *Past) {
	if past.Targets == nil {
		return
	}
	c.latest[past.Role] = past.Targets
	doubted := c.alone(past) && !past.Time.Before(c.request.Since)
	oldOrder, old := termsIn(past.OldTargets)
	newOrder, now := termsIn(past.Targets)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(oldOrder, newOrder)))) {
		at, was, is := grantName{past.Role, name}, old[name], now[name]
		moved := was != nil && is != nil && !slices.Equal(ahead(oldOrder, name, now), ahead(newOrder, name, old))
		if !moved && was.equal(is) {
			continue
		}
		g := c.granted[at]
		switch {
		case doubted && g == nil:
			g = &grant{version: past.Version, time: past.Time, token: past.Token, order: oldOrder}
			if was != nil {
				terms := *was
				g.was = &terms
			}
			c.granted[at] = g
		case doubted || g == nil: // noted already, or as others want it
		case was == nil || is == nil: // others let it in, or took it away
			delete(c.granted, at)
			for at, beside := range c.granted {
				if at.delegator == past.Role {
					beside.order = slices.DeleteFunc(slices.Clone(beside.order), func(other string) bool { return other == name })
				}
			}
		case g.was != nil:
			g.decided(was, is)
			if moved {
				g.order = newOrder
			}
		}
		if g != nil && g.was != nil && g.was.equal(is) && !g.moved(name, newOrder, now) {
			delete(c.granted, at) // as it was: the next change starts anew
		}
	}
}

// equal tells whether two say the same. Either may be nil.
func (t *SignerTerms) equal(other *SignerTerms) bool {
	if t == nil || other == nil {
		return t == other
	}
	return slices.Equal(t.Keys, other.Keys) && t.Threshold == other.Threshold && slices.Equal(t.Paths, other.Paths) && t.Terminating == other.Terminating
}

// decided takes over what others changed from was to is. Who takes a thief's key out
// has not said that those which the thief took out are to stay away; who puts another
// in has.
func (g *grant) decided(was, is *SignerTerms) {
	if slices.ContainsFunc(is.Keys, func(id string) bool { return !slices.Contains(was.Keys, id) }) {
		g.was.Keys = is.Keys
	}
	g.was.Keys = slices.DeleteFunc(slices.Clone(g.was.Keys), func(id string) bool { return slices.Contains(was.Keys, id) && !slices.Contains(is.Keys, id) })
	if was.Threshold != is.Threshold {
		g.was.Threshold = is.Threshold
	}
	if !slices.Equal(was.Paths, is.Paths) {
		g.was.Paths = is.Paths
	}
	if was.Terminating != is.Terminating {
		g.was.Terminating = is.Terminating
	}
}

// moved tells whether a signer has another place than it had, among those that are there
// still.
func (g *grant) moved(name string, order []string, now map[string]*SignerTerms) bool {
	return !slices.Equal(ahead(g.order, name, now), ahead(order, name, before(g.order)))
}

func before(order []string) map[string]*SignerTerms {
	set := map[string]*SignerTerms{}
	for _, name := range order {
		set[name] = &SignerTerms{}
	}
	return set
}

// ahead are the signers that are asked before one, of those that are in both files.
func ahead(order []string, name string, both map[string]*SignerTerms) []string {
	i := slices.Index(order, name)
	list := slices.DeleteFunc(slices.Clone(order[:max(i, 0)]), func(other string) bool { return both[other] == nil })
	slices.Sort(list)
	return list
}

// next is the signer that one is asked just ahead of, of those that are in both files.
func next(order []string, name string, both map[string]*SignerTerms) string {
	for _, other := range order[slices.Index(order, name)+1:] {
		if both[other] != nil {
			return other
		}
	}
	return ""
}

// isNew tells whether nobody but the thief ever said that there is such a signer.
func (c *compromise) isNew(delegator, signer string) bool {
	g := c.granted[grantName{delegator, signer}]
	return g != nil && g.was == nil
}

// changed lists the signers that are as the thief made them. One below a signer that is
// gone, or that goes, goes with it.
func (c *compromise) changed(view *View) []ChangedSigner {
	list := []ChangedSigner{}
	for at, g := range c.granted {
		if g.was == nil || view.Role(at.delegator) == nil || c.goes(view, at.delegator) {
			continue
		}
		order, now := termsIn(c.latest[at.delegator])
		s := ChangedSigner{Role: at.signer, Delegator: at.delegator, Version: g.version, Time: g.time, Token: g.token, Was: *g.was, Is: now[at.signer]}
		s.Was.Before = next(g.order, at.signer, now)
		if s.Is != nil {
			if s.Is.Before = s.Was.Before; g.moved(at.signer, order, now) {
				s.Is.Before = next(order, at.signer, before(g.order))
			}
			for _, id := range s.Was.Keys {
				if !slices.Contains(s.Is.Keys, id) {
					s.Gone = append(s.Gone, id)
				}
			}
			if len(s.Gone) == 0 && !s.Terms() && !s.Moved() {
				continue // at most keys came, which Brought tells
			}
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b ChangedSigner) int {
		return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Delegator+"\x00"+a.Role, b.Delegator+"\x00"+b.Role))
	})
	return list
}

// Terms tells whether what the signer may sign, or by how many keys, is other than it
// was.
func (s *ChangedSigner) Terms() bool {
	return s.Is != nil && (s.Was.Threshold != s.Is.Threshold || !slices.Equal(s.Was.Paths, s.Is.Paths) || s.Was.Terminating != s.Is.Terminating)
}

// Moved tells whether the signer has another place in the order.
func (s *ChangedSigner) Moved() bool { return s.Is != nil && s.Was.Before != s.Is.Before }

// goes tells whether a signer, or one above it, is the thief's alone.
func (c *compromise) goes(view *View, signer string) bool {
	for range maps.Keys(c.latest) { // no chain of signers is longer
		role := view.Role(signer)
		if role == nil {
			return false
		}
		if c.isNew(role.Delegator, signer) {
			return true
		}
		signer = role.Delegator
	}
	return false
}

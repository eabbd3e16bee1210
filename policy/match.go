package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// A Match is a rule that fits an image.
type Match struct {
	Rule *Rule
	// Image is what is verified: the image that was asked for, or where a mirror's name
	// stands for another, the image of that name.
	Image tuf.Image
	// Mirror is the mapping that was used, or nil.
	Mirror *Mirror
}

// Match returns the first rule that fits an image, or nil when there is none. An
// error says that a rule could not be held against it, and that nothing after that
// rule may be taken instead.
func (p *Policy) Match(image tuf.Image) (*Match, error) {
	for _, rule := range p.Rules {
		match, err := rule.Match(image)
		if match != nil || err != nil {
			return match, err
		}
	}
	return nil, nil
}

// Match returns how the rule fits an image, or nil when it does not.
func (r *Rule) Match(image tuf.Image) (*Match, error) {
	var mirror *Mirror
	for i := range r.Mirrors {
		real, ok, err := r.Mirrors[i].real(image.Repository)
		if err != nil {
			return nil, fmt.Errorf("rule %s: the mirror %s: %w", r.Name, r.Mirrors[i].From, err)
		}
		if ok {
			image.Repository, mirror = real, &r.Mirrors[i]
			break
		}
	}
	if !fits(r.Images, image) || fits(r.Except, image) {
		return nil, nil
	}
	return &Match{Rule: r, Image: image, Mirror: mirror}, nil
}

// real returns the name that a mirror's name stands for. ok tells whether the name is
// one of the mirror's.
func (m *Mirror) real(repository string) (name string, ok bool, err error) {
	from, below := strings.CutSuffix(m.From, "**")
	if !below {
		return m.As, repository == m.From, nil
	}
	rest, ok := strings.CutPrefix(repository, from)
	if !ok {
		return "", false, nil
	}
	// docker.io/alpine, behind a mirror's folder for docker.io, is docker.io/library/alpine.
	name, err = tuf.ParseRepository(strings.TrimSuffix(m.As, "**") + rest)
	return name, true, err
}

// exemption returns the exemption that holds for an image under one of its names, or
// nil. Only a reference with the very digest has one: a tag may come to mean anything.
func (p *Policy) exemption(now time.Time, images ...tuf.Image) *Exemption {
	for _, image := range images {
		if image.Digest == "" {
			continue
		}
		for _, exemption := range p.exempt[image.Digest] {
			if now.Before(exemption.Until) && fits(exemption.Images, image) {
				return exemption
			}
		}
	}
	return nil
}

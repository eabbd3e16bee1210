package main

import (
	"time"

	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/guard/containerd"
	"github.com/signet-trust/signet/guard/kubernetes"
)

// A doorMaker makes a door that can be opened by name.
type doorMaker struct {
	name string
	make func(g *gate) guard.Door
}

// doorMakers are all doors that there are.
func doorMakers() []doorMaker {
	return []doorMaker{
		{"containerd", func(g *gate) guard.Door { return containerd.Door(g.Gate) }},
		{"decide", func(g *gate) guard.Door { return guard.DecideDoor(g.Gate) }},
		{"kubernetes", func(g *gate) guard.Door {
			return kubernetes.New(kubernetes.Config{
				Gate: g.Gate, Rules: func() kubernetes.Rules { return g.policy.kubernetes() }, Log: g.log,
				Timeout: time.Duration(g.options.decideWithin),
			}).Open()
		}},
	}
}

func doorNames() []string {
	var names []string
	for _, m := range doorMakers() {
		names = append(names, m.name)
	}
	return names
}

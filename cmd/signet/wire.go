package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/client/registry"
	"github.com/signet-trust/signet/keystore"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// clientConfig is what every client of ours is made with.
func (a *app) clientConfig(anchors client.Anchors, servers client.Servers) client.Config {
	config := client.Config{StateDir: a.stateDir, Anchors: anchors, Now: a.now, UserAgent: "signet"}
	if a.timeout > 0 {
		config.Timeouts = client.Timeouts{Connect: a.timeout, Header: a.timeout, Body: a.timeout}
	}
	known := sync.OnceValue(func() client.Servers {
		if servers != nil {
			return servers
		}
		list, err := client.LoadServers(a.serversFile())
		if err != nil { // a verifier can do without: most servers let everybody read
			a.debug("%v", err)
		}
		return list
	})
	config.Token = func(server, ca string) string { return known().Token(server, ca) }
	return config
}

// verifier returns a client with the anchors of trust.json.
func (a *app) verifier() (*client.Client, error) {
	anchors, err := a.anchors()
	if err != nil {
		return nil, err
	}
	return client.New(a.clientConfig(anchors, nil)), nil
}

// options are the options of one question about repository: --server is asked in
// place of the anchor's servers. What is trusted stays the anchor's.
func (a *app) options(repository string, offline bool) (client.Options, error) {
	options := client.Options{Offline: offline}
	if a.server == "" || offline {
		return options, nil
	}
	anchors, err := a.anchors()
	if err != nil {
		return options, err
	}
	anchor, err := anchors.For(repository)
	if err != nil {
		return options, nil // the client says so, in a decision
	}
	other := *anchor
	other.Servers = []string{a.server}
	options.Anchor = &other
	return options, nil
}

// publisher returns the publisher for repository: the server is --server, or the
// one whose patterns fit best.
func (a *app) publisher(ctx context.Context, repository string, ring *keyring, life map[string]time.Duration) (*client.Publisher, error) {
	servers, err := client.LoadServers(a.serversFile())
	if err != nil {
		return nil, err
	}
	anchors, err := a.anchors()
	if err != nil {
		return nil, err
	}
	server, err := servers.For(repository)
	if a.server != "" {
		server, err = servers.ByURL(a.server)
	}
	if err != nil {
		return nil, err
	}
	shared := a.shared
	if shared == nil {
		config := a.clientConfig(anchors, servers)
		if a.sharing { // many repositories ask more often than one does
			config.Timeouts.Busy = 30 * time.Second
		}
		shared = client.New(config)
	}
	if a.sharing { // so that many repositories take one connection
		a.shared = shared
	}
	publisher := &client.Publisher{
		Client: shared,
		Server: *server,
		Confirm: func(ctx context.Context, change *client.Change) error {
			return ring.agree(ctx, []*client.Change{change})
		},
		WithReason: keystore.WithReason,
		Life:       map[string]time.Duration{},
		SignAgain:  a.signAgain,
		Partial:    a.propose != nil,
	}
	facts := a.factsOf(server.URL)
	info := facts.info[repository]
	if info == nil {
		if info, err = publisher.InfoFor(ctx, repository); err != nil {
			return nil, err
		}
		facts.info[repository] = info
	}
	maps.Copy(publisher.Life, client.Lives(info)) // what the server advises, then what was asked for
	maps.Copy(publisher.Life, life)
	return publisher, nil
}

// serverFacts are what one command has learnt of a server.
type serverFacts struct {
	info  map[string]*api.ServerInfo // by repository: rules differ by name
	token *api.TokenInfo
}

func (a *app) factsOf(url string) *serverFacts {
	if a.facts == nil {
		a.facts = map[string]*serverFacts{}
	}
	if a.facts[url] == nil {
		a.facts[url] = &serverFacts{info: map[string]*api.ServerInfo{}}
	}
	return a.facts[url]
}

// may refuses what the server would refuse in the end, before anybody is asked for
// a PIN: a token that is none, that has none of the scopes or does not cover the name.
func (a *app) may(ctx context.Context, publisher *client.Publisher, repository string, scopes ...string) error {
	server := publisher.Server
	if server.Token == "" {
		return advise(fmt.Errorf("publishing to %s takes a token: %w", server.URL, api.ErrUnauthorized), "signet login %s --token-file FILE", server.URL)
	}
	facts := a.factsOf(server.URL)
	if facts.token == nil {
		var err error
		if facts.token, err = publisher.Token(ctx); err != nil {
			return err
		}
	}
	token := facts.token
	if !slices.ContainsFunc(append(scopes, api.ScopeAdmin), func(scope string) bool { return slices.Contains(token.Scopes, scope) }) {
		return fmt.Errorf("%w: token %s of %s has the scopes %s; this takes %s", api.ErrForbidden,
			clip(token.Name, 100), server.URL, clip(strings.Join(token.Scopes, ", "), 100), strings.Join(scopes, " or "))
	}
	if !slices.ContainsFunc(token.Repositories, func(pattern string) bool { return tuf.MatchName(pattern, repository) }) {
		return fmt.Errorf("%w: token %s of %s is for %s, not for %s", api.ErrForbidden,
			clip(token.Name, 100), server.URL, clip(strings.Join(token.Repositories, ", "), 500), repository)
	}
	return nil
}

// inHardware refuses what the server would refuse in the end: keys that no YubiKey
// vouches for, under a name where it takes no others.
func (a *app) inHardware(publisher *client.Publisher, repository, role string, keys []*tuf.Key, attestations map[string][]string) error {
	info := a.factsOf(publisher.Server.URL).info[repository]
	if info == nil || info.Hardware == nil || role != tuf.RoleRoot && role != tuf.RoleTargets && !info.Hardware.Signers {
		return nil
	}
	for _, key := range keys {
		if len(attestations[key.ID()]) == 0 {
			return advise(fmt.Errorf("%s takes no keys for %s but those of YubiKeys that vouch for them: no attestation of the %s key %.12s is known here: %w",
				publisher.Server.URL, repository, role, key.ID(), tuf.RuleNotAttested), "signet key generate --yubikey makes such a key")
		}
	}
	return nil
}

// registryFlags say how to reach registries.
type registryFlags struct {
	ca        string
	plainHTTP bool
}

func (f *registryFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.ca, "registry-ca", "", "PEM `file` of authorities beside the system's that may vouch for the registry")
	cmd.Flags().BoolVar(&f.plainHTTP, "registry-http", false, "allow plain HTTP to a registry other than on this machine")
}

func (a *app) registry(f registryFlags) (registry.Config, error) {
	config := registry.Config{PlainHTTP: f.plainHTTP, Timeout: a.timeout}
	if f.ca != "" {
		ca, err := readNamed("--registry-ca", f.ca)
		if err != nil {
			return config, err
		}
		config.CA = ca
	}
	return config, nil
}

// resolve asks the registry what image is.
func (a *app) resolve(ctx context.Context, config registry.Config, image tuf.Image) (target tuf.Target, unread, err error) {
	target, unread, err = config.ResolveToSign(ctx, image)
	if errors.Is(err, tuf.ErrNotFound) {
		return target, nil, advise(fmt.Errorf("the registry has no %s: %w", image, tuf.ErrNotFound), "push the image first; signet signs what the registry serves")
	}
	if err != nil {
		return target, nil, fmt.Errorf("ask the registry for %s: %w", image, err)
	}
	return target, unread, nil
}

// yesFlag adds --yes.
func (a *app) yesFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.yes, "yes", false, "answer every question with yes; needed where there is no terminal")
}

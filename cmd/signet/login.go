package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/server/api"
)

func (a *app) serversFile() string { return filepath.Join(a.configDir, "servers.json") }

// loginInfo is what login prints.
type loginInfo struct {
	Server   string         `json:"server"`
	Version  string         `json:"version"`
	Identity string         `json:"signerIdentity"`
	For      []string       `json:"for"`
	Token    *api.TokenInfo `json:"token,omitempty"`
}

func newLogin(a *app) *cobra.Command {
	var caFile, tokenFile, identity string
	var patterns []string
	var allowHTTP bool
	cmd := &cobra.Command{
		Use:   "login URL",
		Short: "Remember a trust server to publish to, and pin its signer's identity",
		Long: `Remember a trust server to publish to: its address, its CA, a token, and the
identity key of its signer. Only snapshot and timestamp keys that this identity
vouches for are put into a root by this machine, so compare the fingerprint that
is shown with what the server's operator tells you (signet-signer identity).`,
		Example: "  signet login https://localhost:4443 --ca signet-data/ca.pem --token-file signet-data/admin-token",
		Args:    cobra.ExactArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&caFile, "ca", "", "PEM `file` of the only authorities that may vouch for the server")
	flags.StringVar(&tokenFile, "token-file", "", "`file` with the token")
	flags.StringVar(&identity, "signer-identity", "", "the `fingerprint` that the signer's identity must have")
	flags.StringArrayVar(&patterns, "for", nil, "the `pattern` of names that this server is for (may be given several times; default: all)")
	flags.BoolVar(&allowHTTP, "allow-http", false, "allow http:// to other than this machine")
	a.yesFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, args []string) error {
		server := client.Server{URL: trimSlash(args[0]), PlainHTTP: allowHTTP}
		if u, err := url.Parse(args[0]); err != nil || u.Host == "" {
			return usagef("%q is no address: expected https://HOST[:PORT]", args[0])
		}
		for _, pattern := range patterns {
			pattern, err := patternArg(pattern)
			if err != nil {
				return err
			}
			server.Patterns = append(server.Patterns, pattern)
		}
		if caFile != "" {
			ca, err := readNamed("--ca", caFile)
			if err != nil {
				return err
			}
			server.CA = string(ca)
		}
		if tokenFile != "" {
			token, err := readSecretFile(tokenFile)
			if err != nil {
				return fmt.Errorf("--token-file %s: %w", tokenFile, err)
			}
			server.Token = string(token)
		}
		if err := server.Check(); err != nil {
			return &usageError{plain(err)}
		}
		info, err := a.logIn(ctx, &server, identity)
		if err != nil {
			return err
		}
		return a.print(info, func(w io.Writer) {
			fmt.Fprintf(w, "logged in to %s\n", info.Server)
			if info.Token != nil {
				fmt.Fprintf(w, "token %s may: %s, for %s\n", clip(info.Token.Name, 100), clip(strings.Join(info.Token.Scopes, ", "), 100), clip(strings.Join(info.Token.Repositories, " "), 500))
			}
		})
	})
	return cmd
}

// logIn asks the server what it is, lets the person compare the signer's
// identity, and remembers both.
func (a *app) logIn(ctx context.Context, server *client.Server, identity string) (*loginInfo, error) {
	publisher := client.Publisher{Client: client.New(a.clientConfig(nil, nil)), Server: *server}
	about, err := publisher.Info(ctx)
	if err != nil {
		return nil, err
	}
	if about.Identity == nil {
		return nil, fmt.Errorf("%s: %w, so its identity cannot be pinned", server.URL, api.ErrSignerUnavailable)
	}
	id := about.Identity.ID()
	servers, err := client.LoadServers(a.serversFile())
	if err != nil {
		return nil, err
	}
	known := ""
	if before, err := servers.ByURL(server.URL); err == nil && before.Identity != nil {
		known = before.Identity.ID()
	}
	a.note("the signer of %s has the identity\n\n    %s\n\nin groups of eight:\n\n    %s\n", server.URL, id, fingerprint(id))
	switch wanted := strings.ToLower(strings.NewReplacer(" ", "", ":", "", "SHA256", "", "sha256", "").Replace(identity)); {
	case wanted != "" && wanted != id:
		return nil, advise(fmt.Errorf("the signer of %s is not the one that --signer-identity names", server.URL), "ask the server's operator; somebody else may be answering")
	case wanted == id:
	case known == id:
		a.note("it is the one that was pinned before")
	case known != "":
		a.note("WARNING: the one that was pinned before is\n\n    %s\n", known)
		if a.yes { // who answers beforehand did not know of it
			return nil, advise(fmt.Errorf("the signer of %s has another identity than the one that was pinned", server.URL),
				"ask the server's operator; if it is so, give the new one by --signer-identity")
		}
		if err := a.confirm(ctx, "Has the operator told you of this change?"); err != nil {
			return nil, err
		}
	default:
		if err := a.confirm(ctx, "Is that what the server's operator told you?"); err != nil {
			return nil, err
		}
	}
	server.Identity = about.Identity
	info := &loginInfo{Server: server.URL, Version: about.Version, Identity: id, For: server.Patterns}
	if server.Token != "" {
		if info.Token, err = publisher.Token(ctx); err != nil {
			return nil, err
		}
	}
	return info, client.EditServers(a.serversFile(), func(servers client.Servers) (client.Servers, error) {
		for i := range servers {
			if sameAddress(servers[i].URL, server.URL) {
				if server.Token == "" {
					server.Token = servers[i].Token
				}
				servers[i] = *server
				return servers, nil
			}
		}
		return append(servers, *server), nil
	})
}

// fingerprint groups a key ID, for who reads it to another. signet-signer
// identity prints it whole, so login shows both.
func fingerprint(id string) string {
	var groups []string
	for len(id) > 8 {
		groups, id = append(groups, id[:8]), id[8:]
	}
	return strings.Join(append(groups, id), " ")
}

func newLogout(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "logout URL",
		Short: "Forget a trust server and its token",
		Args:  cobra.ExactArgs(1),
		RunE: a.action(func(_ context.Context, args []string) error {
			var gone client.Server
			err := client.EditServers(a.serversFile(), func(servers client.Servers) (client.Servers, error) {
				for i := range servers {
					if sameAddress(servers[i].URL, args[0]) {
						gone = servers[i]
						return append(servers[:i:i], servers[i+1:]...), nil
					}
				}
				return nil, fmt.Errorf("%s: %w", args[0], client.ErrNoServer)
			})
			if err != nil || gone.TokenFile == "" {
				return err
			}
			err = os.Remove(filepath.Join(a.configDir, gone.TokenFile))
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			return err
		}),
	}
}

// explainCA tells, of a server whose certificate is not believed, that this
// machine knows two CAs for it: publishing goes by login's, verifying by the
// anchor's, and one of them may be out of date.
func (a *app) explainCA(err error) error {
	trouble, ok := errors.AsType[*client.ServerError](err)
	if !ok || trouble.Trouble != client.TroubleCA {
		return err
	}
	servers, serversErr := client.LoadServers(a.serversFile())
	anchors, anchorsErr := a.anchors()
	if serversErr != nil || anchorsErr != nil {
		return err
	}
	if anchor := otherCA(servers, anchors, trouble.Server); anchor != nil {
		return advise(err, "login and the trust anchor for %s have different CAs for this server; if login's is the right one, repeat the anchor's signet trust add with --ca FILE --replace, else signet login %s --ca FILE",
			anchor.Pattern, trouble.Server)
	}
	return err
}

// otherCA returns an anchor that has another CA for a server than login.
func otherCA(servers client.Servers, anchors client.Anchors, url string) *client.Anchor {
	login, err := servers.ByURL(url)
	if err != nil {
		return nil
	}
	for i, anchor := range anchors {
		if client.SameCA(anchor.CA, login.CA) {
			continue
		}
		for _, server := range anchor.Servers {
			if sameAddress(server, url) {
				return &anchors[i]
			}
		}
	}
	return nil
}

func trimSlash(s string) string { return strings.TrimRight(s, "/") }

package containerd

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/tuf"
)

// A Gate decides. *guard.Gate does.
type Gate interface {
	Decide(ctx context.Context, asker door.Asker, image string) (*client.Decision, error)
}

// Door answers what a registry would, as far as names go.
func Door(g Gate) door.Door {
	return door.Door{
		Name: "containerd", Paths: []string{"/v2/", "/v2"}, Handler: http.HandlerFunc(handler{g}.serve), MaxBody: 1,
		Refuse: func(w http.ResponseWriter, r *http.Request, _ int, reason string) {
			refuse(w, r, codeUnavailable, reason)
		},
	}
}

type handler struct{ gate Gate }

func (d handler) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	path := r.URL.EscapedPath()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		refuse(w, r, codeUnsupported, "nothing is pushed to the gate, and nothing is deleted")
		return
	case path == "/v2/" || path == "/v2":
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
		return
	}
	name, reference, ok := manifest(path)
	if !ok {
		// Content of all kinds: layers, referrers, lists of tags.
		elsewhere(w, r, codeBlobUnknown, "the gate has no content: the registry has")
		return
	}
	image, err := imageOf(r.URL.RawQuery, name, reference)
	if err != nil {
		refuse(w, r, codeNameInvalid, err.Error())
		return
	}
	if r.Method == http.MethodGet && image.Digest != "" {
		// It was asked for by a name's digest, or by a digest that a manifest lists.
		elsewhere(w, r, codeManifestUnknown, "the gate has no content: the registry has")
		return
	}
	decision, err := d.gate.Decide(r.Context(), door.Asker{Door: "containerd", Who: door.Who(r)}, image.String())
	d.answer(w, r, decision, err)
}

// answer tells which digest is signed.
func (d handler) answer(w http.ResponseWriter, r *http.Request, decision *client.Decision, err error) {
	switch {
	case tuf.IsRefusal(err):
		refuse(w, r, codeDenied, decision.Reason)
		return
	case err != nil:
		refuse(w, r, codeUnavailable, decision.Reason)
		return
	case !decision.Trusted:
		// The policy lets it pass unverified (a mode, an exemption). Which digest it is,
		// the registry has to say: it can where hosts.toml lets it resolve.
		elsewhere(w, r, codeManifestUnknown, "the policy lets "+decision.Image+" pass unverified: the registry has to resolve it")
		return
	case decision.Length <= 0 || decision.MediaType == "":
		refuse(w, r, codeUnavailable, decision.Image+" is signed without its length or media type, which containerd needs; sign it again")
		return
	}
	w.Header().Set("Docker-Content-Digest", decision.Digest)
	if r.Method == http.MethodGet {
		elsewhere(w, r, codeManifestUnknown, "signed as "+decision.Digest+"; the registry has the content")
		return
	}
	w.Header().Set("Content-Type", decision.MediaType)
	w.Header().Set("Content-Length", strconv.FormatInt(decision.Length, 10))
	w.WriteHeader(http.StatusOK)
}

// manifest takes /v2/NAME/manifests/REFERENCE apart. A name may have a part that is
// called manifests.
func manifest(path string) (name, reference string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	i := strings.LastIndex(rest, "/manifests/")
	if !ok || i < 0 {
		return "", "", false
	}
	return rest[:i], rest[i+len("/manifests/"):], true
}

// imageOf returns what is asked for. Nothing that is not a name in the one form that
// it has gets any further: the path is as it was sent.
func imageOf(query, name, reference string) (image tuf.Image, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return image, fmt.Errorf("the query cannot be read: %w", err)
	}
	if len(values["ns"]) != 1 || values["ns"][0] == "" {
		return image, fmt.Errorf("no ?ns=HOST says which registry's %s it is: the gate is to be asked by way of hosts.toml", quote(name))
	}
	image.Repository = values["ns"][0] + "/" + name
	if err := tuf.CheckRepository(image.Repository); err != nil {
		return image, err
	}
	if strings.Contains(reference, ":") {
		image.Digest = reference
		return image, tuf.CheckDigest(reference)
	}
	image.Tag = reference
	return image, tuf.CheckTag(reference)
}

func quote(s string) string {
	if len(s) > 100 {
		s = s[:100] + "..."
	}
	return strconv.Quote(s)
}

package nodecheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A search is where containerd looks for hosts.toml, folder by folder.
type search []string

// folder is the one that counts for a registry, "" when there is none. The first one that
// exists does, whatever is in it (containerd, core/remotes/docker/config, hostPaths).
func (s search) folder(registry string) string {
	names := []string{registry, defaultFolder}
	if i := strings.LastIndexByte(registry, ':'); i > 0 {
		names = append([]string{registry[:i] + "_" + registry[i+1:] + "_"}, names...)
	}
	for _, root := range s {
		for _, name := range names {
			if path := filepath.Join(root, name); exists(path) {
				return path
			}
		}
	}
	return ""
}

// defaultFolder is for registries that have none of their own.
const defaultFolder = "_default"

// hosts looks at every hosts.toml, and at the registries that should have one.
func (n *node) hosts(ctx context.Context, s settings) {
	folders := search(n.HostsDirs)
	if len(folders) == 0 {
		folders = n.folders(s)
	}
	n.search(ctx, folders)
	for _, root := range n.HostsDirs {
		if !exists(root) {
			n.away = append(n.away, root)
		}
	}
	if n.doors > 0 && len(n.away) > 0 {
		n.add("hosts.toml", Warning, "there is no folder "+strings.Join(n.away, ", "), noFolder)
	}
}

// search looks at what is found there.
func (n *node) search(ctx context.Context, search search) {
	names := slices.Clone(n.Registries)
	for _, root := range search {
		entries, err := os.ReadDir(root)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			n.add("hosts.toml", Warning, err.Error(), "run it as root")
			continue
		}
		for _, entry := range entries {
			if name := registryOf(entry.Name()); !slices.Contains(names, name) && isDir(filepath.Join(root, entry.Name())) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	before := n.doors
	var without []string
	for _, name := range names {
		folder := search.folder(name)
		if folder == "" || !n.hostsFile(ctx, name, filepath.Join(folder, "hosts.toml")) {
			without = append(without, name)
		}
	}
	if n.doors == before {
		return // no such door is meant to be here
	}
	for _, name := range without {
		if slices.Contains(n.Registries, name) {
			n.addf("hosts.toml for "+name, Trouble, "signet-guard config containerd "+name+" prints one",
				"there is none with a gate in it, though a trust anchor or a probe is for its images: containerd asks the registry itself what a tag means")
		}
	}
}

// folders are where containerd's CRI looks for hosts.toml, for Kubernetes; others, such as
// ctr, are told on their command line.
func (n *node) folders(s settings) search {
	id, cri := criImages, s.plugin(criImages, "registry")
	if cri == nil {
		id, cri = criOld, s.plugin(criOld, "registry")
	}
	const common = "/etc/containerd/certs.d"
	ofCRI, ofTransfer := text(cri, "config_path"), text(s.plugin(transfer), "config_path")
	folders := search(filepath.SplitList(ofCRI))
	const advice = "set config_path = \"" + common + "\" in the CRI plugin's registry section, and restart containerd"
	list, unset := len(folders) > 1, ofCRI == ""
	meant := ofTransfer != "" || search{common}.any() || folders.any()
	switch on := meant && !s.disabled(id); {
	case on && list && s.byTransfer(): // which takes it all for the name of one, up to 2.4
		n.addf("hosts.toml", Trouble, advice, "config_path names %d folders (%s): containerd's CRI, and so Kubernetes, reads none of them", len(folders), ofCRI)
	case on && list && !s.whole && s.pullsItself() == "":
		n.addf("hosts.toml", Warning, advice, "config_path names %d folders (%s): containerd's CRI reads none of them since 2.1", len(folders), ofCRI)
	case on && unset && s.whole && cri != nil:
		n.add("hosts.toml", Trouble, "there are files, but containerd's CRI, and so Kubernetes, reads none: its config_path is empty", advice)
	case on && unset && !s.whole:
		n.add("hosts.toml", Warning, "there are files, but containerd's configuration does not say that its CRI reads them; it does not then", advice)
	case ofTransfer != "" && ofTransfer != ofCRI:
		n.addf("hosts.toml", Warning, advice+"; ctr has --hosts-dir", "the transfer service's config_path is %s, which no containerd up to 2.4 reads", ofTransfer)
	}
	if len(folders) == 0 {
		return search{common}
	}
	return folders
}

// any tells whether there is a hosts.toml at all.
func (s search) any() bool {
	return slices.ContainsFunc(s, func(root string) bool {
		found, err := filepath.Glob(filepath.Join(root, "*", "hosts.toml"))
		return err == nil && len(found) > 0
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// registryOf is the registry that a folder is for: "host_5000_" is "host:5000".
func registryOf(folder string) string {
	if rest, ok := strings.CutSuffix(folder, "_"); ok {
		if i := strings.LastIndex(rest, "_"); i > 0 {
			return rest[:i] + ":" + rest[i+1:]
		}
	}
	return folder
}

// hostsFile looks at one file, and asks as containerd would. It tells whether a gate is
// meant to stand there.
func (n *node) hostsFile(ctx context.Context, registry, file string) (door bool) {
	check := "hosts.toml for " + registry
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false // certificates alone
	}
	if err != nil {
		n.add(check, Warning, err.Error(), "run it as root")
		return true
	}
	hosts, err := readHosts(data, filepath.Dir(file))
	if err != nil {
		n.addf(check, Trouble, "mend it: signet-guard config containerd "+registry+" prints one",
			"%s cannot be read (%v): containerd then passes it over, and asks the registry itself what a tag means", file, err)
		return true
	}
	if len(hosts) == 1 {
		return false // a registry's own settings, such as its CA
	}
	n.doors++
	n.door(ctx, registry, file, hosts)
	return true
}

// door looks at the hosts of a file.
func (n *node) door(ctx context.Context, registry, file string, hosts []host) {
	check := "hosts.toml for " + registry
	if slices.ContainsFunc(hosts, func(h host) bool {
		return slices.ContainsFunc(h.caps, func(c string) bool { return strings.EqualFold(c, "referrers") })
	}) {
		n.addf(check, Warning, "leave it out, unless no containerd that reads the file is older than 2.2",
			"%s has the capability referrers: a containerd that does not know it passes the whole file over", file)
	}
	resolvers := 0
	for _, h := range hosts {
		if h.can("resolve") && h.url != "" {
			resolvers++
		}
	}
	last := &hosts[len(hosts)-1]
	if last.url == "" {
		n.addf(check, Trouble, "add a line  server = \"https://"+registry+"\"  and  capabilities = [\"pull\"]  ahead of the first [host]",
			"%s names no server: containerd then asks the registry itself when the gate has no answer", file)
		return
	}
	if resolvers == 0 {
		n.addf(check, OK, "", "nobody in %s may say what a tag means: nothing is pulled by tag", file)
		return
	}
	for _, reference := range n.references(registry) {
		n.resolve(ctx, check, file, hosts, reference)
	}
}

// resolve asks the hosts of a file what the tag of a reference means, in containerd's
// order.
func (n *node) resolve(ctx context.Context, check, file string, hosts []host, reference string) {
	// containerd goes on to the next after an error, 404 and everything from 400 on, and
	// gives up at once after a status from 300 to 399, which is how the gate refuses.
	var down, unlike error
	final, reason := false, ""
	for _, h := range hosts[:len(hosts)-1] {
		if !h.can("resolve") {
			continue
		}
		response, err := n.ask(ctx, &h, reference)
		if err != nil {
			down = fmt.Errorf("%s cannot be asked: %w", h.url, err)
			continue
		}
		status := response.StatusCode
		switch {
		case status/100 == 2:
			n.addf(check, Trouble, "let only the gate have the capability resolve, and look at its policy: signet policy explain",
				"%s answered for %s, which nobody has signed", h.url, reference)
			return
		case status/100 == 3 && response.Header.Get("Location") != "":
			n.addf(check, Trouble, "name the gate itself", "%s answers with a redirect (%d), which containerd follows", h.url, status)
			return
		}
		if final = status/100 == 3; final {
			reason = refusal(response)
			break
		}
		unlike = fmt.Errorf("%s answers %d to %s, as any registry does of what it does not have, or does not show to everybody, and a gate of what its policy lets pass", h.url, status, reference)
	}
	proven := final && !forWantOfARule(reason)
	if final && !proven {
		n.unproven(check, reference, reason)
	}
	last := &hosts[len(hosts)-1]
	open := last.can("resolve")
	switch {
	case final && open:
		n.addf(check, Warning, resolveToo, "what the gate refuses is refused, but the registry, %s, says what a tag means while the gate does not answer", last.url)
	case open && down != nil:
		n.addf(check, Trouble, "look why it does not answer; where all is to be enforced, "+resolveToo, "%v: the registry, %s, says what a tag means", down, last.url)
	case open:
		why := ""
		if unlike != nil {
			why = fmt.Sprintf(" (%v)", unlike)
		}
		n.addf(check, Trouble, byMode+"; then "+resolveToo,
			"nobody in %s refuses %s, which nobody has signed, and it lets the registry, %s, say what a tag means when the gate does not%s", file, reference, last.url, why)
	case down != nil && final: // which, once it is up, may be no gate
		n.addf(check, Warning, "start it, and run this again", "%v, and is asked ahead of the gate", down)
	case unlike != nil && !final:
		n.addf(check, Warning, "let only gates have the capability resolve; if it is one, "+byMode+", and to have them pulled, write it anew with --resolve",
			"%v: whether it would let an image pass that nobody has signed is not known", unlike)
	case unlike != nil:
		n.addf(check, Warning, "let only gates have the capability resolve", "%v, and is asked ahead of the gate", unlike)
	case down != nil:
		n.addf(check, Warning, "start the gate, or look at its address and certificate in "+file, "nothing is pulled by tag: %v", down)
	case proven:
		n.addf(check, OK, "", "an image that nobody has signed is refused (%s)", reason)
	}
}

// refusal is the reason in a gate's status line. HTTP/2 has no place for it.
func refusal(response *http.Response) string {
	if _, reason, ok := strings.Cut(response.Status, " signet: "); ok && reason != "" {
		return reason
	}
	return "its answer, " + strconv.Quote(response.Status) + ", has no reason"
}

// ask sends the question that containerd sends for a tag (distribution-spec, "Pulling
// manifests").
func (n *node) ask(ctx context.Context, h *host, reference string) (*http.Response, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: h.skip} // as containerd does
	for _, file := range h.ca {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if config.RootCAs == nil {
			if config.RootCAs, err = x509.SystemCertPool(); err != nil {
				return nil, err
			}
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", file)
		}
	}
	for _, pair := range h.client {
		cert, err := tls.LoadX509KeyPair(pair[0], pair[1])
		if err != nil {
			return nil, err
		}
		config.Certificates = append(config.Certificates, cert)
	}
	transport := &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, n.Timeout)
	defer cancel()
	registry, path, _ := strings.Cut(strings.TrimSuffix(reference, ":"+n.tag), "/")
	target := h.url + "/" + path + "/manifests/" + n.tag + "?" + url.Values{"ns": {registry}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, target, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "signet-doctor")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	return response, nil
}

package nodecheck

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// A host is one entry of hosts.toml, as containerd understands it.
type host struct {
	url    string // base, with /v2
	caps   []string
	ca     []string
	client [][2]string
	skip   bool
}

func (h *host) can(capability string) bool {
	return len(h.caps) == 0 || slices.ContainsFunc(h.caps, func(c string) bool { return strings.EqualFold(c, capability) })
}

// hosts looks at every hosts.toml, and at the registries that should have one.
func (n *node) hosts(ctx context.Context, s settings) {
	dirs := n.HostsDirs
	if len(dirs) == 0 {
		dirs = n.hostsDirs(s)
	}
	seen := map[string]bool{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			n.add("hosts.toml", Warning, err.Error(), "run it as root")
			continue
		}
		for _, entry := range entries {
			name := registryOf(entry.Name())
			if seen[name] || !isDir(filepath.Join(dir, entry.Name())) {
				continue
			}
			seen[name] = true
			n.hostsFile(ctx, name, filepath.Join(dir, entry.Name(), "hosts.toml"))
		}
	}
	for _, registry := range n.Registries {
		if !seen[registry] && !seen["_default"] && n.doors > 0 {
			n.addf("hosts.toml for "+registry, Trouble, "signet-guard config containerd "+registry+" prints one",
				"there is none, though a trust anchor is for its images: containerd asks the registry itself what a tag means")
		}
	}
}

// hostsDirs are the folders that containerd reads hosts.toml from.
func (n *node) hostsDirs(s settings) []string {
	var dirs []string
	add := func(who, list string) {
		if list == "" {
			return
		}
		for _, dir := range filepath.SplitList(list) {
			if !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	cri := s.plugin(criImages, "registry")
	if cri == nil {
		cri = s.plugin(criOld, "registry")
	}
	add("cri", text(cri, "config_path"))
	add("transfer", text(s.plugin(transfer), "config_path"))
	if len(dirs) > 0 {
		return dirs
	}
	common := "/etc/containerd/certs.d"
	if found, err := filepath.Glob(filepath.Join(common, "*", "hosts.toml")); err == nil && len(found) > 0 && s.whole {
		n.addf("hosts.toml", Trouble, "set config_path = \""+common+"\" in the CRI plugin's registry section, and restart containerd",
			"%s has files, but containerd's CRI does not read them: its config_path is empty", common)
	}
	return []string{common}
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

// hostsFile looks at one file, and asks as containerd would.
func (n *node) hostsFile(ctx context.Context, registry, file string) {
	check := "hosts.toml for " + registry
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return // certificates alone
	}
	if err != nil {
		n.add(check, Warning, err.Error(), "run it as root")
		return
	}
	hosts, err := readHosts(data, filepath.Dir(file))
	if err != nil {
		n.addf(check, Trouble, "mend it: signet-guard config containerd "+registry+" prints one",
			"%s cannot be read (%v): containerd then passes it over, and asks the registry itself what a tag means", file, err)
		return
	}
	resolvers := 0
	for _, h := range hosts {
		if h.can("resolve") && h.url != "" {
			resolvers++
		}
	}
	last := &hosts[len(hosts)-1]
	switch {
	case len(hosts) == 1:
		return // a registry's own settings, such as its CA: no door
	case last.url == "":
		n.addf(check, Trouble, "add a line  server = \"https://"+registry+"\"  and  capabilities = [\"pull\"]  ahead of the first [host]",
			"%s names no server: containerd then asks the registry itself when the gate has no answer", file)
		n.doors++
		return
	}
	n.doors++
	open := last.can("resolve")
	if resolvers == 0 {
		n.addf(check, OK, "", "nobody in %s may say what a tag means: nothing is pulled by tag", file)
		return
	}
	// containerd goes on to the next after an error, 404 and everything from 400 on, and
	// gives up at once after a status from 300 to 399, which is how the gate refuses.
	var down error
	final := false
	for _, h := range hosts[:len(hosts)-1] {
		if !h.can("resolve") {
			continue
		}
		status, location, err := n.ask(ctx, &h, registry)
		switch {
		case err != nil:
			down = fmt.Errorf("%s cannot be asked: %w", h.url, err)
			continue
		case status/100 == 2:
			n.addf(check, Trouble, "let only the gate have the capability resolve, and look at its policy: signet policy explain",
				"%s answered for %s, which nobody has signed", h.url, n.reference(registry))
			return
		case status/100 == 3 && location != "":
			n.addf(check, Trouble, "name the gate itself", "%s answers with a redirect (%d), which containerd follows", h.url, status)
			return
		}
		if final = status/100 == 3; final {
			break
		}
	}
	const only = "write it anew without --resolve, or add  capabilities = [\"pull\"]  ahead of the first [host]"
	switch {
	case final && open:
		n.addf(check, Warning, only, "an image that nobody has signed is refused, but the registry, %s, says what a tag means while the gate does not answer", last.url)
	case open && down != nil:
		n.addf(check, Trouble, only, "%v: the registry, %s, says what a tag means", down, last.url)
	case open:
		n.addf(check, Trouble, only, "%s lets the registry, %s, say what a tag means when the gate does not", file, last.url)
	case down != nil && !final:
		n.addf(check, Warning, "start the gate, or look at its address and certificate in "+file, "nothing is pulled by tag: %v", down)
	default:
		n.addf(check, OK, "", "an image that nobody has signed is refused")
	}
}

// ask sends the question that containerd sends for a tag (distribution-spec, "Pulling
// manifests").
func (n *node) ask(ctx context.Context, h *host, registry string) (status int, location string, err error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: h.skip} // as containerd does
	for _, file := range h.ca {
		pem, err := os.ReadFile(file)
		if err != nil {
			return 0, "", err
		}
		if config.RootCAs == nil {
			if config.RootCAs, err = x509.SystemCertPool(); err != nil {
				return 0, "", err
			}
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return 0, "", fmt.Errorf("%s holds no certificate", file)
		}
	}
	for _, pair := range h.client {
		cert, err := tls.LoadX509KeyPair(pair[0], pair[1])
		if err != nil {
			return 0, "", err
		}
		config.Certificates = append(config.Certificates, cert)
	}
	transport := &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, n.Timeout)
	defer cancel()
	target := h.url + "/" + probeRepository + "/manifests/" + n.tag + "?" + url.Values{"ns": {registry}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, target, nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("User-Agent", "signet-doctor")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	response.Body.Close()
	return response.StatusCode, response.Header.Get("Location"), nil
}

// hostFile is a [host] of hosts.toml, and what stands ahead of the first.
type hostFile struct {
	Capabilities []string `toml:"capabilities"`
	CA           any      `toml:"ca"`
	Client       any      `toml:"client"`
	SkipVerify   bool     `toml:"skip_verify"`
	OverridePath bool     `toml:"override_path"`
}

// readHosts reads hosts.toml. The last host is the server, whose url is "" when the
// file does not name it.
func readHosts(data []byte, dir string) ([]host, error) {
	var file struct {
		hostFile
		Server string              `toml:"server"`
		Hosts  map[string]hostFile `toml:"host"`
	}
	if err := toml.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	order, err := hostOrder(data)
	if err != nil {
		return nil, err
	}
	var hosts []host
	for _, name := range order {
		h, err := file.Hosts[name].host(name, dir)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	server, err := file.hostFile.host(file.Server, dir)
	if err != nil {
		return nil, err
	}
	return append(hosts, server), nil
}

// hostOrder lists the [host] tables in the order of the file, in which containerd
// asks them.
func hostOrder(data []byte) ([]string, error) {
	var names []string
	var p unstable.Parser
	p.Reset(bytes.Clone(data))
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.Table {
			continue
		}
		var keys []string
		for it := e.Key(); it.Next(); {
			keys = append(keys, string(it.Node().Data))
		}
		if len(keys) >= 2 && keys[0] == "host" && !slices.Contains(names, keys[1]) {
			names = append(names, keys[1])
		}
	}
	return names, p.Error()
}

func (f hostFile) host(server, dir string) (host, error) {
	h := host{caps: f.Capabilities, skip: f.SkipVerify}
	for _, c := range f.Capabilities {
		if !slices.Contains([]string{"pull", "resolve", "push", "referrers"}, strings.ToLower(c)) {
			return host{}, fmt.Errorf("the capability %q is not known", c)
		}
	}
	if server != "" {
		if !strings.HasPrefix(server, "http") {
			server = "https://" + server
		}
		u, err := url.Parse(server)
		if err != nil {
			return host{}, err
		}
		u.Path = path.Clean("/" + u.Path)
		if !f.OverridePath && !strings.HasSuffix(u.Path, "/v2") {
			u.Path = path.Join(u.Path, "v2")
		}
		h.url = strings.TrimSuffix(u.String(), "/")
	}
	absolute := func(p string) string {
		if filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(dir, p)
	}
	for _, p := range texts(f.CA) {
		h.ca = append(h.ca, absolute(p))
	}
	switch client := f.Client.(type) {
	case nil:
	case []any:
		for _, item := range client {
			pair := texts(item)
			if len(pair) == 0 || len(pair) > 2 {
				return host{}, errors.New("client is no list of certificates and keys")
			}
			h.client = append(h.client, [2]string{absolute(pair[0]), absolute(pair[len(pair)-1])})
		}
	default:
		for _, p := range texts(client) {
			h.client = append(h.client, [2]string{absolute(p), absolute(p)})
		}
	}
	return h, nil
}

// texts is one string, or a list of them.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, item := range v {
			if s, ok := item.(string); ok && s != "" {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

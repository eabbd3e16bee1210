package nodecheck

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

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

// hostFile is a [host] of hosts.toml, and what stands ahead of the first.
type hostFile struct {
	Capabilities []string `toml:"capabilities"`
	CA           any      `toml:"ca"`
	Client       any      `toml:"client"`
	SkipVerify   bool     `toml:"skip_verify"`
	OverridePath bool     `toml:"override_path"`

	// What is not asked with, and yet has to be of its type for the file to be read.
	Header      map[string]any `toml:"header"`
	DialTimeout string         `toml:"dial_timeout"`
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
	if f.CA != nil {
		files, err := texts(f.CA)
		if err != nil {
			return host{}, fmt.Errorf("ca: %w", err)
		}
		for _, p := range files {
			h.ca = append(h.ca, absolute(p))
		}
	}
	if err := h.clients(f.Client, absolute); err != nil {
		return host{}, fmt.Errorf("client: %w", err)
	}
	for name, value := range f.Header {
		if _, err := texts(value); err != nil {
			return host{}, fmt.Errorf("header %s: %w", name, err)
		}
	}
	if f.DialTimeout != "" {
		if _, err := time.ParseDuration(f.DialTimeout); err != nil {
			return host{}, fmt.Errorf("dial_timeout: %w", err)
		}
	}
	return h, nil
}

// clients reads certificates and keys: a file with both, or a list of such files and of
// pairs.
func (h *host) clients(v any, absolute func(string) string) error {
	if v == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, item := range list {
		files, err := texts(item)
		if err != nil {
			return err
		}
		if _, one := item.(string); one {
			files = append(files, files[0])
		}
		if len(files) != 2 {
			return errors.New("expected a certificate and its key")
		}
		h.client = append(h.client, [2]string{absolute(files[0]), absolute(files[1])})
	}
	return nil
}

// texts is one string, or a list of them.
func texts(v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		return []string{v}, nil
	case []any:
		var list []string
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil, fmt.Errorf("%T in place of a text", item)
			}
			list = append(list, s)
		}
		return list, nil
	}
	return nil, fmt.Errorf("%T in place of a text, or a list of them", v)
}

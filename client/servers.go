package client

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/signet-trust/signet/tuf"
)

// A Server is a metadata server that somebody has logged in to, to publish.
type Server struct {
	// URL is the base address, such as https://signet.example.com.
	URL string `json:"url"`
	// CA is the PEM of the only authorities that may vouch for the server;
	// empty: the system's.
	CA string `json:"ca,omitempty"`
	// PlainHTTP allows http:// for other than loopback addresses.
	PlainHTTP bool `json:"plainHTTP,omitempty"`
	// Identity is the signer's identity key, pinned at login. Online keys that
	// it did not sign get into no root.
	Identity *tuf.Key `json:"identity,omitempty"`
	// Patterns are the repositories that this server is for; none means all.
	Patterns []string `json:"patterns,omitempty"`
	// TokenFile is where the token is, relative to the folder of servers.json.
	TokenFile string `json:"tokenFile,omitempty"`
	// Token is what TokenFile holds. It is never written to servers.json.
	Token string `json:"-"`
}

// Check refuses a server that cannot be one.
func (s *Server) Check() error {
	if _, err := checkAddress(s.URL, s.PlainHTTP); err != nil {
		return err
	}
	if s.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(s.CA)) {
		return errors.New("ca holds no PEM certificate")
	}
	for _, pattern := range s.Patterns {
		if err := tuf.CheckPattern(pattern); err != nil {
			return err
		}
	}
	if s.TokenFile != "" && !filepath.IsLocal(s.TokenFile) {
		return fmt.Errorf("tokenFile %q leaves the folder of servers.json", s.TokenFile)
	}
	return nil
}

// Servers are all servers that somebody has logged in to.
type Servers []Server

// For returns the server for a repository, by its most specific pattern. When
// several fit equally well it returns an error: a server is never guessed.
func (l Servers) For(repository string) (*Server, error) {
	best, bestFit, tie := -1, -1, -1
	for i := range l {
		fit := l[i].fit(repository)
		switch {
		case fit < 0:
		case fit > bestFit:
			best, bestFit, tie = i, fit, -1
		case fit == bestFit:
			tie = i
		}
	}
	if best < 0 {
		return nil, fmt.Errorf("no server is known for %s: %w", repository, ErrNoServer)
	}
	if tie >= 0 {
		return nil, fmt.Errorf("%s and %s are both set for %s: %w", l[best].URL, l[tie].URL, repository, ErrAmbiguousServer)
	}
	return &l[best], nil
}

// Which server to use cannot be told.
var (
	ErrNoServer        = errors.New("log in to a server first")
	ErrAmbiguousServer = errors.New("say which server is meant")
)

// fit is how specific the server's best pattern for repository is, -1 if none fits.
func (s *Server) fit(repository string) int {
	if len(s.Patterns) == 0 {
		return 0
	}
	fit := -1
	for _, pattern := range s.Patterns {
		if tuf.MatchName(pattern, repository) {
			fit = max(fit, 1+specificity(pattern))
		}
	}
	return fit
}

// ByURL returns the server with this base address.
func (l Servers) ByURL(url string) (*Server, error) {
	want := strings.TrimRight(url, "/")
	for i := range l {
		if strings.TrimRight(l[i].URL, "/") == want {
			return &l[i], nil
		}
	}
	return nil, fmt.Errorf("%s: %w", url, ErrNoServer)
}

// Token returns the token for a server's base address, for Config.Token. It goes
// only where ca vouches that was pinned at login: an anchor that names the same
// address under other authorities would else send it to whoever these vouch for.
func (l Servers) Token(address, ca string) string {
	login, err := l.ByURL(address)
	if err != nil || !SameCA(login.CA, ca) {
		return ""
	}
	return login.Token
}

// SameCA tells whether two PEM texts hold the same certificates, in whatever order
// and with whatever between them. No certificate stands for the system's.
func SameCA(a, b string) bool { return maps.Equal(certificates(a), certificates(b)) }

func certificates(text string) map[string]bool {
	found := map[string]bool{}
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return found
		}
		if block.Type == "CERTIFICATE" {
			found[string(block.Bytes)] = true
		}
	}
}

// serversFile is the form of servers.json.
type serversFile struct {
	Servers Servers `json:"servers"`
}

// LoadServers reads servers.json and the tokens that it names. A file that is
// not there holds no servers.
func LoadServers(path string) (Servers, error) {
	var file serversFile
	if err := readConfig(path, &file); err != nil {
		return nil, err
	}
	for i := range file.Servers {
		s := &file.Servers[i]
		if err := s.Check(); err != nil {
			return nil, fmt.Errorf("%s: server %d, %s: %w", path, i+1, s.URL, err)
		}
		if s.TokenFile == "" {
			continue
		}
		token, err := readSecret(filepath.Join(filepath.Dir(path), s.TokenFile))
		if err != nil {
			return nil, fmt.Errorf("token of %s: %w", s.URL, err)
		}
		s.Token = token
	}
	return file.Servers, nil
}

// readSecret reads a file with a secret, which nobody else may read.
func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if openToOthers(info) {
		return "", fmt.Errorf("%s is open to others (mode %04o); it holds a secret: chmod 600: %w", path, info.Mode().Perm(), fs.ErrPermission)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(data)), nil
}

// EditServers changes servers.json: it reads the file and the tokens, lets edit
// change the servers, and writes all anew. Tokens go into files of their own,
// for their owner's eyes only.
func EditServers(path string, edit func(Servers) (Servers, error)) error {
	return editConfig(path, 0o600, func() (any, error) {
		servers, err := LoadServers(path)
		if err != nil {
			return nil, err
		}
		if servers, err = edit(servers); err != nil {
			return nil, err
		}
		if servers == nil {
			servers = Servers{}
		}
		for i := range servers {
			if err := servers[i].save(filepath.Dir(path)); err != nil {
				return nil, fmt.Errorf("server %s: %w", servers[i].URL, err)
			}
		}
		return serversFile{Servers: servers}, nil
	})
}

// save writes the server's token beside servers.json and names the file.
func (s *Server) save(dir string) error {
	if err := s.Check(); err != nil {
		return err
	}
	if s.Token == "" {
		s.TokenFile = ""
		return nil
	}
	s.TokenFile = filepath.Join("tokens", digestHex([]byte(strings.TrimRight(s.URL, "/")))[:16])
	path := filepath.Join(dir, s.TokenFile)
	if err := makeParent(path); err != nil {
		return err
	}
	if err := writeFile(path, []byte(s.Token+"\n"), 0o600); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

package server

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/signet-trust/signet/attestation"
	"github.com/signet-trust/signet/server/api"
	"github.com/signet-trust/signet/tuf"
)

// A Rule fixes what holds for the repositories that a pattern matches. Of several
// that match, the first one holds.
type Rule struct {
	Pattern  string                   // as tuf.MatchName reads it
	RootKeys []string                 // key IDs that root's own role may list; none: any
	MaxLife  map[string]time.Duration // furthest expiry, by "root", "targets", "signer"; absent: the server's
	Hardware *attestation.Demand      // of the keys of root and targets, and perhaps of signers'; nil: none
}

// Config says how a server is to work. Store and Signer are required; zero values
// of the rest mean the defaults.
type Config struct {
	Store  Store
	Signer Signer

	Version    string                   // of this program, told to clients
	ReadTokens bool                     // reading takes a token with the scope read
	Rules      []Rule                   // first match holds
	MaxLife    map[string]time.Duration // furthest expiry where no rule says otherwise
	Lives      map[string]time.Duration // what new files should live, told to clients: root, targets, signer
	Limits     tuf.Limits               // of files that are published
	MaxBody    int64                    // bytes of a publish's body; default and most: api.MaxBody
	Rates      Rates                    // how often one may ask
	MaxReads   int                      // requests at work at once; default 512
	MaxWrites  int                      // publishes at work at once; default 16
	BodyWait   time.Duration            // how long a publish's body may take to arrive; default 60 s

	RefreshEvery   time.Duration // how often to look for what is due; default 10 s
	RefreshWorkers int           // refreshes at work at once; default 4
	PruneAfter     time.Duration // how long replaced snapshots and timestamps stay; default 7 days

	Now func() time.Time // default time.Now
	Log *slog.Logger     // default slog.Default
}

// A Server is the metadata server. Its Handler serves HTTP; Run does what has to
// be done in the background.
type Server struct {
	config  Config
	store   Store
	signer  Signer
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics
	rates   *rates
	reads   chan struct{} // a slot for each request at work
	under   *gate         // publishes under way: arriving, waiting or at work
	reading *gate         // proposals that are read, each of as much as a publish
	writes  chan struct{} // a slot for each publish at work
	turns   turns         // of repositories
	waiting turns         // of tokens that propose new repositories; taken after a repository's
	fresh   freshness
	known   identity
	learned learned
	routes  []route
	handler http.Handler

	stopping atomic.Bool
}

// New returns a server. It starts nothing yet.
func New(c Config) *Server {
	setDefault(&c.MaxBody, api.MaxBody)
	c.MaxBody = min(c.MaxBody, api.MaxBody)
	setDefault(&c.MaxReads, 512)
	setDefault(&c.MaxWrites, 16)
	setDefault(&c.BodyWait, time.Minute)
	setDefault(&c.RefreshEvery, 10*time.Second)
	setDefault(&c.RefreshWorkers, 4)
	setDefault(&c.PruneAfter, 7*24*time.Hour)
	c.Limits = c.Limits.WithDefaults()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	s := &Server{
		config: c, store: c.Store, signer: c.Signer, now: c.Now, log: c.Log,
		metrics: newMetrics(c.Version),
		rates:   newRates(c.Rates),
		reads:   make(chan struct{}, c.MaxReads),
		under:   newGate(min(publishPlaces*c.MaxWrites, max(c.MaxReads/2, 1)), publishBodies*c.MaxBody, publishQueue),
		reading: newGate(min(publishPlaces*c.MaxWrites, max(c.MaxReads/2, 1)), publishBodies*c.MaxBody, publishQueue),
		writes:  make(chan struct{}, c.MaxWrites),
		turns:   newTurns(),
		waiting: newTurns(),
		learned: learned{turn: make(chan struct{}, 1)},
		fresh:   freshness{known: map[string]*timestampInfo{}, asking: make(chan struct{}, 4)},
	}
	s.routes = s.table()
	s.handler = s.names(s.router())
	return s
}

// Handler serves /tuf/ and /v1/.
func (s *Server) Handler() http.Handler { return s.handler }

// Stopping has /readyz say from now on that requests are to go elsewhere.
func (s *Server) Stopping() { s.stopping.Store(true) }

// HTTPServer returns a server for h with time-outs and limits that a client that
// never finishes its request runs into. Routes set shorter ones of their own.
func HTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       2 * time.Minute,
		WriteTimeout:      writeWait + 15*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// rule returns the rule that holds for repository.
func (s *Server) rule(repository string) Rule {
	for _, rule := range s.config.Rules {
		if tuf.MatchName(rule.Pattern, repository) {
			return rule
		}
	}
	return Rule{}
}

// maxLife returns the furthest expiry that rule, or the server, allows.
func (s *Server) maxLife(rule Rule) map[string]time.Duration {
	lives := map[string]time.Duration{}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, "signer"} {
		lives[role] = tuf.DefaultMaxLife(role)
		if life, ok := s.config.MaxLife[role]; ok {
			lives[role] = life
		}
		if life, ok := rule.MaxLife[role]; ok {
			lives[role] = life
		}
	}
	return lives
}

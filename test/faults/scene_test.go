package faults

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/test/harness"
	"github.com/signet-trust/signet/tuf"
)

const (
	refresh  = time.Minute
	negative = 5 * time.Second
	// impatience is for tests in which servers are silent time and again.
	impatience = 300 * time.Millisecond
)

// rules: in the first half of the repositories nobody may live on an old verdict, in
// the other half one may while its metadata has not expired.
const rules = `version: 1
rules:
  - {name: last, images: ["registry.example/last/*"], unreachable: last}
  - {name: refuse, images: ["registry.example/refuse/*"], unreachable: refuse}
`

// A scene is a trust server, its troubles, and a gate's engine that asks it.
type scene struct {
	t       *testing.T
	h       *harness.Harness
	proxy   *toxiproxy.Proxy
	answers *answers
	oracle  *oracle
	people  []*harness.Publisher
	state   string
	anchors client.Anchors
	wait    time.Duration // for a server that is silent, in real time; 0: as usual

	watcher *client.Watcher
	engine  *policy.Engine

	decisions, yeses, wrong atomic.Int64
	refusal                 atomic.Pointer[error] // the last
}

// TestMain quiets toxiproxy, parts of which log by themselves.
func TestMain(m *testing.M) {
	zerolog.SetGlobalLevel(zerolog.Disabled)
	m.Run()
}

func newScene(t *testing.T, repositories int, wait time.Duration) *scene {
	s := &scene{t: t, wait: wait, answers: &answers{}, oracle: newOracle(), state: t.TempDir()}
	s.h = harness.Start(t, func(c *harness.Config) { c.Wrap = s.answers.wrap })
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	s.proxy = toxiproxy.NewProxy(server, "trust server", "127.0.0.1:0", strings.TrimPrefix(s.h.URL, "https://"))
	if err := s.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.proxy.Stop)
	for i := range repositories {
		p := s.h.Publisher(t, fmt.Sprintf("registry.example/%s/app%d", [2]string{"refuse", "last"}[i%2], i))
		p.Now = s.h.Clock.Now
		p.Init(t)
		s.people = append(s.people, p)
		s.anchors = append(s.anchors, client.Anchor{Pattern: p.Repository, RootKeys: []string{p.RootKey.Key().ID()}, Servers: []string{"https://" + s.proxy.Listen}, CA: string(s.h.CA)})
		s.look(p)
	}
	s.start()
	return s
}

// start makes an engine as a gate does; called again it is the gate's restart, with
// the state folder that was there.
func (s *scene) start() {
	if s.watcher != nil {
		if err := s.watcher.Close(); err != nil {
			s.t.Fatal(err)
		}
	}
	c := client.New(client.Config{StateDir: s.state, Now: s.h.Clock.Now,
		Timeouts: client.Timeouts{Connect: s.wait, Header: s.wait, Body: s.wait}})
	watcher := client.NewWatcher(c, client.WatchConfig{Refresh: refresh, Negative: negative})
	s.t.Cleanup(func() { _ = watcher.Close() }) // again at the end, which does nothing
	p, err := policy.Read([]byte(rules), "policy.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	s.watcher = watcher
	s.engine = policy.New(policy.Config{Policy: p, Verifier: watcher, Anchors: s.anchors, Now: s.h.Clock.Now})
}

// look tells the oracle which timestamp the server has now.
func (s *scene) look(p *harness.Publisher) {
	data, err := p.Client.File(context.Background(), p.Repository, "timestamp.json")
	if err == nil {
		err = s.oracle.served(p.Repository, data)
	}
	if err != nil {
		s.t.Error(err)
	}
}

// sign makes a tag mean a digest, and publishes it.
func (s *scene) sign(p *harness.Publisher, tag, digest string) {
	s.oracle.signing(p.Repository, tag, digest, s.h.Clock.Now())
	p.Tag(s.t, tag, digest)
	p.Publish(s.t)
	s.oracle.signed(p.Repository, tag, digest, s.h.Clock.Now())
	s.look(p)
}

// revoke withdraws a tag, and publishes that.
func (s *scene) revoke(p *harness.Publisher, tag string) {
	if len(tuf.RemoveTag(p.Targets, p.Repository, tag, "")) == 0 {
		return
	}
	p.Publish(s.t)
	s.oracle.revoked(p.Repository, tag, s.h.Clock.Now())
	s.look(p)
}

// later moves the clock, and has the server sign timestamps anew that are due.
func (s *scene) later(d time.Duration) {
	s.h.Clock.Advance(d)
	s.h.Server.RefreshDue(context.Background())
	for _, p := range s.people {
		s.look(p)
	}
}

// A question is one image of a repository: what a tag means, or a digest under it.
type question struct {
	p           *harness.Publisher
	tag, digest string
}

func (q question) image() string {
	if q.digest == "" {
		return q.p.Repository + ":" + q.tag
	}
	return q.p.Repository + ":" + q.tag + "@" + q.digest
}

// ask asks, and has the oracle judge a yes.
func (s *scene) ask(q question) (trusted bool, rule tuf.Rule) {
	asked := s.h.Clock.Now()
	d, err := s.engine.Decide(context.Background(), policy.Question{Image: q.image()})
	s.decisions.Add(1)
	if err != nil {
		s.refusal.Store(&err)
	}
	runs := err == nil || d.Trusted || d.Reference != "" || d.Allowed()
	if !runs {
		return false, d.Rule
	}
	s.yeses.Add(1)
	y := yes{repository: q.p.Repository, tag: q.tag, digest: d.Digest, byDigest: q.digest != "", asked: asked, last: strings.Contains(q.p.Repository, "/last/")}
	why := s.oracle.wrong(y, refresh)
	switch {
	case err != nil || !d.Trusted || !d.Allowed():
		why = fmt.Sprintf("it is half a yes: %+v, %v", d, err)
	case q.digest != "" && d.Digest != q.digest, d.Reference != q.p.Repository+"@"+d.Digest:
		why = fmt.Sprintf("it is the answer to another question: %+v", d)
	}
	if why != "" {
		s.wrong.Add(1)
		s.t.Errorf("wrong yes to %s at %s, digest %s: %s (checked %v, age %s, versions %v)", q.image(), asked, d.Digest, why, d.Checked, time.Duration(d.Age), d.Versions)
	}
	return true, ""
}

// askAll asks n questions, so many at once.
func (s *scene) askAll(n, atOnce int, pick func(i int) question) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				s.ask(pick(int(i)))
			}
		})
	}
	group.Wait()
}

// toxic puts one of toxiproxy's faults on the way.
func (s *scene) toxic(json string) {
	s.proxy.Toxics.ResetToxics(context.Background())
	if json == "" {
		return
	}
	if _, err := s.proxy.Toxics.AddToxicJson(strings.NewReader(json)); err != nil {
		s.t.Fatal(err)
	}
}

// answers does to the server's answers what no network does.
type answers struct {
	mu   sync.Mutex
	mode string
	old  map[string][]byte // by path, the first that was served
}

func (a *answers) set(mode string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mode = mode
}

func (a *answers) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		mode := a.mode
		a.mu.Unlock()
		if mode == "" || !strings.HasPrefix(r.URL.Path, "/tuf/") || r.Header.Get("User-Agent") != "signet" {
			next.ServeHTTP(w, r)
			return
		}
		switch mode {
		case "garbage":
			junk := make([]byte, rand.IntN(2000))
			for i := range junk {
				junk[i] = byte(rand.Uint32())
			}
			_, _ = w.Write(junk)
		case "empty":
			_, _ = io.WriteString(w, "{}")
		case "error":
			w.WriteHeader(http.StatusInternalServerError)
		case "missing":
			w.WriteHeader(http.StatusNotFound)
		case "redirect":
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(http.StatusFound)
		case "not modified":
			// To whoever asks for news alone, this is the lie that freezes every client until
			// the timestamp expires (SECURITY.md): no fault that one could see through.
			if r.Header.Get("If-None-Match") != "" {
				next.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusNotModified)
		case "silent":
			<-r.Context().Done()
		case "half":
			w.Header().Set("Content-Length", "100000")
			_, _ = io.WriteString(w, `{"signatures":[`)
			panic(http.ErrAbortHandler)
		case "old":
			a.replay(w, r, next)
		}
	})
}

// replay serves the first file that was ever seen at a path: the timestamp of
// yesterday, for one, together with the true newer files.
func (a *answers) replay(w http.ResponseWriter, r *http.Request, next http.Handler) {
	a.mu.Lock()
	data, ok := a.old[r.URL.Path]
	a.mu.Unlock()
	if ok {
		_, _ = w.Write(data)
		return
	}
	next.ServeHTTP(w, r)
}

// record remembers the timestamps that are served now, to be replayed once all who ask
// have seen newer ones.
func (a *answers) record(s *scene) {
	old := map[string][]byte{}
	for _, p := range s.people {
		data, err := p.Client.File(context.Background(), p.Repository, "timestamp.json")
		if err != nil {
			s.t.Fatal(err)
		}
		old["/tuf/"+p.Repository+"/timestamp.json"] = data
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.old = old
}

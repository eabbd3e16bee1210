package guard

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard/door"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/tuf"
)

func entrance(t *testing.T, limits Limits, doors ...Door) (*Gate, *httptest.Server) {
	t.Helper()
	g := New(Config{})
	g.Use(signed(client.ModeEnforce), "test")
	s := httptest.NewTLSServer(NewEntrance(g, limits).Handler(append(doors, DecideDoor(g))...))
	t.Cleanup(s.Close)
	return g, s
}

func post(t *testing.T, s *httptest.Server, path, body string) (int, string) {
	t.Helper()
	response, err := s.Client().Post(s.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// The status alone says no, and so does the body.
func TestDecideDoor(t *testing.T) {
	_, s := entrance(t, Limits{})
	for name, test := range map[string]struct {
		body    string
		status  int
		allowed bool
	}{
		"trusted":         {`{"image":"registry.example.com/app:1.0"}`, 200, true},
		"with its digest": {`{"image":"registry.example.com/app:1.0","digest":"` + digestA + `","platform":"linux/amd64","object":"Pod/x"}`, 200, true},
		"another digest":  {`{"image":"registry.example.com/app:1.0","digest":"` + digestB + `"}`, 403, false},
		"untrusted":       {`{"image":"registry.example.com/other:1.0"}`, 403, false},
		"no image":        {`{}`, 400, false},
		"no name":         {`{"image":"registry.example.com/../app"}`, 400, false},
		"no digest":       {`{"image":"registry.example.com/app:1.0","digest":"sha256:00"}`, 400, false},
		"not JSON":        {`image`, 400, false},
		"unknown member":  {`{"image":"registry.example.com/app:1.0","force":true}`, 400, false},
		"two documents":   {`{"image":"registry.example.com/app:1.0"}{}`, 400, false},
		"too large":       {`{"image":"` + strings.Repeat("a", 1<<17) + `"}`, 413, false},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := post(t, s, PathDecide, test.body)
			var d client.Decision
			if status != test.status || json.Unmarshal([]byte(body), &d) != nil {
				t.Fatalf("status %d, expected %d: %s", status, test.status, body)
			}
			if allowed := d.Policy != nil && d.Policy.Allowed; allowed != test.allowed || d.Trusted != test.allowed {
				t.Errorf("allowed %t, trusted %t: %s", allowed, d.Trusted, body)
			}
			if d.Policy != nil && (d.Hint == "") != test.allowed {
				t.Errorf("what to do is said where it is needed: %s", body)
			}
		})
	}
	if _, body := post(t, s, PathDecide, `{}`); !strings.Contains(body, "image") {
		t.Errorf("it does not name what is missing: %s", body)
	}
	if status, _ := post(t, s, "/v1/decide/", `{}`); status != 404 {
		t.Errorf("a path that is no door's is answered with %d", status)
	}
	response, err := s.Client().Get(s.URL + PathDecide)
	if err != nil {
		t.Fatal(err)
	}
	if response.Body.Close(); response.StatusCode != 405 {
		t.Error(response.Status)
	}
}

// A door that breaks off, or that is asked too often, lets nothing through.
func TestEntrance(t *testing.T) {
	breaks := Door{Name: "breaks", Paths: []string{"/breaks"}, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug") })}
	_, s := entrance(t, Limits{Total: 0.3}, breaks) // four at once, then one in three seconds
	if status, body := post(t, s, "/breaks", `{}`); status != 500 || strings.Contains(body, "a bug") {
		t.Errorf("%d: %s", status, body)
	}
	limited := false
	for range 10 {
		status, body := post(t, s, PathDecide, `{"image":"registry.example.com/app:1.0"}`)
		if limited = limited || status == 429; status != 200 && status != 429 {
			t.Errorf("%d: %s", status, body)
		}
	}
	if !limited {
		t.Error("there is no limit")
	}
}

// selfSigned makes a client's certificate that vouches for itself.
func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// A door for clients with certificates takes no others.
func TestCertificates(t *testing.T) {
	var log bytes.Buffer
	g := New(Config{Decisions: &log})
	g.Use(signed(client.ModeEnforce), "test")
	s := httptest.NewUnstartedServer(NewEntrance(g, Limits{Certified: []string{"decide"}}).Handler(DecideDoor(g)))
	s.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	const question = `{"image":"registry.example.com/app:1.0"}`
	if status, body := post(t, s, PathDecide, question); status != 403 || strings.Contains(body, "policy") {
		t.Errorf("without a certificate: %d: %s", status, body)
	}
	pair := selfSigned(t, "node-1")
	s.TLS.ClientCAs.AddCert(pair.Leaf)
	transport := s.Client().Transport.(*http.Transport)
	transport.CloseIdleConnections()
	transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	if status, body := post(t, s, PathDecide, question); status != 200 {
		t.Errorf("with one: %d: %s", status, body)
	}
	flush(t, g)
	if !strings.Contains(log.String(), `"who":"CN=node-1"`) {
		t.Errorf("the log does not say who asked: %s", log.String())
	}
}

// A gate elsewhere is believed only where its answer says one thing.
func TestRemote(t *testing.T) {
	_, s := entrance(t, Limits{})
	remote := func(address string) *Remote {
		r, err := NewRemote(address, s.Client().Transport.(*http.Transport))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	d, err := remote(s.URL).Ask(t.Context(), Asker{}, question("registry.example.com/app:1.0", digestA))
	if err != nil || !d.Trusted || d.Digest != digestA {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err = remote(s.URL).Ask(t.Context(), Asker{}, question("registry.example.com/app:1.0", digestB)); err == nil || d.Allowed() || d.Reason == "" {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err = remote(s.URL).Ask(t.Context(), Asker{}, question("registry.example.com/../app", digestA)); tuf.RuleOf(err) != tuf.RuleName || d.Allowed() {
		t.Errorf("a name that is none: %+v, %v", d, err)
	}
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"a question that is none": {400, `{"trusted":true,"digest":"` + digestA + `","policy":{"allowed":true}}`},
		"yes, with a no in it":    {200, `{"trusted":true,"digest":"` + digestA + `","policy":{"allowed":false}}`},
		"no, with a yes in it":    {403, `{"trusted":true,"digest":"` + digestA + `","reference":"x","policy":{"allowed":true}}`},
		"another digest":          {200, `{"trusted":true,"digest":"` + digestB + `","policy":{"allowed":true}}`},
		"no policy":               {200, `{"trusted":true,"digest":"` + digestA + `"}`},
		"nothing":                 {200, ``},
		"not JSON":                {200, `yes`},
		"another status":          {201, `{"trusted":true,"digest":"` + digestA + `","policy":{"allowed":true}}`},
		"an endless yes":          {200, `{"trusted":true,"digest":"` + digestA + `","policy":{"allowed":true},"reason":"` + strings.Repeat("x", 2<<20) + `"}`},
		"a way to somebody else":  {307, ``},
	} {
		t.Run(name, func(t *testing.T) {
			liar := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", s.URL+PathDecide)
				w.WriteHeader(answer.status)
				_, _ = io.WriteString(w, answer.body)
			}))
			defer liar.Close()
			r, err := NewRemote(liar.URL, liar.Client().Transport.(*http.Transport))
			if err != nil {
				t.Fatal(err)
			}
			d, err := r.Ask(t.Context(), Asker{}, question("registry.example.com/app:1.0", digestA))
			if err == nil || d.Trusted || d.Allowed() || d.Reference != "" || d.Reason == "" {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
	away := httptest.NewTLSServer(http.NotFoundHandler())
	stranger := remote(away.URL)
	stranger.http.Transport = &http.Transport{}
	for what, test := range map[string]struct {
		gate *Remote
		next string
	}{
		"a certificate of nobody's": {stranger, "gate-ca"},
		"no gate":                   {remote(away.URL), "decided nothing"},
	} {
		d, err := test.gate.Ask(t.Context(), Asker{}, question("registry.example.com/app:1.0", digestA))
		if next := door.Next(d.Image, d, err); err == nil || !strings.Contains(next, test.next) || strings.Contains(next, "this decision in its log") {
			t.Errorf("%s: %v; next: %s", what, err, next)
		}
	}
	away.Close()
	d, err = remote(away.URL).Ask(t.Context(), Asker{}, question("registry.example.com/app:1.0", digestA))
	if next := door.Next(d.Image, d, err); err == nil || !strings.Contains(next, "did not answer") || !strings.Contains(next, away.URL) || strings.Contains(next, "this decision in its log") {
		t.Errorf("nobody is there: %v; next: %s", err, next)
	}
	for _, address := range []string{"http://gate.example.com", "gate.example.com", "https://", "unix:", "https://gate.example.com/path", "https://gate.example.com/?a=b"} {
		if _, err := NewRemote(address, nil); err == nil {
			t.Errorf("%s is taken", address)
		}
	}
}

// Through a socket of the machine, its mode says who may ask: no certificate is
// demanded.
func TestSocket(t *testing.T) {
	g := New(Config{})
	g.Use(signed(client.ModeEnforce), "test")
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: NewEntrance(g, Limits{Certified: []string{"decide"}}).Handler(DecideDoor(g))}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	r, err := NewRemote("unix:"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := r.Ask(t.Context(), Asker{}, question("registry.example.com/app:1.0", digestA)); err != nil || !d.Trusted {
		t.Errorf("%+v, %v", d, err)
	}
}

func ready(t *testing.T, g *Gate, checks ...Check) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	g.Health(checks...).ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	return w.Code, w.Body.String()
}

// Readiness says what is the matter, and is taken away only where others do better.
func TestReadiness(t *testing.T) {
	g := New(Config{})
	state := OK
	part := Check{"state", func() (State, string) { return state, "" }}
	expect := func(what string, status int, word string) {
		t.Helper()
		if got, body := ready(t, g, part); got != status || !strings.Contains(body, `"status":"`+word+`"`) {
			t.Errorf("%s: %d: %s", what, got, body)
		}
	}
	expect("without a policy", 503, "unavailable")
	g.Use(signed(client.ModeEnforce), "test")
	expect("with one", 200, "ok")
	g.Keep(errors.New("policy.yaml:7: what is this"))
	expect("with a newer one that is broken", 200, "degraded")
	if _, body := ready(t, g, part); !strings.Contains(body, "policy.yaml:7: what is this") {
		t.Errorf("it does not say why: %s", body)
	}
	if _, err := g.Decide(t.Context(), Asker{}, "registry.example.com/app:1.0"); err != nil {
		t.Errorf("the one from before does not decide: %v", err)
	}
	g.Use(signed(client.ModeEnforce), "test")
	expect("mended", 200, "ok")
	state = Degraded
	expect("a part that somebody should look at", 200, "degraded")
	state = Unavailable
	expect("a part that does not work", 503, "unavailable")
	state = OK
	g.Stopping()
	expect("stopping", 503, "stopping")
	if _, err := g.Decide(t.Context(), Asker{}, "registry.example.com/app:1.0"); err != nil {
		t.Errorf("it does not answer any more while it stops: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	g := New(Config{Version: "v1"})
	g.Use(signed(client.ModeEnforce), "test")
	for _, image := range []string{"registry.example.com/app:1.0", "registry.example.com/other:1.0"} {
		_, _ = g.Decide(context.Background(), Asker{Door: "decide"}, image)
	}
	g.Use(decider(func(policy.Question) (*client.Decision, error) { return nil, errors.New("away") }), "test")
	_, _ = g.Decide(context.Background(), Asker{Door: "decide"}, "registry.example.com/app:1.0")
	g.BreakGlass(Asker{Door: "admission"}, "the registry burns")
	NewEntrance(g, Limits{}).Handler(Door{BreakGlass: []string{"never"}})
	w := httptest.NewRecorder()
	g.Health().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`signet_guard_decisions_total{cause="",door="decide",mode="enforce",rule="app",verdict="allow"} 1`,
		`signet_guard_decisions_total{cause="absent",door="decide",mode="enforce",rule="app",verdict="deny"} 1`,
		`signet_guard_decisions_total{cause="trouble",door="decide",mode="",rule="",verdict="deny"} 1`,
		`signet_guard_decision_seconds_count{door="decide"} 3`,
		`signet_guard_break_glass_total{door="admission"} 1`,
		`signet_guard_break_glass_total{door="never"} 0`,
		`signet_guard_policy_loads_total{result="ok"} 2`,
		`signet_guard_policy_loads_total{result="failed"} 0`,
	} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

package main

import (
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/guard"
)

// get returns what a gate's health listener says.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (r room) ready(t *testing.T, name string) ready {
	t.Helper()
	data, err := os.ReadFile(r.path(name + ".ready"))
	if err != nil {
		t.Fatal(err)
	}
	var at ready
	if err := json.Unmarshal(data, &at); err != nil {
		t.Fatal(err)
	}
	return at
}

// At SIGHUP the gate takes up what is new, and keeps what works where the new does
// not; it says so.
func TestHangup(t *testing.T) {
	r := newRoom(t)
	p := r.start(t, "gate", nil, r.args("gate")...)
	at := r.ready(t, "gate")
	hangup := func() {
		t.Helper()
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if err := allowed(t.Context(), r.client(false), at.URL); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, at.Health+"/readyz"); status != 200 || !strings.Contains(body, `"status":"ok"`) {
		t.Errorf("%d: %s", status, body)
	}

	// A policy that is broken.
	r.write(t, "policy.yaml", "version: 1\nrules: [what, that]\n")
	hangup()
	eventually(t, "a word on the broken policy", func() bool {
		_, body := get(t, at.Health+"/readyz")
		return strings.Contains(body, `"status":"degraded"`) && strings.Contains(body, "policy.yaml:2") && strings.Contains(body, "; ")
	})
	if _, body := get(t, at.Health+"/metrics"); !strings.Contains(body, "signet_guard_policy_stale 1\n") || !strings.Contains(body, `signet_guard_policy_loads_total{result="failed"} 1`) {
		t.Error("the metrics do not tell")
	}
	if err := allowed(t.Context(), r.client(false), at.URL); err != nil {
		t.Errorf("the policy from before does not decide: %v", err)
	}

	// The one from before again, and then one that allows nothing.
	r.write(t, "policy.yaml", aPolicy)
	hangup()
	eventually(t, "all well", func() bool {
		_, body := get(t, at.Health+"/readyz")
		return strings.Contains(body, `"status":"ok"`)
	})
	r.write(t, "policy.yaml", strings.Split(aPolicy, "digests:")[0])
	hangup()
	eventually(t, "the new policy", func() bool { return allowed(t.Context(), r.client(false), at.URL) != nil })

	// Another certificate, and another file for the decision log.
	certificate := r.certify(t)
	if err := os.Rename(r.path("decisions"), r.path("decisions.1")); err != nil {
		t.Fatal(err)
	}
	hangup()
	eventually(t, "the new certificate", func() bool {
		response, err := r.client(false).Get(at.URL + "/v1/decide")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.TLS.PeerCertificates[0].Equal(certificate)
	})
	eventually(t, "a new decision log", func() bool {
		_ = allowed(t.Context(), r.client(false), at.URL) // it is refused
		data, err := os.ReadFile(r.path("decisions"))
		return err == nil && strings.Contains(string(data), `"verdict":"deny"`)
	})
}

// Authorities of clients are replaced while the gate runs: a client whose authority
// is gone is not let in again.
func TestClientAuthorities(t *testing.T) {
	r := newRoom(t)
	data, err := os.ReadFile(r.path("cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "clients.pem", string(data))
	p := r.start(t, "gate", nil, r.args("gate", "--client-ca", r.path("clients.pem"))...)
	at := r.ready(t, "gate")
	if err := allowed(t.Context(), r.client(false), at.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a client without a certificate: %v", err)
	}
	client := r.client(false)
	pair, err := loadPair(r)
	if err != nil {
		t.Fatal(err)
	}
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig.Certificates = pair
	if err := allowed(t.Context(), client, at.URL); err != nil {
		t.Errorf("a client with one: %v", err)
	}
	other := newRoom(t)
	if data, err = os.ReadFile(other.path("cert.pem")); err != nil {
		t.Fatal(err)
	}
	r.write(t, "clients.pem", string(data))
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other authority", func() bool {
		transport.CloseIdleConnections()
		return allowed(t.Context(), client, at.URL) != nil
	})
}

// What has to be given is asked for in words.
func TestOptions(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		say  string
	}{
		"no door":                  {nil, "--doors opens some of containerd"},
		"an unknown door":          {[]string{"--doors", "window"}, `"window" is no door`},
		"no policy":                {[]string{"--doors", "decide"}, "--policy says what may run"},
		"no certificate":           {[]string{"--doors", "decide", "--policy", "p"}, "--tls-cert and --tls-key"},
		"half of it":               {[]string{"--tls-cert", "c"}, "give both or none"},
		"no authority":             {[]string{"--client-cert", "decide"}, "--client-cert needs --client-ca"},
		"an address of none":       {[]string{"--door-listen", "localhost:1"}, "expected DOOR=ADDRESS"},
		"of a door that is closed": {[]string{"--doors", "decide", "--door-listen", "containerd=localhost:1"}, "does not open containerd"},
		"too often":                {[]string{"--refresh", "1ms"}, "at least 1s"},
		"nobody":                   {[]string{"--rate-total", "0"}, "would let nobody ask"},
		"a log of no kind":         {[]string{"--log-format", "xml"}, "expected text or json"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut output
			if status := run(t.Context(), append([]string{"serve"}, test.args...), nil, &out, &errOut); status != 2 || !strings.Contains(errOut.String(), test.say) {
				t.Errorf("status %d: %s", status, errOut.String())
			}
		})
	}
	var out, errOut output
	if status := run(t.Context(), []string{"config", "containerd", "a.example"}, nil, &out, &errOut); status != 2 || !strings.Contains(errOut.String(), "--gate says where") {
		t.Errorf("a hosts.toml without a gate: status %d: %s", status, errOut.String())
	}
	r := newRoom(t)
	r.write(t, "policy.yaml", "version: 1\nrules: [what]\n")
	if status := run(t.Context(), r.args("gate"), nil, &out, &errOut); status != 1 || !strings.Contains(errOut.String(), "policy.yaml:2") {
		t.Errorf("status %d: %s", status, errOut.String())
	}
}

// A gate is degraded once no trust server has answered for long, and not before; it
// stays ready.
func TestServersCheck(t *testing.T) {
	s := client.WatchStats{}
	check := &serversCheck{stats: func() client.WatchStats { return s }, most: time.Nanosecond}
	degraded := func(want bool, what string) {
		t.Helper()
		check.check()
		state, text := check.check()
		if (state != 0) != want {
			t.Errorf("%s: %d %s", what, state, text)
		}
	}
	degraded(false, "nobody asked yet")
	s = client.WatchStats{Repositories: 2, Failing: 1, Updates: 4, Troubles: 2}
	degraded(false, "some fail")
	s = client.WatchStats{Repositories: 2, Failing: 2, Updates: 8, Troubles: 6}
	degraded(true, "all fail")
	s = client.WatchStats{Repositories: 2, Failing: 0, Updates: 10, Troubles: 6}
	degraded(false, "they answer again")
}

func TestCertPoolIsTheFile(t *testing.T) {
	r := newRoom(t)
	r.write(t, "none.pem", "hello")
	if _, err := newAuthorities(r.path("none.pem"), nil); err == nil {
		t.Error("a file without certificates is taken")
	}
	a, err := newAuthorities(r.path("cert.pem"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	want.AddCert(r.certify(t))
	if !a.current(true).Equal(want) {
		t.Error("the new authority is not taken up")
	}
}

// The decision log's reader may go away, or stop reading: that keeps nobody from being
// answered.
func TestLogThatNobodyReads(t *testing.T) {
	const asked = 2_000 // more than a pipe holds
	for name, gone := range map[string]bool{"gone": true, "stalled": false} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			p := r.startTo(t, "gate", writer, nil, r.args("gate", "--decision-log", "-")...)
			if err := writer.Close(); err != nil {
				t.Fatal(err)
			}
			if gone {
				if err := reader.Close(); err != nil {
					t.Fatal(err)
				}
			}
			at, c := r.ready(t, "gate"), r.client(false)
			for i := range asked {
				if err := allowed(t.Context(), c, at.URL); err != nil {
					t.Fatalf("question %d: %v", i, err)
				}
			}
			if gone {
				eventually(t, "a count of the lines", func() bool {
					_, body := get(t, at.Health+"/metrics")
					return strings.Contains(body, "signet_guard_log_failures_total") && !strings.Contains(body, "signet_guard_log_failures_total 0\n")
				})
			}
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if !gone { // it goes on reading: nothing is lost
				data, err := io.ReadAll(reader)
				if n := strings.Count(string(data), "\n"); err != nil || n != asked {
					t.Errorf("%d lines of %d, %v", n, asked, err)
				}
			}
			p.wait(t)
		})
	}
}

// A decision log on a disk that hangs keeps nobody from being answered, nor a new
// policy from being read, nor the gate from its end.
func TestLogOnADiskThatHangs(t *testing.T) {
	r := newRoom(t)
	pipe := r.path("pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDWR, 0) // and it reads nothing
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	p := r.start(t, "gate", nil, r.args("gate", "--decision-log", pipe)...)
	at, c := r.ready(t, "gate"), r.client(false)
	for i := range 1_000 { // more than a pipe holds
		if err := allowed(t.Context(), c, at.URL); err != nil {
			t.Fatalf("question %d: %v", i, err)
		}
	}
	r.write(t, "policy.yaml", "version: 1\nrules: [what]\n")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a word on the broken policy", func() bool {
		_, body := get(t, at.Health+"/readyz")
		return strings.Contains(body, "policy.yaml:2")
	})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.ended
}

// With --log-format json every line is JSON: where the doors are, what goes wrong, and why
// it ended.
func TestEveryLineIsJSON(t *testing.T) {
	r := newRoom(t)
	lines := func(text string, has ...string) {
		t.Helper()
		for line := range strings.Lines(text) {
			var one struct{ Time, Level, Msg string }
			if err := json.Unmarshal([]byte(line), &one); err != nil || one.Time == "" || one.Level == "" || one.Msg == "" {
				t.Errorf("%v: %s", err, line)
			}
		}
		for _, h := range has {
			if !strings.Contains(text, h) {
				t.Errorf("no line has %s:\n%s", h, text)
			}
		}
	}
	p := r.start(t, "gate", nil, r.args("gate", "--log-format", "json")...)
	at := r.ready(t, "gate")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	lines(p.output.String(), `"`+at.Doors["decide"]+`"`, `"`+at.Health+`"`, `"answers_for":"1.5s"`)

	r.write(t, "broken.yaml", "version: 1\nrules: [what, that]\n")
	for _, c := range []struct {
		args   []string
		status int
		has    string
	}{
		{r.args("no-policy", "--policy", r.path("broken.yaml")), 1, "broken.yaml:2"},
		{r.args("no-listener", "--listen", r.taken(t)), 1, "listen for decide"},
		{[]string{"--policy", r.path("policy.yaml")}, 2, "no door is open"},
		{[]string{"--doors", "decode"}, 2, "is no door"},
		{[]string{"--config", r.path("none.yaml")}, 2, "none.yaml"},
	} {
		var out, stderr strings.Builder
		if status := run(t.Context(), append(c.args, "--log-format", "json"), nil, &out, &stderr); status != c.status {
			t.Errorf("status %d, expected %d", status, c.status)
		}
		lines(out.String()+stderr.String(), c.has, `"level":"ERROR"`, `"hint":"`)
	}
}

// taken returns an address that somebody else listens at.
func (r room) taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// What keeps a gate from starting is told with the option, the file, and what to do.
func TestHintsAtTheStart(t *testing.T) {
	r := newRoom(t)
	r.write(t, "broken.yaml", "version: 1\nrules: [what, that]\n")
	r.write(t, "broken.json", "{")
	r.write(t, "no.pem", "nothing")
	for name, c := range map[string]struct {
		args []string
		has  []string
	}{
		"a port that is taken":      {r.args("x", "--listen", r.taken(t)), []string{"--listen 127.0.0.1", "hint: another program"}},
		"a door's that is":          {r.args("x", "--door-listen", "decide="+r.taken(t)), []string{"--door-listen 127.0.0.1", "hint: another program"}},
		"health's that is":          {r.args("x", "--health-listen", r.taken(t)), []string{"--health-listen", "hint: another program"}},
		"no policy":                 {r.args("x", "--policy", r.path("none.yaml")), []string{"--policy", "none.yaml", "hint: look at the name"}},
		"a broken policy":           {r.args("x", "--policy", r.path("broken.yaml")), []string{"--policy", "broken.yaml:2", "hint: signet policy check "}},
		"no trust.json":             {r.args("x", "--trust", r.path("none.json")), []string{"--trust", "none.json", "hint: look at ", "signet trust add"}},
		"a broken trust.json":       {r.args("x", "--trust", r.path("broken.json")), []string{"--trust", "broken.json", "hint: look at "}},
		"no configuration":          {r.args("x", "--config", r.path("none.yaml")), []string{"--config", "none.yaml", "hint: look at the name"}},
		"a broken configuration":    {r.args("x", "--config", r.path("broken.yaml")), []string{"broken.yaml:1", "hint: correct "}},
		"no certificate":            {r.args("x", "--tls-cert", r.path("none.pem")), []string{"--tls-cert", "none.pem", "hint: look at the name"}},
		"a broken certificate":      {r.args("x", "--tls-cert", r.path("no.pem")), []string{"--tls-cert", "no.pem", "hint: give the certificate"}},
		"a broken client-ca":        {r.args("x", "--client-ca", r.path("no.pem")), []string{"--client-ca", "no.pem", "hint: "}},
		"a state folder that is no": {r.args("x", "--state", r.path("no.pem")), []string{"--state", "no.pem", "hint: give --state"}},
		"a log that cannot be":      {r.args("x", "--decision-log", r.path("no.pem/x")), []string{"--decision-log", "no.pem/x", "hint: "}},
		"an option that is none":    {[]string{"--door", "decide"}, []string{"--door", "hint: signet-guard --help"}},
	} {
		var stderr strings.Builder
		if status := run(t.Context(), c.args, nil, io.Discard, &stderr); status != 1 && status != 2 {
			t.Errorf("%s: exit %d", name, status)
		}
		for _, has := range c.has {
			if !strings.Contains(stderr.String(), has) {
				t.Errorf("%s: no %q in %q", name, has, stderr.String())
			}
		}
	}
}

// Connections are bounded at every listener, that of health too: all of a cluster may
// reach it.
func TestConnectionsAreBounded(t *testing.T) {
	r := newRoom(t)
	r.start(t, "gate", nil, r.args("gate", "--max-connections", "4")...)
	at := r.ready(t, "gate")
	for _, address := range []string{at.Health, at.URL} {
		host := address[strings.Index(address, "//")+2:]
		for range 4 {
			conn, err := net.Dial("tcp", host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		c := r.client(false)
		c.Timeout = 200 * time.Millisecond // an answer would be a fault, and none takes this long
		if response, err := c.Get(address + "/healthz"); err == nil {
			t.Errorf("%s answers a fifth connection: %s", address, response.Status)
		}
	}
}

// A gate whose certificate has expired, which no client talks to, is not ready until
// there is another.
func TestExpiredCertificate(t *testing.T) {
	r := newRoom(t)
	now := time.Now()
	certs, err := program.NewCertificates(program.LoadCertificate(r.path("cert.pem"), r.path("key.pem")), func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	check := inDate(certs, func() time.Time { return now }).Check
	if state, text := check(); state != guard.OK {
		t.Errorf("in time: %d %s", state, text)
	}
	now = now.Add(2 * time.Hour)
	if state, text := check(); state != guard.Unavailable || !strings.Contains(text, "expired at") {
		t.Errorf("too late: %d %s", state, text)
	}
	now = now.Add(-2 * time.Hour)
	r.certify(t)
	certs.Reload()
	if state, text := check(); state != guard.OK {
		t.Errorf("renewed: %d %s", state, text)
	}
	if state, text := inDate(nil, time.Now).Check(); state != guard.OK {
		t.Errorf("none needed: %d %s", state, text)
	}
}

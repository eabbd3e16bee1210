package nodecheck

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// gate answers by the repository that it is asked about: with a status line, as
// signet-guard does, which has the reason.
func gate(t *testing.T, lines map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/manifests/probe-")
		line, ok := lines[name]
		if !ok {
			t.Errorf("asked about %s", r.URL)
		}
		conn, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(out, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", line)
		_ = out.Flush()
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// resolving is a host of hosts.toml that may say what tags mean.
func resolving(url string) string {
	return fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", url)
}

const (
	noRuleLine = "300 signet: r.example.com/signet-doctor/never-signed: no rule of policy.yaml fits r.example.com/signet-doctor/never-signed:probe-1 (policy: rules)"
	unsigned   = "300 signet: r.example.com/team/app: targets version 5: nothing is signed under it (TUF §5.6.7)"
	letPass    = "404 Not Found"
)

// TestProbeProvesNoMoreThanItIs says no ok when the gate refused because no rule is for
// the probe's name: names that a rule is for may pass all the same.
func TestProbeProvesNoMoreThanItIs(t *testing.T) {
	const (
		closed = "server = \"https://r.example.com\"\ncapabilities = [\"pull\"]\n"
		open   = "server = \"https://r.example.com\"\n"
		never  = "signet-doctor/never-signed"
	)
	for _, c := range []struct {
		name, head string
		lines      map[string]string
		probes     []string
		want       []Status
		detail     string // of the first
		advice     string // of the first
	}{
		{"a rule refused", closed, map[string]string{never: unsigned}, nil, []Status{OK}, "nothing is signed under it", ""},
		{"no rule fits", closed, map[string]string{never: noRuleLine}, nil, []Status{Warning}, "no rule of policy.yaml fits", "--probe r.example.com/REPOSITORY"},
		{"no rule fits, and the registry may resolve", open, map[string]string{never: noRuleLine}, nil, []Status{Warning, Warning}, "no rule of policy.yaml fits", "--probe r.example.com/REPOSITORY"},
		{"it is let through, and the registry may resolve", open, map[string]string{never: letPass}, nil, []Status{Trouble}, "r.example.com/signet-doctor/never-signed:probe-", "mode warn or audit"},
		{"it is let through, and no registry may resolve", closed, map[string]string{never: letPass}, nil, []Status{Warning}, "404", "mode warn or audit"},
		{"probed as one that its rule refuses", closed, map[string]string{"team/app": unsigned}, []string{"r.example.com/team/app"}, []Status{OK}, "nothing is signed under it", ""},
		{"probed as one that its rule lets pass", open, map[string]string{"team/app": letPass, "team/b": unsigned}, []string{"r.example.com/team/app", "r.example.com/team/b"}, []Status{Trouble, Warning}, "r.example.com/team/app:probe-", "mode warn or audit"},
		{"probed as one that no rule fits either", closed, map[string]string{"team/app": noRuleLine}, []string{"r.example.com/team/app"}, []Status{Warning}, "no rule of policy.yaml fits", "--probe r.example.com/REPOSITORY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, map[string]string{"r.example.com/hosts.toml": c.head + resolving(gate(t, c.lines))})
			found, err := Check(t.Context(), Config{File: filepath.Join(dir, "none.toml"), HostsDirs: []string{dir}, Probes: c.probes})
			if err != nil {
				t.Fatal(err)
			}
			var of []Finding
			for _, f := range found {
				if f.Check == "hosts.toml for r.example.com" {
					of = append(of, f)
				}
			}
			var got []Status
			for _, f := range of {
				got = append(got, f.Status)
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Fatalf("got %v, expected %v: %+v", got, c.want, of)
			}
			if !strings.Contains(of[0].Detail, c.detail) || !strings.Contains(of[0].Advice, c.advice) {
				t.Errorf("got %+v, expected %q with the advice %q", of[0], c.detail, c.advice)
			}
		})
	}
}

// TestResolveIsNotTakenFromAnAuditingGate leaves --resolve to whoever needs it: under a
// rule that audits, an unsigned image is pulled by it alone.
func TestResolveIsNotTakenFromAnAuditingGate(t *testing.T) {
	for name, line := range map[string]string{"let through": letPass, "refused": unsigned, "no rule": noRuleLine} {
		dir := write(t, map[string]string{"r.example.com/hosts.toml": "server = \"https://r.example.com\"\n" + resolving(gate(t, map[string]string{"signet-doctor/never-signed": line}))})
		found, err := Check(t.Context(), Config{File: filepath.Join(dir, "none.toml"), HostsDirs: []string{dir}})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if strings.Contains(f.Advice, "--resolve") && !strings.Contains(f.Advice, "would fail") {
				t.Errorf("%s: %q does not say what taking --resolve away does", name, f.Advice)
			}
		}
	}
}

// TestProbeOfARegistryWithoutAFile takes a probe as a word that its registry is to be
// enforced.
func TestProbeOfARegistryWithoutAFile(t *testing.T) {
	dir := write(t, map[string]string{"r.example.com/hosts.toml": "server = \"https://r.example.com\"\ncapabilities = [\"pull\"]\n" + resolving("http://localhost:1")})
	found := statuses(t, Config{File: filepath.Join(dir, "none.toml"), HostsDirs: []string{dir}, Probes: []string{"other.example.com/team/app"}})
	if f := found["hosts.toml for other.example.com"]; f.Status != Trouble {
		t.Errorf("got %+v", found)
	}
}

// TestProbesAtTheOtherDoors asks verifiers and admission about the same names, and takes
// a refusal for want of a rule for what it is there, too.
func TestProbesAtTheOtherDoors(t *testing.T) {
	const (
		on      = "[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir = 'DIR/bin'\n"
		noRule  = "no rule of policy.yaml fits it (policy: rules)"
		refusal = "nothing is signed under it"
	)
	for _, c := range []struct {
		name, says string
		exit       int
		want       Status
		advice     string
	}{
		{"its rule refuses", refusal, 3, OK, ""},
		{"no rule fits", noRule, 3, Warning, "--probe"},
		{"its rule lets it pass", "NOT trusted, let pass by the mode audit of rule team: " + refusal, 0, Trouble, "mode warn or audit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			verifier := fmt.Sprintf("#!/bin/sh\ncase $2 in r.example.com/team/app:probe-*) ;; *) exit 0 ;; esac\necho '%s'\nexit %d\n", c.says, c.exit)
			kubectl := fmt.Sprintf("#!/bin/sh\nname=$(cat | grep -o 'r.example.com/team/app:probe-[0-9a-f]*')\n[ %d != 0 ] || { echo \"Warning: %s\"; exit 0; }\necho \"admission webhook denied the request: $name: %s\" >&2\nexit 1\n", c.exit, c.says, c.says)
			dir := write(t, map[string]string{"config.toml": on, "containerd": "#!/bin/sh\ncat DIR/config.toml\n", "bin/a": verifier, "kubectl": kubectl})
			found := statuses(t, Config{Containerd: filepath.Join(dir, "containerd"), File: filepath.Join(dir, "config.toml"), HostsDirs: []string{dir},
				Kubectl: filepath.Join(dir, "kubectl"), Namespaces: []string{"prod"}, Probes: []string{"r.example.com/team/app"}})
			for _, check := range []string{"image verifiers", "Kubernetes namespace prod"} {
				if f := found[check]; f.Status != c.want || !strings.Contains(f.Detail, c.says) || !strings.Contains(f.Advice, c.advice) {
					t.Errorf("%s: got %+v, expected %q with the advice %q", check, f, c.want, c.advice)
				}
			}
		})
	}
}

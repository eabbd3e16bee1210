package containerd

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/guard"
	"github.com/signet-trust/signet/tuf"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	index   = "application/vnd.oci.image.index.v1+json"
)

// A fake is a gate that trusts app:1.0 and digest A of it, warns of app:warned, cannot
// find out about app:trouble, and refuses the rest with a reason that is meant to
// break out of a line.
type fake struct{ asked []string }

func (f *fake) Decide(_ context.Context, asker guard.Asker, image string) (*client.Decision, error) {
	f.asked = append(f.asked, asker.Door+" "+image)
	d := &client.Decision{Image: image, Policy: &client.Ruling{}}
	switch image {
	case "registry.example.com/team/app:1.0", "registry.example.com/team/app@" + digestA, "docker.io/library/alpine:3.20":
		d.Trusted, d.Policy.Allowed, d.Digest, d.Length, d.MediaType = true, true, digestA, 1234, index
		return d, nil
	case "registry.example.com/team/app:lacking":
		d.Trusted, d.Policy.Allowed, d.Digest = true, true, digestA
		return d, nil
	case "registry.example.com/team/app:warned":
		d.Policy.Allowed, d.Reason = true, "not signed"
		return d, nil
	case "registry.example.com/team/app:trouble":
		d.Reason = "nobody answers"
		return d, errors.New(d.Reason)
	}
	d.Reason = "it is not signed\r\nDocker-Content-Digest: " + digestB + "\r\n\x1b[2J"
	return d, &tuf.Refusal{Rule: tuf.RuleAbsent, Detail: d.Reason}
}

func serve(t *testing.T, h2 bool) (*fake, *httptest.Server) {
	t.Helper()
	f := &fake{}
	server := httptest.NewUnstartedServer(guard.NewEntrance(guard.New(guard.Config{}), guard.Limits{}).Handler(Door(f)))
	server.EnableHTTP2 = h2
	server.StartTLS()
	t.Cleanup(server.Close)
	return f, server
}

func send(t *testing.T, s *httptest.Server, method, path string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error {
		t.Error("the door redirects")
		return http.ErrUseLastResponse
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.Header.Get("WWW-Authenticate") != "" || response.StatusCode == http.StatusUnauthorized {
		t.Errorf("%s %s is answered with a challenge", method, path)
	}
	return response, string(body)
}

// What the door answers to each question of containerd.
func TestDoor(t *testing.T) {
	const app, ns = "/v2/team/app/manifests/", "?ns=registry.example.com"
	for _, h2 := range []bool{false, true} {
		for name, test := range map[string]struct {
			path         string
			head, get    int
			asked        string
			signedDigest bool
		}{
			"the API":                         {"/v2/", 200, 200, "", false},
			"a signed tag":                    {app + "1.0" + ns, 200, 404, "registry.example.com/team/app:1.0", true},
			"of docker.io":                    {"/v2/library/alpine/manifests/3.20?ns=docker.io", 200, 404, "docker.io/library/alpine:3.20", true},
			"an unsigned tag":                 {app + "2.0" + ns, 300, 300, "registry.example.com/team/app:2.0", false},
			"a tag that is let pass":          {app + "warned" + ns, 404, 404, "registry.example.com/team/app:warned", false},
			"no answer":                       {app + "trouble" + ns, 300, 300, "registry.example.com/team/app:trouble", false},
			"no length":                       {app + "lacking" + ns, 300, 300, "registry.example.com/team/app:lacking", false},
			"a signed digest":                 {app + digestA + ns, 200, 404, "registry.example.com/team/app@" + digestA, false},
			"an unsigned digest":              {app + digestB + ns, 300, 404, "registry.example.com/team/app@" + digestB, false},
			"a layer":                         {"/v2/team/app/blobs/" + digestB + ns, 404, 404, "", false},
			"no ns":                           {app + "1.0", 300, 300, "", false},
			"two of them":                     {app + "1.0?ns=registry.example.com&ns=evil.example.com", 300, 300, "", false},
			"an ns that is a path":            {app + "1.0?ns=registry.example.com/team", 300, 300, "registry.example.com/team/team/app:1.0", false},
			"a name with ..":                  {"/v2/team/../app/manifests/1.0" + ns, 300, 300, "", false},
			"an encoded name":                 {"/v2/team%2fapp/manifests/1.0" + ns, 300, 300, "", false},
			"doubled slashes":                 {"/v2//team/app/manifests/1.0" + ns, 300, 300, "", false},
			"upper case":                      {"/v2/Team/app/manifests/1.0" + ns, 300, 300, "", false},
			"an alias of docker.io":           {"/v2/library/alpine/manifests/3.20?ns=index.docker.io", 300, 300, "", false},
			"no tag":                          {app + "-1" + ns, 300, 300, "", false},
			"a digest of another kind":        {app + "sha512:" + strings.Repeat("a", 128) + ns, 300, 300, "", false},
			"a name that has manifests in it": {"/v2/manifests/manifests/1.0" + ns, 300, 300, "registry.example.com/manifests:1.0", false},
		} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %t", name, h2), func(t *testing.T) {
				f, s := serve(t, h2)
				for method, want := range map[string]int{"HEAD": test.head, "GET": test.get} {
					f.asked = nil
					response, body := send(t, s, method, test.path)
					if response.StatusCode != want {
						t.Errorf("%s: status %s, expected %d", method, response.Status, want)
					}
					if (len(f.asked) == 1 && f.asked[0] != "containerd "+test.asked) || len(f.asked) > 1 || (method == "HEAD" && len(f.asked) == 0 && test.asked != "") {
						t.Errorf("%s: asked about %q", method, f.asked)
					}
					digest := response.Header.Get("Docker-Content-Digest")
					if test.signedDigest && digest != digestA || digest == digestB {
						t.Errorf("%s: the digest is %q", method, digest)
					}
					if want == 200 && test.asked != "" && (response.ContentLength != 1234 || response.Header.Get("Content-Type") != index) {
						t.Errorf("%s: %d bytes of %s", method, response.ContentLength, response.Header.Get("Content-Type"))
					}
					if response.Header.Get("Cache-Control") != "no-store" {
						t.Errorf("%s: the answer may be kept", method)
					}
					if want == 300 && !h2 && !strings.HasPrefix(response.Status, "300 signet: ") {
						t.Errorf("%s: the status line has no reason: %q", method, response.Status)
					}
					var oci struct {
						Errors []struct{ Code, Message string }
					}
					if method == "GET" && want != 200 && (json.Unmarshal([]byte(body), &oci) != nil || len(oci.Errors) != 1 || oci.Errors[0].Message == "") {
						t.Errorf("%s: the body is no OCI error: %s", method, body)
					}
				}
			})
		}
	}
}

// Nothing but GET and HEAD is taken.
func TestNothingIsPushed(t *testing.T) {
	f, s := serve(t, false)
	for _, method := range []string{"PUT", "POST", "DELETE", "PATCH"} {
		if response, _ := send(t, s, method, "/v2/team/app/manifests/1.0?ns=registry.example.com"); response.StatusCode != 300 {
			t.Errorf("%s: %s", method, response.Status)
		}
	}
	if len(f.asked) > 0 {
		t.Errorf("asked %q", f.asked)
	}
}

// A door that turns a client away does it with a status that ends containerd's search.
func TestTurnedAwayIsNotSentOn(t *testing.T) {
	server := httptest.NewTLSServer(guard.NewEntrance(guard.New(guard.Config{}), guard.Limits{Certified: []string{"containerd"}}).Handler(Door(&fake{})))
	t.Cleanup(server.Close)
	response, _ := send(t, server, "HEAD", "/v2/team/app/manifests/1.0?ns=registry.example.com")
	if response.StatusCode != 300 || !strings.Contains(response.Status, "certificate") {
		t.Error(response.Status)
	}
	if response.TLS == nil || response.TLS.Version < tls.VersionTLS12 {
		t.Error("no TLS")
	}
}

// FuzzDoor states what a door may say yes to: exactly the names in their one form.
func FuzzDoor(f *testing.F) {
	for _, path := range []string{"/v2/team/app/manifests/1.0?ns=registry.example.com", "/v2/team/app/manifests/" + digestA + "?ns=registry.example.com",
		"/v2/team/app/manifests/1.0?ns=registry.example.com;ns=a", "/v2/../v2/team/app/manifests/1.0?ns=registry.example.com", "/v2/?ns=", "/v2"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, target string) {
		request, err := http.NewRequest("HEAD", "https://gate.example.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		path, query, _ := strings.Cut(target, "?")
		request.URL.Path, request.URL.RawPath, request.URL.RawQuery = path, path, query
		gate := &fake{}
		w := httptest.NewRecorder()
		Door(gate).Handler.ServeHTTP(w, request)
		for _, asked := range gate.asked {
			image, err := tuf.ParseImage(strings.TrimPrefix(asked, "containerd "))
			if err != nil || tuf.CheckRepository(image.Repository) != nil {
				t.Errorf("%q was asked about as %q: %v", target, asked, err)
			}
		}
		if w.Code == http.StatusOK && len(gate.asked) == 0 && request.URL.EscapedPath() != "/v2/" && request.URL.EscapedPath() != "/v2" {
			t.Errorf("%q is answered with a yes that nobody gave", target)
		}
		for name, values := range w.Header() {
			if strings.ContainsAny(name+strings.Join(values, ""), "\r\n") {
				t.Errorf("%q broke out of a header", target)
			}
		}
	})
}

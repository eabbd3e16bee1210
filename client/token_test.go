package client

import (
	"net/http"
	"sync"
	"testing"
)

// TestTokenGoesWhereLoginWent gives a token to the server that somebody logged in
// to, and to nobody whom other authorities vouch for under its address.
func TestTokenGoesWhereLoginWent(t *testing.T) {
	b := newBench(t)
	_, other := certificate(t, b.clock.Now(), b.clock.Now().Add(day))
	var mu sync.Mutex
	shown := ""
	b.server.setIntercept(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		shown = r.Header.Get("Authorization")
		return false
	})
	for name, c := range map[string]struct {
		login Server
		want  string
	}{
		"the same CA":            {Server{URL: b.server.URL, CA: b.server.ca()}, "Bearer secret"},
		"the same CA, commented": {Server{URL: b.server.URL + "/", CA: "# ours\n" + b.server.ca() + "\n"}, "Bearer secret"},
		"another CA":             {Server{URL: b.server.URL, CA: other}, ""},
		"one CA more":            {Server{URL: b.server.URL, CA: b.server.ca() + other}, ""},
		"the system's":           {Server{URL: b.server.URL}, ""},
		"another address":        {Server{URL: "https://signet.example.com", CA: b.server.ca()}, ""},
	} {
		c.login.Token = "secret"
		b.config.Token = Servers{c.login}.Token
		b.trusts("1.0", "one")
		if shown != c.want {
			t.Errorf("%s: verifying showed %q, expected %q", name, shown, c.want)
		}
		if _, err := b.client().FirstUse(t.Context(), appName, b.anchor); err != nil {
			t.Fatal(err)
		}
		if shown != c.want {
			t.Errorf("%s: the first use showed %q, expected %q", name, shown, c.want)
		}
	}
	if !(SameCA("", "\n")) || SameCA("", other) {
		t.Error("no certificate is the system's authorities")
	}
}

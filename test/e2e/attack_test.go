package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-trust/signet/test/attack"
	"github.com/signet-trust/signet/tuf"
)

// An attacker stands between a script's client and its server.
type attacker struct {
	proxy *attack.Proxy
	kept  map[string]*attack.Recording
}

// startProxy puts an attacker before $SERVER, and sets $PROXY. It speaks plain
// HTTP, as it may on loopback, unless it is given a certificate and its key.
func startProxy(ts *testscript.TestScript, s *scene, args []string) error {
	ca, err := os.ReadFile(ts.Getenv("CA"))
	if err != nil {
		return err
	}
	proxy, err := attack.New(ts.Getenv("SERVER"), ca)
	if err != nil {
		return err
	}
	server := httptest.NewUnstartedServer(proxy)
	server.Config.ErrorLog = quiet()
	if len(args) == 2 {
		certificate, err := tls.LoadX509KeyPair(ts.MkAbs(args[0]), ts.MkAbs(args[1]))
		if err != nil {
			return err
		}
		server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		server.StartTLS()
	} else {
		server.Start()
	}
	ts.Defer(func() {
		server.CloseClientConnections()
		server.Close()
	})
	scheme, _, _ := strings.Cut(server.URL, ":")
	ts.Setenv("PROXY", scheme+"://localhost:"+port(server.URL))
	s.attacker = &attacker{proxy: proxy, kept: map[string]*attack.Recording{}}
	return nil
}

// attackCommand sets what the attacker does:
//
//	attack none                        nothing
//	attack record NAME REPO            keep what the server serves now
//	attack replay NAME                 answer with what was kept
//	attack replay-role NAME ROLE       the same, for one role only
//	attack impersonate REPO NAME       answer for REPO with what was kept of another
//	attack flip ROLE OFFSET            change one bit
//	attack truncate ROLE N             serve the first N bytes
//	attack body ROLE FILE              serve a file's content
//	attack hide|endless|drip|silence|hangup|bomb ROLE
//	attack redirect ROLE URL
//	attack status ROLE N
//	attack forward NAME DIR REPO       answer with what was kept, its versions run to
//	                                   the largest with the keys of the signer in DIR
//	attack requests                    print what was asked since the last time
//
// ROLE may be all.
func attackCommand(ts *testscript.TestScript, s *scene, args []string) error {
	if s.attacker == nil {
		return errors.New("no proxy was started")
	}
	arg := func(i int) string {
		if i >= len(args) {
			ts.Fatalf("attack %s: too few arguments", args[0])
		}
		return args[i]
	}
	role := ""
	if len(args) > 1 && args[1] != "all" {
		role = args[1]
	}
	proxy, kept := s.attacker.proxy, s.attacker.kept
	switch args[0] {
	case "none":
		proxy.Set()
	case "record":
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		recording, err := proxy.Record(ctx, arg(2))
		kept[args[1]] = recording
		return err
	case "replay":
		proxy.Set(attack.Replay(kept[arg(1)]))
	case "replay-role":
		proxy.Set(attack.ReplayRole(kept[arg(1)], arg(2)))
	case "impersonate":
		proxy.Set(attack.Impersonate(arg(1), kept[arg(2)]))
	case "forward":
		thief := attack.NewForger(s.t, kept[arg(1)], attack.Steal(s.t, ts.MkAbs(arg(2)), arg(3)))
		thief.Snapshot(func(md *tuf.Snapshot) { md.Signed.Version = math.MaxInt64 })
		thief.Timestamp(func(md *tuf.Timestamp) { md.Signed.Version = math.MaxInt64 })
		proxy.Set(attack.Replay(thief.Recording))
	case "requests":
		_, err := fmt.Fprintln(ts.Stdout(), strings.Join(proxy.Requests(), "\n"))
		return err
	default:
		return attackRole(ts, proxy, args[0], role, arg)
	}
	return nil
}

// refuses serves each file of a folder in place of a role's, to a client without
// state, which has to refuse the image in good order.
func refuses(ts *testscript.TestScript, s *scene, args []string) error {
	dir, role, image := ts.MkAbs(args[0]), args[1], args[2]
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return err
		}
		s.attacker.proxy.Set(attack.Body(role, data))
		state := filepath.Join(ts.Getenv("WORK"), "state-"+role+"-"+file.Name())
		got, err := status(ts.Exec("signet", "verify", "--state-dir", state, image))
		if err != nil {
			return err
		}
		stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
		if got != 3 || stdout != "" || strings.Contains(stderr, "goroutine") || !strings.Contains(stderr, "hint: ") {
			return fmt.Errorf("%s as %s: exit status %d, expected 3", file.Name(), role, got)
		}
	}
	return nil
}

// attackRole sets an attack on the files of one role.
func attackRole(ts *testscript.TestScript, proxy *attack.Proxy, how, role string, arg func(int) string) error {
	number := func() int {
		n, err := strconv.Atoi(arg(2))
		ts.Check(err)
		return n
	}
	switch how {
	case "flip":
		proxy.Set(attack.Flip(role, number()))
	case "truncate":
		proxy.Set(attack.Truncate(role, number()))
	case "body":
		proxy.Set(attack.Body(role, []byte(ts.ReadFile(arg(2)))))
	case "hide":
		proxy.Set(attack.Hide(role))
	case "endless":
		proxy.Set(attack.Endless(role))
	case "drip":
		proxy.Set(attack.Drip(role, 200*time.Millisecond))
	case "silence":
		proxy.Set(attack.Silence(role))
	case "hangup":
		proxy.Set(attack.HangUp(role))
	case "bomb":
		proxy.Set(attack.Bomb(role, 128<<20))
	case "redirect":
		proxy.Set(attack.Redirect(role, arg(2)))
	case "status":
		proxy.Set(attack.Status(role, number()))
	default:
		return fmt.Errorf("attack %s: unknown", how)
	}
	return nil
}

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-trust/signet/test/attack"
)

// An attacker stands between a script's client and its server.
type attacker struct {
	proxy *attack.Proxy
	kept  map[string]*attack.Recording
}

// startProxy puts an attacker before $SERVER, and sets $PROXY.
func startProxy(ts *testscript.TestScript, s *scene, _ []string) error {
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
	server.Start()
	ts.Defer(func() {
		server.CloseClientConnections()
		server.Close()
	})
	ts.Setenv("PROXY", server.URL)
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
	case "requests":
		_, err := fmt.Fprintln(ts.Stdout(), strings.Join(proxy.Requests(), "\n"))
		return err
	default:
		return attackRole(ts, proxy, args[0], role, arg)
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
		proxy.Set(attack.Bomb(role, 1<<30))
	case "redirect":
		proxy.Set(attack.Redirect(role, arg(2)))
	case "status":
		proxy.Set(attack.Status(role, number()))
	default:
		return fmt.Errorf("attack %s: unknown", how)
	}
	return nil
}

package e2e

import (
	"context"
	"fmt"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-trust/signet/test/yubikey"
)

// sticks are a script's virtual YubiKeys.
type sticks struct{ bench *yubikey.Bench }

// plugIn plugs YubiKeys in, in their factory state.
func plugIn(ts *testscript.TestScript, s *scene, args []string) error {
	var config yubikey.Config
	for _, arg := range args {
		serial, err := strconv.ParseUint(arg, 10, 32)
		if err != nil {
			return err
		}
		config.Sticks = append(config.Sticks, yubikey.StickConfig{Serial: uint32(serial)})
	}
	bench, err := yubikey.Start(config)
	if err != nil {
		return err
	}
	ts.Defer(func() { ts.Check(bench.Close()) })
	s.sticks = &sticks{bench}
	ts.Setenv("PCSCLITE_CSOCK_NAME", bench.Socket())
	return nil
}

// stopDaemon ends the smart card service.
func stopDaemon(_ *testscript.TestScript, s *scene, _ []string) error { return s.sticks.bench.Close() }

// stickCommand does something to one YubiKey.
func stickCommand(_ *testscript.TestScript, s *scene, args []string) error {
	serial, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return err
	}
	stick := s.sticks.bench.Stick(uint32(serial))
	if stick == nil {
		return fmt.Errorf("no YubiKey %d", serial)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch args[1] {
	case "touch":
		mode, ok := map[string]yubikey.TouchMode{"auto": yubikey.Auto, "refuse": yubikey.Refuse, "manual": yubikey.Manual}[args[2]]
		if !ok {
			return fmt.Errorf("touch %s: expected auto, refuse or manual", args[2])
		}
		stick.SetTouch(mode)
		return nil
	case "asked":
		return stick.TouchAsked(ctx)
	case "release":
		return stick.Release(ctx)
	case "remove":
		return stick.Remove()
	case "insert":
		return stick.Insert()
	case "signatures":
		if got := strconv.Itoa(stick.Signatures()); got != args[2] {
			return fmt.Errorf("the YubiKey was used %s times, expected %s", got, args[2])
		}
		return nil
	}
	return fmt.Errorf("stick %s: unknown", args[1])
}

// Command virtual-yubikey plugs virtual YubiKeys into a pcscd of their own and
// keeps them there until it is interrupted. Programs find them when
// PCSCLITE_CSOCK_NAME is set as the command says:
//
//	$ go run ./test/yubikey/cmd/virtual-yubikey --serial 12345678
//	virtual YubiKey 12345678, firmware 5.7.4, PIN 123456, PUK 12345678
//	export PCSCLITE_CSOCK_NAME=...
//
// Its keys protect nothing: they lie in memory or, with --state, in plain files.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/signet-trust/signet/test/yubikey"
	"github.com/signet-trust/signet/test/yubikey/card"
)

func main() {
	err := run(os.Args[1:], os.Stdin, os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "virtual-yubikey:", err)
		os.Exit(1)
	}
}

type options struct {
	sticks        []yubikey.StickConfig
	firmware      string
	pin, puk      string
	state         string
	touch         string
	commands      bool
	readyFile     string
	rootFile      string
	intermediates int
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("virtual-yubikey", flag.ContinueOnError)
	flags.Func("serial", "plug in a stick with this `number`, or number=version (may be given several times)", func(s string) error {
		number, firmware, _ := strings.Cut(s, "=")
		serial, err := strconv.ParseUint(number, 10, 32)
		o.sticks = append(o.sticks, yubikey.StickConfig{Serial: uint32(serial), Firmware: firmware})
		return err
	})
	flags.StringVar(&o.firmware, "firmware", "5.7.4", "`version` that the sticks have: 5.2, 5.4, 5.7, or one with three numbers")
	flags.StringVar(&o.pin, "pin", "", "`PIN` of sticks that are new, the factory's 123456 when not given")
	flags.StringVar(&o.puk, "puk", "", "`PUK` of sticks that are new, the factory's 12345678 when not given")
	flags.StringVar(&o.state, "state", "", "keep the sticks in this `folder` from one run to the next")
	flags.StringVar(&o.touch, "touch", "auto", "`how` touches are given: auto, refuse, manual (by the enter key), or after a time such as 2s")
	flags.BoolVar(&o.commands, "commands", false, "take lines from standard input: \"out SERIAL\", \"in SERIAL\", or an empty one for a touch")
	flags.StringVar(&o.readyFile, "ready-file", "", "write the path of the socket to this `file` once the sticks are there")
	flags.StringVar(&o.rootFile, "attestation-root", "", "write the certificates that the sticks' attestations lead to into this `file`")
	flags.IntVar(&o.intermediates, "intermediates", 0, "`how many` certificates stand between the attestation root and the sticks': Yubico has 2 from firmware 5.7.4 on")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if len(o.sticks) == 0 {
		o.sticks = []yubikey.StickConfig{{Serial: 12345678}}
	}
	for i := range o.sticks {
		stick := &o.sticks[i]
		stick.Firmware = cmp.Or(stick.Firmware, o.firmware)
		stick.PIN, stick.PUK = o.pin, o.puk
	}
	return o, nil
}

func run(args []string, in io.Reader, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	hand, err := newHand(o.touch, out)
	if err != nil {
		return err
	}
	config := yubikey.Config{StateDir: o.state, OnTouch: hand.told, Sticks: o.sticks}
	if o.state == "" {
		config.Maker, err = card.NewMaker(card.Intermediates(o.intermediates))
	} else {
		config.Maker, err = card.LoadMaker(o.state, card.Intermediates(o.intermediates))
	}
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	bench, err := yubikey.Start(config)
	if err != nil {
		return err
	}
	defer bench.Close()
	for _, stick := range bench.Sticks() {
		stick.SetTouch(hand.mode)
		fmt.Fprintf(out, "virtual YubiKey %d, firmware %s, PIN %s, PUK %s unless changed\n", stick.Serial(), stick.Firmware(),
			cmp.Or(o.pin, "123456"), cmp.Or(o.puk, "12345678"))
	}
	hand.takes(bench)
	if o.commands || hand.mode == yubikey.Manual && hand.delay == 0 {
		go hand.follow(bufio.NewScanner(in))
	}
	for _, line := range bench.Env() {
		fmt.Fprintln(out, "export", line)
	}
	if o.rootFile != "" {
		if err := os.WriteFile(o.rootFile, bench.Maker().AuthorityPEM(), 0o644); err != nil {
			return err
		}
	}
	if o.readyFile != "" {
		if err := writeWhole(o.readyFile, bench.Socket()+"\n"); err != nil {
			return err
		}
		defer os.Remove(o.readyFile)
	}
	select {
	case <-ctx.Done():
	case <-bench.Ended():
		return errors.New("pcscd ended")
	}
	return bench.Close()
}

// writeWhole makes a file that is never seen half written.
func writeWhole(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".ready-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(content)
	return cmp.Or(err, f.Close(), os.Rename(f.Name(), path))
}

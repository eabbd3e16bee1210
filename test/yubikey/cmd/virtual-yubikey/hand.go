package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signet-trust/signet/test/yubikey"
)

// A hand touches the sticks, as the flag --touch says, and tells of it.
type hand struct {
	mode  yubikey.TouchMode
	delay time.Duration

	mu      sync.Mutex
	out     io.Writer
	bench   *yubikey.Bench
	waiting map[uint32]*request // by serial
}

// A request is a touch that a stick waits for.
type request struct {
	ctx context.Context
	end context.CancelFunc
}

func newHand(how string, out io.Writer) (*hand, error) {
	h := &hand{out: out, waiting: make(map[uint32]*request)}
	switch how {
	case "auto":
		h.mode = yubikey.Auto
	case "refuse":
		h.mode = yubikey.Refuse
	case "manual":
		h.mode = yubikey.Manual
	default:
		delay, err := time.ParseDuration(how)
		if err != nil || delay <= 0 {
			return nil, fmt.Errorf("--touch %q: want auto, refuse, manual or a time such as 2s", how)
		}
		h.mode, h.delay = yubikey.Manual, delay
	}
	return h, nil
}

// takes gives the hand the sticks that it can touch.
func (h *hand) takes(bench *yubikey.Bench) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bench = bench
}

// told hears of every touch request and of its end.
func (h *hand) told(touch yubikey.Touch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if touch.Ended {
		if r := h.waiting[touch.Serial]; r != nil {
			r.end()
			delete(h.waiting, touch.Serial)
		}
		answer := "refused"
		if touch.Given {
			answer = "given"
		}
		fmt.Fprintf(h.out, "touch asked by %d slot %x: %s\n", touch.Serial, touch.Slot, answer)
		return
	}
	if h.mode != yubikey.Manual || h.bench == nil {
		return
	}
	r := &request{}
	r.ctx, r.end = context.WithCancel(context.Background())
	h.waiting[touch.Serial] = r
	if h.delay == 0 {
		fmt.Fprintf(h.out, "touch asked by %d slot %x: press enter to give it\n", touch.Serial, touch.Slot)
		return
	}
	stick := h.bench.Stick(touch.Serial)
	timer := time.AfterFunc(h.delay, func() { stick.Release(r.ctx) })
	context.AfterFunc(r.ctx, func() { timer.Stop() })
}

// follow does what each line of in says: an empty one touches whatever stick waits,
// "out SERIAL" pulls a stick out and "in SERIAL" plugs it in again.
func (h *hand) follow(in *bufio.Scanner) {
	for in.Scan() {
		if line := strings.TrimSpace(in.Text()); line != "" {
			if err := h.move(line); err != nil {
				h.say("%s: %v\n", line, err)
			}
			continue
		}
		h.mu.Lock()
		for serial, r := range h.waiting {
			go h.bench.Stick(serial).Release(r.ctx)
		}
		h.mu.Unlock()
	}
}

func (h *hand) move(line string) error {
	where, number, _ := strings.Cut(line, " ")
	serial, err := strconv.ParseUint(number, 10, 32)
	stick := h.bench.Stick(uint32(serial))
	if err != nil || stick == nil || (where != "out" && where != "in") {
		return errors.New("want \"out SERIAL\", \"in SERIAL\", or an empty line for a touch")
	}
	// The lock is free meanwhile: a stick that waits for a touch tells of its end.
	if where == "out" {
		err = stick.Remove()
	} else {
		err = stick.Insert()
	}
	if err != nil {
		return err
	}
	h.say("virtual YubiKey %d is %s\n", serial, where)
	return nil
}

func (h *hand) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(h.out, format, args...)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/keystore/yubikey"
)

// stickStatus is a YubiKey as status prints it.
type stickStatus struct {
	Serial     uint32       `json:"serial"`
	Firmware   string       `json:"firmware"`
	FormFactor string       `json:"formFactor,omitempty"`
	PIN        secretStatus `json:"pin"`
	PUK        secretStatus `json:"puk"`
	Management struct {
		Algorithm string         `json:"algorithm"`
		Factory   yubikey.Answer `json:"factory,omitempty"` // "yes", "no"; absent: the firmware does not tell
		UnderPIN  yubikey.Answer `json:"underPIN,omitempty"`
		Touch     string         `json:"touch,omitempty"`
	} `json:"managementKey"`
	Slots []keyInfo `json:"slots"`
}

// secretStatus is how a PIN or PUK fares. Tries are absent when the firmware does
// not tell.
type secretStatus struct {
	Left    *int           `json:"triesLeft,omitempty"`
	Max     *int           `json:"tries,omitempty"`
	Factory yubikey.Answer `json:"factory,omitempty"`
}

func newYubiKeyStatus(a *app) *cobra.Command {
	var serial uint32
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how YubiKeys are set up: PIN, PUK, management key, slots",
		Long: `Show how each YubiKey that is plugged in is set up: the tries left for PIN and PUK,
what is still as it was sold, how the management key is kept, and what is in the
slots. No PIN and no touch is asked for; it works when the PIN is blocked, too.`,
		Args: cobra.NoArgs,
	}
	serialFlag(cmd, &serial)
	a.waitFlag(cmd)
	cmd.RunE = a.action(func(ctx context.Context, _ []string) error {
		ring, err := a.keyring()
		if err != nil {
			return err
		}
		defer ring.Close()
		sticks, trouble := ring.toShow(ctx, serial)
		list := struct {
			Sticks []stickStatus `json:"yubikeys"`
		}{[]stickStatus{}}
		for _, stick := range sticks {
			status, err := stick.Status(ctx)
			if err != nil {
				trouble = errors.Join(trouble, err)
				continue
			}
			list.Sticks = append(list.Sticks, ring.statusOf(status))
		}
		if len(list.Sticks) == 0 && trouble != nil {
			return trouble
		}
		err = a.print(list, func(w io.Writer) {
			for i, s := range list.Sticks {
				if i > 0 {
					fmt.Fprintln(w)
				}
				s.write(w)
			}
		})
		return errors.Join(err, trouble)
	})
	return cmd
}

// toShow opens the YubiKey that was asked for, or all that are plugged in. Those
// that cannot be asked are told of in the error.
func (r *keyring) toShow(ctx context.Context, serial uint32) ([]*yubikey.Stick, error) {
	infos, err := r.session.List(ctx)
	if err != nil {
		return nil, err
	}
	if serial != 0 || len(infos) < 2 {
		stick, err := r.stick(ctx, serial) // which waits for one, or for one that is held
		if err != nil {
			return nil, err
		}
		return []*yubikey.Stick{stick}, nil
	}
	var sticks []*yubikey.Stick
	var trouble error
	for _, info := range sorted(infos) {
		if info.Err != nil {
			trouble = errors.Join(trouble, info.Err)
			continue
		}
		stick, err := r.session.Open(ctx, info.Serial)
		if err != nil {
			trouble = errors.Join(trouble, err)
			continue
		}
		sticks = append(sticks, stick)
	}
	return sticks, trouble
}

func (r *keyring) statusOf(s yubikey.Status) stickStatus {
	status := stickStatus{
		Serial: s.Serial, Firmware: s.Firmware.String(), FormFactor: s.FormFactor,
		PIN: secretStatusOf(s.PIN), PUK: secretStatusOf(s.PUK), Slots: []keyInfo{},
	}
	m := &status.Management
	m.Algorithm, m.Factory, m.UnderPIN, m.Touch = s.Management.Algorithm, s.Management.Factory, s.Management.UnderPIN, s.Management.Touch
	for _, slot := range s.Slots {
		var info keyInfo
		if slot.Key != nil {
			if entry, err := r.store.Find(slot.Key.ID()); err == nil {
				info = entryInfo(entry)
			}
		}
		info.connect(slot, s.Firmware)
		r.app.noteGarbled(info)
		status.Slots = append(status.Slots, info)
	}
	return status
}

func secretStatusOf(s yubikey.SecretStatus) secretStatus {
	status := secretStatus{Factory: s.Factory}
	if s.Left >= 0 {
		status.Left = &s.Left
	}
	if s.Max >= 0 {
		status.Max = &s.Max
	}
	return status
}

func (s stickStatus) write(w io.Writer) {
	fmt.Fprintf(w, "YubiKey %d, firmware %s%s\n", s.Serial, s.Firmware, after(", ", s.FormFactor))
	fmt.Fprintf(w, "  PIN             %s\n", s.PIN.words("the PUK sets a new one: signet yubikey unblock"))
	fmt.Fprintf(w, "  PUK             %s\n", s.PUK.words("a PIN that gets blocked, too, can only be reset"))
	management := s.Management.Algorithm
	switch {
	case s.Management.Factory == yubikey.Yes:
		management += ", AS SOLD: whoever has the stick can overwrite its keys"
	case s.Management.UnderPIN == yubikey.Yes:
		management += ", kept on the stick under its PIN"
	case s.Management.Factory == yubikey.No:
		management += ", kept elsewhere"
	}
	fmt.Fprintf(w, "  management key  %s\n", management)
	if len(s.Slots) == 0 {
		fmt.Fprintf(w, "  slots           all empty\n")
	}
	table(w, func(w io.Writer) {
		for _, k := range s.Slots {
			name := k.short()
			if k.Name != "" {
				name += " (" + k.Name + ")"
			}
			fmt.Fprintf(w, "  slot %s\t%s\t%s\tPIN %s\ttouch %s\tmade %s\n", k.Slot, dash(k.Algorithm), dash(name), dash(k.PIN), dash(k.Touch), k.birth())
		}
	})
	if s.PIN.Factory == yubikey.Yes || s.PUK.Factory == yubikey.Yes || s.Management.Factory == yubikey.Yes {
		fmt.Fprintf(w, "  set it up: signet yubikey setup --serial %d\n", s.Serial)
	}
}

// words says how a PIN or PUK fares.
func (s secretStatus) words(blocked string) string {
	text := "set"
	switch {
	case s.Factory == yubikey.Yes:
		text = "AS SOLD: everybody knows it"
	case s.Factory == yubikey.Unknown:
		text = "not told by this firmware whether it is as sold"
	}
	switch {
	case s.Left != nil && *s.Left == 0:
		return text + "; BLOCKED: " + blocked
	case s.Left != nil && s.Max != nil:
		return fmt.Sprintf("%s, %d of %d tries left", text, *s.Left, *s.Max)
	case s.Left != nil:
		return fmt.Sprintf("%s, %d tries left", text, *s.Left)
	}
	return text
}

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-trust/signet/attestation"
)

// hardwareFlags say what an anchor demands of the hardware that keys are in.
type hardwareFlags struct {
	required, touch, pin, signers bool
	firmware                      string
	roots                         attestationRoots
}

func (f *hardwareFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.required, "require-hardware", false, "trust nothing unless every root and targets key is proved to have been made on a YubiKey")
	flags.StringVar(&f.firmware, "min-firmware", "", "with --require-hardware: the oldest firmware `version` that a key may be on, such as 5.7 (below it P-256 keys have the weakness EUCLEAK)")
	flags.BoolVar(&f.touch, "require-touch", true, "with --require-hardware: each signature must take a touch")
	flags.BoolVar(&f.pin, "require-pin", true, "with --require-hardware: the YubiKey must want its PIN")
	flags.BoolVar(&f.signers, "hardware-signers", false, "with --require-hardware: demand the same of signers' keys")
	f.roots.add(cmd)
}

// demand reads the flags; nil when nothing is demanded.
func (f *hardwareFlags) demand(cmd *cobra.Command) (*attestation.Demand, error) {
	if !f.required {
		for _, name := range []string{"min-firmware", "require-touch", "require-pin", "hardware-signers", "attestation-root"} {
			if cmd.Flags().Changed(name) {
				return nil, usagef("--%s says what hardware is demanded: it needs --require-hardware", name)
			}
		}
		return nil, nil
	}
	demand := &attestation.Demand{Touch: f.touch, PIN: f.pin, Signers: f.signers}
	var err error
	if f.firmware != "" {
		if demand.MinFirmware, err = attestation.ParseVersion(f.firmware); err != nil {
			return nil, usagef("--min-firmware: %v", err)
		}
	}
	demand.Roots, err = f.roots.pem()
	return demand, err
}

// demands says what an anchor demands of hardware.
func demands(d *attestation.Demand) string {
	if d == nil {
		return ""
	}
	list := []string{"YubiKeys"}
	if d.MinFirmware != (attestation.Version{}) {
		list = append(list, fmt.Sprintf("firmware %s or newer", d.MinFirmware))
	}
	if d.Touch {
		list = append(list, "touch")
	}
	if d.PIN {
		list = append(list, "PIN")
	}
	if d.Signers {
		list = append(list, "signers too")
	}
	if d.Roots != "" {
		list = append(list, "attestation roots of one's own beside Yubico's")
	}
	return strings.Join(list, ", ")
}

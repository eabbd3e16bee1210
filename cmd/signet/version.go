package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo says what this binary is.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	YubiKey  bool   `json:"yubikey"`
}

func thisVersion() versionInfo {
	v := versionInfo{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, YubiKey: runtime.GOOS == "windows"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			v.Revision = setting.Value
		case setting.Key == "CGO_ENABLED" && setting.Value == "1" && (runtime.GOOS == "linux" || runtime.GOOS == "darwin"):
			v.YubiKey = true // as keystore/yubikey's build constraints say
		}
	}
	return v
}

// line is what version and --version print.
func (v versionInfo) line() string {
	yubikey := "with YubiKey support"
	if !v.YubiKey {
		yubikey = "without YubiKey support (built without cgo)"
	}
	return fmt.Sprintf("%s %s %s, %s", v.Version, v.Platform, v.Go, yubikey)
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which version of signet this is",
		Args:  cobra.NoArgs,
		RunE: a.action(func(context.Context, []string) error {
			v := thisVersion()
			return a.print(v, func(w io.Writer) { fmt.Fprintf(w, "signet %s\n", v.line()) })
		}),
	}
}

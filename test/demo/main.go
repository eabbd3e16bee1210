// Command demo runs Signet's main job for real, and then attacks it: a real OCI
// registry, the metadata server on its embedded default, a virtual YubiKey behind
// the real pcscd, the shipped programs. `make demo` builds and runs it. It leaves
// nothing running and nothing on the disk.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// limit ends a demo that hangs.
const limit = 3 * time.Minute

func main() {
	bin := flag.String("bin", "bin", "folder with the programs signet, signet-server and virtual-yubikey")
	keep := flag.Bool("keep", false, "keep the demo's folder, to look at what it left")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, *bin, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, keep bool) (err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "signet-demo-")
	if err != nil {
		return err
	}
	d := &demo{bin: bin, dir: dir, out: os.Stdout, started: time.Now()}
	defer func() {
		err = errors.Join(err, d.stopAll())
		if keep {
			d.say("The demo's folder is kept: %s", dir)
		} else {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	for _, step := range []func(context.Context) error{
		d.startParts, d.makeKeys, d.createRepository, d.signAndVerify,
		d.attackMovedTag, d.attackOtherDigest, d.attackYesterday, d.attackFlippedByte, d.attackUnsignedTag,
	} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("%w (ended: %w)", err, context.Cause(ctx))
			}
			return err
		}
	}
	d.farewell()
	return nil
}

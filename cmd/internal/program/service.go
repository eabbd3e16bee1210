package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// CheckLog refuses what --log-level and --log-format cannot be.
func CheckLog(level, format string) error {
	var l slog.Level
	switch {
	case format != "text" && format != "json":
		return fmt.Errorf("--log-format %q: expected text or json", format)
	case l.UnmarshalText([]byte(level)) != nil:
		return fmt.Errorf("--log-level %q: expected debug, info, warn or error", level)
	}
	return nil
}

// Logger logs to w in a format, from a level on, both of which CheckLog has taken.
func Logger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	handler := &slog.HandlerOptions{Level: l}
	if format == "json" {
		// A duration says its unit, as in text: "3s" rather than a number of nanoseconds.
		handler.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindDuration {
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		}
		return slog.New(slog.NewJSONHandler(w, handler))
	}
	return slog.New(slog.NewTextHandler(w, handler))
}

// AskHealth asks a running service at --health-listen for path: for a container's
// health check, which has no other program to ask with. who names the service in
// errors.
func AskHealth(ctx context.Context, listen, path, who string) error {
	if listen == "off" || listen == "" {
		return UsageError{errors.New("--health-listen is off, so there is nothing to ask")}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+path, nil)
	if err != nil {
		return UsageError{fmt.Errorf("--health-listen: %w", err)}
	}
	transport := &http.Transport{Proxy: nil}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s at %s answers %s", who, listen, response.Status)
	}
	return nil
}

// ClientHost returns what a client on this machine calls a listener: the name that
// was configured, where it is one, and the port that was taken.
func ClientHost(configured string, addr net.Addr) string {
	host, _, err := net.SplitHostPort(configured)
	_, port, err2 := net.SplitHostPort(addr.String())
	if err != nil || err2 != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// WriteReady writes what --ready-file says to path, for whoever waits for it; ""
// is no file.
func WriteReady(path string, ready any) error {
	if path == "" {
		return nil
	}
	data, err := json.Marshal(ready)
	if err != nil {
		return err
	}
	if err := WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("--ready-file: %w", err)
	}
	return nil
}

// WriteFile replaces path by data, whole or not at all, and on disk when it
// returns.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is left of it once it has been renamed
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no such thing
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

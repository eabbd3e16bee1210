package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// guardCommand starts and stops signet-guard with the configuration NAME.yaml, at the
// same address again when it is started again. It sets $GUARD and $GUARD_HEALTH.
func guardCommand(ts *testscript.TestScript, s *scene, args []string) error {
	name := args[1]
	switch args[0] {
	case "stop":
		return s.stop(name, syscall.SIGTERM)
	case "hangup":
		if s.processes[name] == nil {
			return fmt.Errorf("%s was not started", name)
		}
		return s.processes[name].cmd.Process.Signal(syscall.SIGHUP)
	case "start", "begin":
	default:
		return fmt.Errorf("guard %s: expected start, begin, stop or hangup", args[0])
	}
	dir := ts.MkAbs(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	address, err := s.address(name)
	if err != nil {
		return err
	}
	health, err := s.address(name + "-health")
	if err != nil {
		return err
	}
	ready := filepath.Join(dir, "ready")
	if err := os.RemoveAll(ready); err != nil {
		return err
	}
	p, err := s.start(ts, name, ts.MkAbs("."), nil, "signet-guard", append([]string{
		"--config", ts.MkAbs(name + ".yaml"), "--listen", address, "--health-listen", health, "--ready-file", ready,
		"--state", filepath.Join(dir, "state"), "--decision-log", filepath.Join(dir, "decisions"), "--drain", "100ms",
	}, args[2:]...)...)
	if err != nil {
		return err
	}
	ts.Setenv("GUARD", "https://"+address)
	ts.Setenv("GUARD_HEALTH", "http://"+health)
	if args[0] == "begin" { // it does not get ready yet
		return p.await(listening(health))
	}
	return p.await(exists(ready))
}

// answer waits until a gate answers a request with a status and a text.
func answer(ts *testscript.TestScript, status, text string, send func(*http.Client) (*http.Response, error)) error {
	data, err := os.ReadFile(ts.MkAbs("tls.pem"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	last := "nothing"
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = poll(ctx, func() (bool, error) {
		response, err := send(client)
		if err != nil {
			return false, err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		last = response.Status + ": " + string(body)
		return strings.HasPrefix(last, status+" ") && strings.Contains(last, text), err
	})
	if err != nil {
		return fmt.Errorf("expected %s and %q: %w; the last answer was %s", status, text, err, last)
	}
	return nil
}

// readyz waits until the gate's /readyz has a status and says a text.
func readyz(ts *testscript.TestScript, _ *scene, args []string) error {
	return answer(ts, args[0], args[1], func(c *http.Client) (*http.Response, error) {
		return c.Get(ts.Getenv("GUARD_HEALTH") + "/readyz")
	})
}

// decides waits until the gate's door decide answers about an image so.
func decides(ts *testscript.TestScript, _ *scene, args []string) error {
	return answer(ts, args[0], args[2], func(c *http.Client) (*http.Response, error) {
		return c.Post(ts.Getenv("GUARD")+"/v1/decide", "application/json", strings.NewReader(fmt.Sprintf(`{"image":%q}`, args[1])))
	})
}

const secureConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %[1]s/data}}
http: {addr: "127.0.0.1:%[2]s", tls: {certificate: %[3]s, key: %[4]s}}
auth: {htpasswd: {realm: registry, path: %[1]s/htpasswd}}
`

// The one user of the registry that asks for credentials.
const (
	registryUser     = "puller"
	registryPassword = "pull-secret"
	registryHash     = "$2a$04$ueIlEVFdwf3OFXz0cT/uC.MORdKMn16gP/hO/8Yw9vjdUHWQL9TFW" // bcrypt, of the password
)

// secureRegistry starts Debian's registry with a certificate and basic authentication,
// and gives this computer the credentials, as docker login would. It sets $REGISTRY
// and $REGISTRY_LOGIN.
func secureRegistry(ts *testscript.TestScript, s *scene, args []string) error {
	address, err := s.address("registry")
	if err != nil {
		return err
	}
	dir, docker := ts.MkAbs("registry"), ts.MkAbs("docker")
	config := filepath.Join(dir, "config.yml")
	err = errors.Join(
		os.MkdirAll(dir, 0o700), os.MkdirAll(docker, 0o700),
		os.WriteFile(config, fmt.Appendf(nil, secureConfig, dir, port(address), ts.MkAbs(args[0]), ts.MkAbs(args[1])), 0o600),
		os.WriteFile(filepath.Join(dir, "htpasswd"), []byte(registryUser+":"+registryHash+"\n"), 0o600),
		os.WriteFile(filepath.Join(docker, "config.json"), fmt.Appendf(nil, `{"auths":{%q:{"username":%q,"password":%q}}}`, address, registryUser, registryPassword), 0o600),
	)
	if err != nil {
		return err
	}
	p, err := s.start(ts, "registry", dir, nil, "docker-registry", "serve", config)
	if err != nil {
		return err
	}
	ts.Setenv("REGISTRY", address)
	ts.Setenv("REGISTRY_LOGIN", registryUser+":"+registryPassword)
	ts.Setenv("DOCKER_CONFIG", docker)
	s.registryCA = ts.MkAbs(args[0])
	return p.await(listening(address))
}

const containerdConfig = `version = 2
root = "%[1]s/root"
state = "%[1]s/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.runtime.v1.linux", "io.containerd.internal.v1.restart",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.overlayfs"]
[grpc]
  address = "%[2]s"
[plugins."io.containerd.internal.v1.opt"]
  path = "%[1]s/opt"
`

// containerd starts Debian's containerd, which only pulls here, and lets ctr find it.
func containerd(ts *testscript.TestScript, s *scene, _ []string) error {
	dir := ts.MkAbs("containerd")
	// A socket's path has at most 108 bytes, which the script's folder may exceed.
	sockets, err := os.MkdirTemp("", "ctr")
	if err != nil {
		return err
	}
	ts.Defer(func() { ts.Check(os.RemoveAll(sockets)) })
	socket, config := filepath.Join(sockets, "s"), filepath.Join(dir, "config.toml")
	err = errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(config, fmt.Appendf(nil, containerdConfig, dir, socket), 0o600))
	if err != nil {
		return err
	}
	p, err := s.start(ts, "containerd", dir, nil, "containerd", "--config", config)
	if err != nil {
		return err
	}
	ts.Setenv("CONTAINERD_ADDRESS", socket)
	ts.Setenv("CONTAINERD_SNAPSHOTTER", "native")
	return p.await(func() (bool, error) { return ts.Exec("ctr", "version") == nil, nil })
}

// logged waits until a line of a file is as demanded: gates write their decisions a
// moment after they answer.
func logged(ts *testscript.TestScript, _ *scene, args []string) error {
	pattern, err := regexp.Compile("(?m)" + args[0])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var text string
	err = poll(ctx, func() (bool, error) {
		text = ts.ReadFile(args[1])
		return pattern.MatchString(text), nil
	})
	if err != nil {
		ts.Logf("[%s]\n%s", args[1], text)
	}
	return err
}

// hostsFile writes the hosts.toml of $REGISTRY below the folder hosts, as signet-guard
// config containerd prints it.
func hostsFile(ts *testscript.TestScript, _ *scene, args []string) error {
	registry := ts.Getenv("REGISTRY")
	if err := ts.Exec("signet-guard", append([]string{"config", "containerd", registry}, args...)...); err != nil {
		return err
	}
	dir := ts.MkAbs(filepath.Join("hosts", registry))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(ts.ReadFile("stdout")), 0o600)
}

// corrupt flips a byte of what the secure registry keeps under a digest.
func corrupt(ts *testscript.TestScript, _ *scene, args []string) error {
	hex := strings.TrimPrefix(args[0], "sha256:")
	file := filepath.Join(ts.MkAbs("registry"), "data/docker/registry/v2/blobs/sha256", hex[:2], hex, "data")
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	return os.WriteFile(file, data, 0o600)
}

// plugin calls plugins/10-images as containerd calls an image verifier plugin, and
// demands its exit status.
func plugin(ts *testscript.TestScript, s *scene, args []string) error {
	const descriptor = "application/vnd.oci.descriptor.v1+json"
	file := ts.MkAbs("stdin.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"mediaType":"application/vnd.oci.image.index.v1+json","digest":%q,"size":7}`, args[2]), 0o600); err != nil {
		return err
	}
	return exits(ts, s, []string{args[0], "sh", "-c", `exec plugins/10-images -name "$0" -digest "$1" -stdin-media-type ` + descriptor + ` <stdin.json`, args[1], args[2]})
}

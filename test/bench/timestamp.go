package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/signet-trust/signet/tuf"
)

// Bars of timestamp reads: half of what net/http itself can do, and what the
// peer's server takes for one.
const (
	barTimestampRatio = 0.5
	barTimestampCPU   = 0.69 // ms of server CPU a read
)

// floorCommand makes this program a bare net/http TLS handler that serves one
// file: what no server built on net/http can beat.
const floorCommand = "-serve-floor"

// serveFloor serves the file args[0] with certificate args[1] and key args[2],
// and prints its address.
func serveFloor(args []string) int {
	body, err := os.ReadFile(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	certificate, err := tls.LoadX509KeyPair(args[1], args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(listener.Addr())
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	})}
	go func() { // ends with its parent, which holds the other end
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	server.Serve(listener)
	return 0
}

// timestamp measures reads of one timestamp over kept TLS connections.
func (b *bench) timestamp() error {
	image, err := tuf.ParseImage(b.image)
	if err != nil {
		return err
	}
	address := b.url + "/tuf/" + image.Repository + "/timestamp.json"
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b.ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}, MaxIdleConnsPerHost: connections}
	body, err := get(transport, address)
	if err != nil {
		return err
	}
	file := filepath.Join(b.dir, "timestamp.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		return err
	}
	floor, floorAddress, stop, err := b.startFloor(file)
	if err != nil {
		return err
	}
	defer stop()
	rounds := max(b.rounds/3, 3)
	var ratios, ours, theirs []float64
	var cpu, floorCPU []time.Duration
	for range rounds {
		a, used, err := b.load(transport, address, b.server.Process.Pid)
		if err != nil {
			return err
		}
		c, floorUsed, err := b.load(transport, "https://"+floorAddress+"/", floor.Process.Pid)
		if err != nil {
			return err
		}
		ratios, ours, theirs = append(ratios, a/c), append(ours, a), append(theirs, c)
		cpu, floorCPU = append(cpu, used), append(floorCPU, floorUsed)
	}
	row("timestamp/reads-to-net-http", median(ratios), "x", barTimestampRatio, true)
	row("timestamp/server-cpu-a-read", ms(median(cpu)), "ms", barTimestampCPU, false)
	fmt.Printf("# timestamp reads: %s a second; bare net/http: %s a second, %.3f ms CPU a read; %d connections, the load on the same processors\n",
		number(median(ours)), number(median(theirs)), ms(median(floorCPU)), connections)
	return nil
}

// connections is how many the load keeps open.
const connections = 8

func (b *bench) startFloor(file string) (cmd *exec.Cmd, address string, stop func(), err error) {
	data := filepath.Join(b.dir, "signet-data")
	return b.startSelf(floorCommand, file, filepath.Join(data, "cert.pem"), filepath.Join(data, "key.pem"))
}

// startSelf starts this program as a server that prints its address, and ends with
// its standard input.
func (b *bench) startSelf(args ...string) (cmd *exec.Cmd, address string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", nil, err
	}
	cmd = exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", nil, err
	}
	address, err = bufio.NewReader(out).ReadString('\n')
	return cmd, strings.TrimSpace(address), func() { in.Close(); cmd.Wait() }, err
}

func get(transport http.RoundTripper, address string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", address, response.Status)
	}
	return body, err
}

// load reads address b.requests times and returns reads a second and the CPU
// time of process pid for one.
func (b *bench) load(transport http.RoundTripper, address string, pid int) (rate float64, cpu time.Duration, err error) {
	before, err := cpuOf(pid)
	if err != nil {
		return 0, 0, err
	}
	started := time.Now()
	errs := make(chan error, connections)
	var wait sync.WaitGroup
	for range connections {
		wait.Go(func() {
			for range b.requests / connections {
				if _, err := get(transport, address); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wait.Wait()
	took := time.Since(started)
	select {
	case err := <-errs:
		return 0, 0, err
	default:
	}
	after, err := cpuOf(pid)
	n := b.requests / connections * connections
	return float64(n) / took.Seconds(), (after - before) / time.Duration(n), err
}

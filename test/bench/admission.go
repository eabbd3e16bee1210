package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// barAdmission is how much longer a review may take than one by a webhook that lets
// everything pass.
const barAdmission = 1.5

// webhookCommand makes this program such a webhook, over TLS. At /empty it does the
// least that an API server takes for an answer: it echoes the uid of the review that it
// reads. At /bare it reads the body and no JSON, which no API server would take.
const webhookCommand = "-serve-webhook"

// pod is a review that kube-apiserver 1.35 sent (guard/kubernetes/testdata), with a
// second container.
//
//go:embed testdata/create-pod.json
var pod []byte

// serveWebhook serves with certificate args[0] and key args[1], and prints its address.
func serveWebhook(args []string) int {
	certificate, err := tls.LoadX509KeyPair(args[0], args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("https://" + listener.Addr().String())
	allow := func(w http.ResponseWriter, uid string) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":%q,"allowed":true}}`, uid)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/bare", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		allow(w, "bb838b90-2e94-4500-aece-008c70a692a0")
	})
	mux.HandleFunc("/empty", func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Request struct {
				UID string `json:"uid"`
			} `json:"request"`
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		allow(w, review.Request.UID)
	})
	go func() { // ends with its parent, which holds the other end
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	(&http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: mux}).Serve(listener)
	return 0
}

// admission measures signet-guard's admission webhooks beside an empty one, all over
// kept TLS connections, in turn, with reviews of pods of two images each.
func (b *bench) admission() error {
	images, err := b.deployed()
	if err != nil {
		return err
	}
	gate, gateAddress, err := b.startGate()
	if err != nil {
		return err
	}
	defer func() {
		if gate.Process.Signal(syscall.SIGTERM) == nil {
			gate.Wait()
		}
	}()
	data := filepath.Join(b.dir, "signet-data")
	floor, floorAddress, stop, err := b.startSelf(webhookCommand, filepath.Join(data, "cert.pem"), filepath.Join(data, "key.pem"))
	if err != nil {
		return err
	}
	defer stop()
	// As kube-apiserver does: HTTP/1.1, connections kept.
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b.ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}, MaxIdleConnsPerHost: connections}

	var pods, pinned [][]byte // one after another, the validating webhook sees what the mutating one wrote
	for i := range images {
		pods = append(pods, podOf(images[i], images[len(images)-1-i]))
		at := func(image string) string { return image + "@" + digestOfTag(image) }
		pinned = append(pinned, podOf(at(images[i]), at(images[len(images)-1-i])))
	}
	hooks := []*webhook{
		{name: "validate", address: gateAddress + "/kubernetes/validate?timeout=10s", bodies: pinned, pid: gate.Process.Pid},
		{name: "mutate", address: gateAddress + "/kubernetes/mutate?timeout=10s", bodies: pods, pid: gate.Process.Pid},
		{name: "empty", address: floorAddress + "/empty", bodies: pods, pid: floor.Process.Pid},
		{name: "bare", address: floorAddress + "/bare", bodies: pods, pid: floor.Process.Pid},
	}
	rounds := max(b.rounds/2, 3)
	for round := range 1 + rounds { // the first one warms all up
		for _, hook := range hooks {
			busy, cpu, err := hook.load(transport, connections, b.requests/4)
			if err != nil {
				return err
			}
			calm, _, err := hook.load(transport, 1, b.requests/10)
			if err != nil {
				return err
			}
			if round > 0 {
				hook.calm, hook.busy, hook.cpu = append(hook.calm, calm), append(hook.busy, busy), append(hook.cpu, cpu)
			}
		}
	}
	empty, bare := hooks[2], hooks[3]
	for _, hook := range hooks[:2] {
		row("admission/"+hook.name+"-to-empty", ratio(hook.calm, empty.calm), "x", barAdmission, false)
		row("admission/"+hook.name+"-busy-to-empty", ratio(hook.busy, empty.busy), "x", barAdmission, false)
	}
	for _, hook := range hooks {
		fmt.Printf("# %s: %.3f ms a review, %.3f ms with %d at once, %.3f ms CPU of its process; to one that reads no JSON %s x, %s x\n", hook.name, ms(median(hook.calm)),
			ms(median(hook.busy)), connections, ms(median(hook.cpu)), number(ratio(hook.calm, bare.calm)), number(ratio(hook.busy, bare.busy)))
	}
	return nil
}

// podOf is a review of a pod of two images.
func podOf(first, second string) []byte {
	return bytes.Replace(bytes.Replace(pod, []byte("IMAGE-0"), []byte(first), 1), []byte("IMAGE-1"), []byte(second), 1)
}

// digestOfTag is the digest that tags gave an image.
func digestOfTag(image string) string {
	_, tag, _ := strings.Cut(image, ":")
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(tag)))
}

// A webhook is one that is measured, with the figures of each round.
type webhook struct {
	name, address string
	bodies        [][]byte
	pid           int
	calm, busy    []time.Duration // for one review, one after another and several at once
	cpu           []time.Duration // of its process, for one review
}

// load sends n reviews, so many at once.
func (h *webhook) load(transport http.RoundTripper, atOnce, n int) (wall, cpu time.Duration, err error) {
	before, err := cpuOf(h.pid)
	if err != nil {
		return 0, 0, err
	}
	errs := make([]error, atOnce)
	var wait sync.WaitGroup
	began := time.Now()
	for i := range atOnce {
		wait.Go(func() {
			for k := i; k < n && errs[i] == nil; k += atOnce {
				errs[i] = review(transport, h.address, h.bodies[k%len(h.bodies)])
			}
		})
	}
	wait.Wait()
	wall = time.Since(began)
	after, err := cpuOf(h.pid)
	return wall / time.Duration(n), (after - before) / time.Duration(n), errors.Join(append(errs, err)...)
}

// review posts a review, which must pass.
func review(transport http.RoundTripper, address string, body []byte) error {
	request, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && !bytes.Contains(answer, []byte(`"allowed":true`)) {
		err = fmt.Errorf("POST %s: %s: %s", address, response.Status, answer)
	}
	return err
}

// startGate starts signet-guard with its webhooks open and the decision log in a file.
func (b *bench) startGate() (cmd *exec.Cmd, address string, err error) {
	dir := filepath.Join(b.dir, "gate")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(b.policy()), 0o600); err != nil {
		return nil, "", err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, "", err
	}
	defer log.Close()
	data := filepath.Join(b.dir, "signet-data")
	cmd = exec.Command(filepath.Join(b.bin, "signet-guard"), "serve", "--doors", "kubernetes", "--listen", "127.0.0.1:0", "--health-listen", "off",
		"--tls-cert", filepath.Join(data, "cert.pem"), "--tls-key", filepath.Join(data, "key.pem"), "--policy", "policy.yaml",
		"--decision-log", "decisions", "--rate-total", "-1", "--drain", "1ms", "--ready-file", "ready")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	printed, err := waitFor(filepath.Join(dir, "ready"), log.Name())
	var ready struct {
		URL string `json:"url"`
	}
	if err == nil {
		err = json.Unmarshal(printed, &ready)
	}
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("signet-guard: %w", err), cmd.Process.Kill(), cmd.Wait())
	}
	return cmd, ready.URL, nil
}

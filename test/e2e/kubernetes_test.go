package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// recordedApp is the repository whose images are in the reviews that a real API server
// sent; recorded is where those are.
const (
	recordedApp = "registry.example.com/team/app"
	recorded    = "../../guard/kubernetes/testdata"
)

// admit sends a recorded admission review to the gate's webhook over TLS, as the API
// server would, with $REGISTRY/team/app in the place of its repository and then OLD
// replaced by NEW, and demands the verdict. What the person at kubectl is told, and
// what the patch says, is its output.
func admit(ts *testscript.TestScript, s *scene, args []string) error {
	expected, path, pairs := args[0], args[1], args[3:]
	if len(pairs)%2 != 0 {
		return errors.New("admit: OLD without NEW")
	}
	body, err := os.ReadFile(filepath.Join(recorded, args[2]+".json"))
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(body), recordedApp, ts.Getenv("REGISTRY")+"/team/app")
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			return fmt.Errorf("%s does not contain %q", args[2], pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	client, err := webhookClient(ts)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	if wanted, wait := strings.CutPrefix(expected, "until-"); wait {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err := poll(ctx, func() (bool, error) {
			verdict, _, err := review(client, ts.Getenv("GUARD")+"/kubernetes/"+path, text)
			return verdict == wanted, err
		})
		if err != nil {
			return err
		}
		expected = wanted
	}
	verdict, said, err := review(client, ts.Getenv("GUARD")+"/kubernetes/"+path, text)
	if err != nil {
		return err
	}
	if verdict != expected {
		return fmt.Errorf("%s, expected %s: %s", verdict, expected, said)
	}
	_, err = io.WriteString(ts.Stdout(), said)
	return err
}

// webhookClient shows the certificate of $WORK/tls.pem, and trusts it.
func webhookClient(ts *testscript.TestScript) (*http.Client, error) {
	pair, err := tls.LoadX509KeyPair(ts.MkAbs("tls.pem"), ts.MkAbs("tls-key.pem"))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), Certificates: []tls.Certificate{pair}}
	config.RootCAs.AppendCertsFromPEM([]byte(ts.ReadFile("tls.pem")))
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}, Timeout: patience}, nil
}

// review asks a webhook, and returns "allowed" or "refused" and what is said.
func review(client *http.Client, url, body string) (verdict, said string, err error) {
	response, err := client.Post(url+"?timeout=10s", "application/json", strings.NewReader(body))
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return "", "", err
	}
	var sent struct{ Request struct{ UID string } }
	var answer struct {
		Response *struct {
			UID      string
			Allowed  bool
			Status   struct{ Message string }
			Patch    []byte
			Warnings []string
		}
	}
	if err := errors.Join(json.Unmarshal([]byte(body), &sent), json.NewDecoder(bytes.NewReader(data)).Decode(&answer)); err != nil {
		return "", "", fmt.Errorf("status %d: %s: %w", response.StatusCode, data, err)
	}
	if answer.Response == nil || answer.Response.UID != sent.Request.UID {
		return "", "", fmt.Errorf("status %d: no answer to this review: %s", response.StatusCode, data)
	}
	said = fmt.Sprintln(answer.Response.Status.Message) + fmt.Sprintln(string(answer.Response.Patch)) + fmt.Sprintln(strings.Join(answer.Response.Warnings, "\n"))
	if answer.Response.Allowed {
		return "allowed", said, nil
	}
	return "refused", said, nil
}

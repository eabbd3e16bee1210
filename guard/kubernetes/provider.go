package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/signet-trust/signet/guard/door"
)

const (
	// providerAPI is Gatekeeper's external data.
	providerAPI  = "externaldata.gatekeeper.sh/v1beta1"
	providerPath = "/kubernetes/provider"
)

// A providerResponse is ProviderResponse.
type providerResponse struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Response   providerBody `json:"response"`
}

type providerBody struct {
	// Idempotent is demanded for mutation: the answer to a pinned image is itself.
	Idempotent bool           `json:"idempotent"`
	Items      []providerItem `json:"items"`
	// SystemError says why there are no items.
	SystemError string `json:"systemError,omitempty"`
}

// A providerItem answers one key: the value, or an error.
type providerItem struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

// provide answers Gatekeeper. A key is an image; its value is the image pinned to its
// digest, which a mutation can write, or the image as it is where the policy lets it
// pass untrusted; its error says why it may not run.
func (d *Door) provide(ctx context.Context, who string, body map[string]any) (any, error) {
	if err := typed(body, providerAPI, "ProviderRequest"); err != nil {
		return nil, badRequest{http.StatusBadRequest, err}
	}
	request, err := demand[map[string]any](body, "request")
	if err != nil {
		return nil, badRequest{http.StatusBadRequest, err}
	}
	values, err := member[[]any](request, "keys")
	if err != nil {
		return nil, badRequest{http.StatusBadRequest, fmt.Errorf("request: %w", err)}
	}
	keys := make([]door.Question, len(values))
	for i, value := range values {
		key, ok := value.(string)
		if !ok {
			return nil, badRequest{http.StatusBadRequest, fmt.Errorf("request: keys: %d is not a string", i)}
		}
		keys[i] = about(key)
	}
	rulings := d.decide(ctx, door.Asker{Door: doorProvider, Who: who}, keys)
	response := &providerResponse{APIVersion: providerAPI, Kind: "ProviderResponse", Response: providerBody{Idempotent: true, Items: []providerItem{}}}
	for _, key := range keys {
		ruling, ok := rulings[key]
		if !ok {
			continue // answered already
		}
		delete(rulings, key)
		response.Response.Items = append(response.Response.Items, provided(key.Image, ruling))
	}
	return response, nil
}

// provided is the answer to one key.
func provided(key string, r ruling) providerItem {
	value := key
	if r.trusted() && !isPinned(key) {
		value, r.err = pinOf(key, r.decision.Digest)
	}
	if r.err != nil {
		return providerItem{Key: key, Error: fmt.Sprintf("%s; next: %s", why(r), next(r, key))}
	}
	return providerItem{Key: key, Value: value}
}

// refuseProvider tells Gatekeeper that its question gets no answer. It does not look
// at the status: any JSON without a systemError is to it a response that has no items
// and no errors, in which a constraint that looks for errors finds none.
func refuseProvider(w http.ResponseWriter, _ *http.Request, status int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(&providerResponse{APIVersion: providerAPI, Kind: "ProviderResponse", // whoever asked has gone
		Response: providerBody{Items: []providerItem{}, SystemError: "signet: " + reason}})
}

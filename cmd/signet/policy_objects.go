package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/imagefile"
	"github.com/signet-trust/signet/workload"
)

// A review is an AdmissionReview to ask about: one that a file holds, or the one that
// an API server would send of an object that is created.
type review struct {
	json   []byte
	passed string // KIND/NAME of an object that no gate is asked about; "" for others
}

// maxLists is how deep lists may stand in lists.
const maxLists = 4

// readReviews reads the Kubernetes objects and AdmissionReviews of a file.
func readReviews(file string) ([]review, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, imagefile.MaxBytes+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) > imagefile.MaxBytes {
		return nil, fmt.Errorf("%s has more than %d bytes", file, imagefile.MaxBytes)
	}
	var list []review
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var object map[string]any
		switch err := decoder.Decode(&object); {
		case errors.Is(err, io.EOF) && len(list) == 0:
			return nil, fmt.Errorf("%s holds no Kubernetes object", file)
		case errors.Is(err, io.EOF):
			return list, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", file, err)
		case object == nil:
			continue
		case text(object["apiVersion"]) == "" || text(object["kind"]) == "":
			return nil, fmt.Errorf("%s holds something else than Kubernetes objects: apiVersion and kind are missing", file)
		}
		switch reviews, err := reviewsOf(object, maxLists); {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", file, err)
		case text(object["kind"]) == reviewKind && json.Valid(data):
			list = append(list, review{json: data}) // as it was sent, and is read by a gate
		default:
			list = append(list, reviews...)
		}
	}
}

const reviewKind = "AdmissionReview"

// reviewsOf makes reviews of an object. The objects of a list are sent one by one.
func reviewsOf(object map[string]any, lists int) ([]review, error) {
	apiVersion, kind, metadata := text(object["apiVersion"]), text(object["kind"]), members(object["metadata"])
	of, isList := strings.CutSuffix(kind, "List")
	name := kind + "/" + text(metadata["name"])
	switch {
	case kind == reviewKind:
		data, err := json.Marshal(object)
		return []review{{json: data}}, err
	case !workload.Known(apiVersion, kind):
		return []review{{passed: name}}, nil
	case isList && lists == 0:
		return nil, fmt.Errorf("%s stands in more than %d lists", kind, maxLists)
	case isList:
		items, ok := object["items"].([]any)
		if !ok && object["items"] != nil {
			return nil, fmt.Errorf("the items of %s are no sequence", kind)
		}
		var all []review
		for i, item := range items {
			item := members(item)
			if item != nil && of != "" && item["apiVersion"] == nil && item["kind"] == nil {
				item["apiVersion"], item["kind"] = apiVersion, of // a PodList may leave it out
			}
			if text(item["apiVersion"]) == "" || text(item["kind"]) == "" {
				return nil, fmt.Errorf("item %d of %s is no Kubernetes object: apiVersion and kind are missing", i, kind)
			}
			reviews, err := reviewsOf(item, lists-1)
			if err != nil {
				return nil, err
			}
			all = append(all, reviews...)
		}
		return all, nil
	}
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "", apiVersion
	}
	namespace := text(metadata["namespace"])
	if namespace == "" {
		namespace = "default"
	}
	data, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": reviewKind, "request": map[string]any{
		"uid": "policy-test", "operation": "CREATE", "kind": map[string]any{"group": group, "version": version, "kind": kind},
		"name": text(metadata["name"]), "namespace": namespace, "object": object,
	}})
	return []review{{json: data}}, err
}

// members is a JSON object, or nil.
func members(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// text is a JSON string, or "".
func text(v any) string {
	s, _ := v.(string)
	return s
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/imagefile"
	"github.com/signet-trust/signet/policy"
	"github.com/signet-trust/signet/workload"
)

// policyAdmitted is what policy test prints of one image of a Kubernetes object.
type policyAdmitted struct {
	File      string `json:"file"`
	Object    string `json:"object"` // KIND/NAME
	Namespace string `json:"namespace"`
	Container string `json:"container,omitempty"`
	Pointer   string `json:"pointer"` // to the image in the object, RFC 6901
	Pinned    string `json:"pinned,omitempty"`
	*client.Decision
}

// policyPassed is what it prints of an object that is not looked at.
type policyPassed struct {
	File      string `json:"file"`
	Object    string `json:"object"`
	Namespace string `json:"namespace"`
	Passes    string `json:"passes"` // why
}

// admit decides on all images of the Kubernetes objects in a file.
func (a *app) admit(ctx context.Context, p *policy.Policy, engine *policy.Engine, file string) error {
	objects, err := readObjects(file)
	if err != nil {
		return err
	}
	var refused error
	for _, object := range objects {
		refused = errors.Join(refused, a.admitObject(ctx, p, engine, file, object))
	}
	return refused
}

// An admission is one object, and the namespace that it is to be in.
type admission struct {
	namespace string
	object    map[string]any
}

func (a *app) admitObject(ctx context.Context, p *policy.Policy, engine *policy.Engine, file string, asked admission) error {
	kind, metadata := text(asked.object["kind"]), members(asked.object["metadata"])
	name := kind + "/" + text(metadata["name"])
	if !workload.Known(text(asked.object["apiVersion"]), kind) {
		a.note("%s: %s is no kind that runs images, as far as is known: it is not looked at", file, clip(name, 200))
		return nil
	}
	passed := policyPassed{File: file, Object: name, Namespace: asked.namespace}
	annotations := map[string]string{}
	for key, value := range members(metadata["annotations"]) {
		annotations[key] = text(value)
	}
	k := p.Kubernetes()
	if reason, ok := k.BreakGlass(asked.namespace, annotations); ok {
		passed.Passes = "break-glass: " + reason
	}
	if k.Exempt(asked.namespace) {
		passed.Passes = "the namespace is exempt"
	}
	if passed.Passes != "" {
		return a.print(passed, func(w io.Writer) {
			fmt.Fprintf(w, "passes %s in %s: %s\n", passed.Object, passed.Namespace, passed.Passes)
		})
	}
	images, err := workload.Images(asked.object)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", file, clip(name, 200), err)
	}
	var refused error
	for _, image := range images {
		decision, err := engine.Decide(ctx, policy.Question{Image: image.Value})
		refused = errors.Join(refused, err)
		admitted := policyAdmitted{File: file, Object: name, Namespace: asked.namespace, Container: image.Container, Pointer: image.Pointer, Decision: decision}
		if decision.Trusted && k.Rewrites(asked.namespace, kind, image.Container) {
			admitted.Pinned = image.Value
			if asked, _, _ := bytes.Cut([]byte(image.Value), []byte("@")); len(asked) == len(image.Value) {
				admitted.Pinned += "@" + decision.Digest
			}
		}
		where := fmt.Sprintf("%s in %s, %s: ", name, asked.namespace, image.Container)
		if err := a.printRuled(admitted, decision, where, err); err != nil {
			return errors.Join(refused, err)
		}
	}
	return refused
}

// readObjects reads the Kubernetes objects of a manifest, or the one of an
// AdmissionReview.
func readObjects(file string) ([]admission, error) {
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
	var list []admission
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
		one := admission{object: object}
		if text(object["kind"]) == "AdmissionReview" {
			request := members(object["request"])
			one = admission{namespace: text(request["namespace"]), object: members(request["object"])}
			if len(one.object) == 0 {
				return nil, fmt.Errorf("%s: the AdmissionReview has no request with an object", file)
			}
		}
		if one.namespace == "" {
			one.namespace = text(members(one.object["metadata"])["namespace"])
		}
		if one.namespace == "" {
			one.namespace = "default"
		}
		list = append(list, one)
	}
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

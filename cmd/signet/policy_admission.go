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
	pass := func(why string) error {
		passed.Passes = why
		return a.print(passed, func(w io.Writer) {
			fmt.Fprintf(w, "passes %s in %s: %s\n", clip(passed.Object, 200), clip(passed.Namespace, 200), clip(passed.Passes, maxSentence))
		})
	}
	k := p.Kubernetes()
	if k.Exempt(asked.namespace) {
		return pass("the namespace is exempt")
	}
	images, err := workload.Images(asked.object)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", file, clip(name, 200), err)
	}
	var refused error
	for _, image := range images {
		decision, err := engine.Decide(ctx, policy.Question{Image: image.Value})
		err = ofObject(decision, image, name, file, err)
		refused = errors.Join(refused, err)
		admitted := policyAdmitted{File: file, Object: name, Namespace: asked.namespace, Container: image.Container, Pointer: image.Pointer, Decision: decision}
		if decision.Trusted && k.Rewrites(asked.namespace, kind, image.Container) {
			admitted.Pinned = image.Value
			if asked, _, _ := bytes.Cut([]byte(image.Value), []byte("@")); len(asked) == len(image.Value) {
				admitted.Pinned += "@" + decision.Digest
			}
		}
		where := fmt.Sprintf("%s in %s, %s: ", clip(name, 200), clip(asked.namespace, 200), clip(image.Container, 200))
		if err := a.printRuled(admitted, decision, where, admitted.Pinned, err); err != nil {
			return errors.Join(refused, err)
		}
	}
	if reason, ok := k.BreakGlass(asked.namespace, annotationsOf(asked.object, images)); ok && refused != nil {
		return pass("although it is refused, by break-glass: " + reason)
	}
	return refused
}

// annotationsOf are an object's own, and those of the pods that it makes.
func annotationsOf(object map[string]any, images []workload.Image) map[string]string {
	all := map[string]string{}
	add := func(holder map[string]any) {
		for name, value := range members(members(holder["metadata"])["annotations"]) {
			all[name] = text(value)
		}
	}
	for _, image := range images {
		if image.Kind != workload.KindContainer {
			continue
		}
		holder := object // the image is at spec/containers/N/image of it
		for _, step := range image.Key[:len(image.Key)-4] {
			holder = members(holder[step])
		}
		add(holder)
	}
	add(object)
	return all
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

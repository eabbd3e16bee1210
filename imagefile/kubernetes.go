package imagefile

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/workload"
)

// readKubernetes reads manifests: every object of each document. Objects that run
// nothing are passed over; of a kind that nobody here knows, a field that looks like
// an image's is a Problem.
func readKubernetes(data []byte) ([]Use, error) {
	docs, err := documents(data)
	if err != nil {
		return nil, err
	}
	var uses []Use
	for _, doc := range docs {
		if doc.Kind == yaml.ScalarNode && doc.ShortTag() == "!!null" {
			continue // nothing between two "---"
		}
		found, err := readObject(data, doc)
		if err != nil {
			return nil, err
		}
		uses = append(uses, found...)
	}
	return finish(uses), nil
}

// readObject reads one object, and those of a list one by one.
func readObject(data []byte, doc *yaml.Node) ([]Use, error) {
	version, kind := get(doc, "apiVersion"), get(doc, "kind")
	if !isText(version) || !isText(kind) || version.Value == "" || kind.Value == "" {
		return nil, fmt.Errorf("line %d: the document is no Kubernetes object: it has no apiVersion and kind", doc.Line)
	}
	if items := get(doc, "items"); items != nil && strings.HasSuffix(kind.Value, "List") {
		if items.Kind != yaml.SequenceNode {
			return nil, fmt.Errorf("line %d: the items of the %s are no list", items.Line, oneLine(kind.Value))
		}
		var uses []Use
		for _, item := range items.Content {
			found, err := readObject(data, resolved(item))
			if err != nil {
				return nil, err
			}
			uses = append(uses, found...)
		}
		return uses, nil
	}
	what := oneLine(kind.Value)
	if metadata := get(doc, "metadata"); metadata != nil {
		for _, key := range []string{"name", "generateName"} {
			if name := get(metadata, key); name != nil && name.Value != "" {
				what += "/" + oneLine(name.Value)
				break
			}
		}
	}
	if !workload.Known(version.Value, kind.Value) {
		return unknown(doc, version.Value, what), nil
	}
	var object map[string]any
	if err := doc.Decode(&object); err != nil {
		return nil, yamlTrouble(err)
	}
	images, err := workload.Images(object)
	if err != nil {
		return nil, fmt.Errorf("line %d: %s: %w", doc.Line, what, err)
	}
	var uses []Use
	for _, image := range images {
		node := at(doc, image.Key)
		if node == nil {
			return nil, fmt.Errorf("line %d: %s: %s is not to be found", doc.Line, what, image.Pointer)
		}
		uses = append(uses, use(data, node, fmt.Sprintf("%s: %s %s", what, image.Kind, oneLine(image.Container))))
	}
	return uses, nil
}

// at follows a path of keys and indices.
func at(n *yaml.Node, path []string) *yaml.Node {
	for _, key := range path {
		n = resolved(n)
		if n == nil {
			return nil
		}
		if n.Kind != yaml.SequenceNode {
			n = get(n, key)
			continue
		}
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(n.Content) {
			return nil
		}
		n = n.Content[i]
	}
	return resolved(n)
}

// unknown looks for what may be images in an object of a kind that runs nothing, as
// far as is known here.
func unknown(doc *yaml.Node, version, what string) []Use {
	group, _, grouped := strings.Cut(version, "/")
	// Kubernetes' own groups have no dot, or end in k8s.io. A ConfigMap's key "image" is
	// no image, whereas a template that holds containers would be.
	builtin := !grouped || !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
	var uses []Use
	var look func(n *yaml.Node, path string, depth int)
	look = func(n *yaml.Node, path string, depth int) {
		n = resolved(n)
		if n == nil || depth > 100 {
			return
		}
		if n.Kind == yaml.SequenceNode {
			for i, item := range n.Content {
				look(item, path+"/"+strconv.Itoa(i), depth+1)
			}
			return
		}
		for _, key := range keys(n) {
			value := get(n, key)
			if suspect(key, value, builtin) {
				uses = append(uses, Use{Line: value.Line, What: what, Value: oneLine(value.Value),
					Problem: fmt.Sprintf("objects of %s are not known here, and %s/%s looks like an image's place", oneLine(version), path, oneLine(key)),
					Advice:  "verify that image by its reference"})
				continue
			}
			look(value, path+"/"+oneLine(key), depth+1)
		}
	}
	look(doc, "", 0)
	return uses
}

// suspect tells whether a field may name images.
func suspect(key string, value *yaml.Node, builtin bool) bool {
	switch strings.ToLower(key) {
	case "containers", "initcontainers", "ephemeralcontainers":
		return value.Kind == yaml.SequenceNode && len(value.Content) > 0
	}
	if builtin {
		return false
	}
	lower := strings.ToLower(key)
	return strings.HasSuffix(lower, "image") && (value.Kind != yaml.ScalarNode || value.Value != "" && value.ShortTag() == "!!str")
}

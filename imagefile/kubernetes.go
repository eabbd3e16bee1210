package imagefile

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/signet-trust/signet/workload"
)

// readKubernetes reads manifests: every object of each document. Objects that run
// nothing are passed over; of a kind that nobody here knows, a field that looks like
// an image's is a Problem.
func readKubernetes(data []byte) ([]Use, error) {
	if err := checkSeparators(data); err != nil {
		return nil, err
	}
	docs, err := documents(data)
	if err != nil {
		return nil, err
	}
	var uses []Use
	for _, doc := range docs {
		if err := checkMerges(doc); err != nil {
			return nil, err
		}
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

// checkSeparators refuses a line that kubectl takes for the end of a document and YAML
// does not, such as "---#x: 1": what follows would be an object of its own to kubectl.
func checkSeparators(data []byte) error {
	for number, line := range bytes.Split(data, []byte("\n")) {
		rest, ok := bytes.CutPrefix(line, []byte("---"))
		if ok && len(rest) > 0 && !bytes.ContainsAny(rest[:1], " \t\r") {
			return fmt.Errorf("line %d: readers differ on whether %q ends a document: write --- alone", number+1, oneLine(string(line)))
		}
	}
	return nil
}

// checkMerges refuses a key that stands ahead of a merge ("<<") which brings it as
// well: kubectl takes the merged one then, and other readers the one that stands there.
// documents has followed all aliases before, so there is no end to miss.
func checkMerges(n *yaml.Node) error {
	n = resolved(n)
	if n.Kind == yaml.MappingNode {
		ahead := map[string]bool{}
		for i := 0; i < len(n.Content); i += 2 {
			if !isMerge(n.Content[i]) {
				ahead[n.Content[i].Value] = true
				continue
			}
			for _, key := range keys(n.Content[i+1]) {
				if ahead[key] {
					return fmt.Errorf("line %d: readers differ on which %q counts, the one that is merged here or the one ahead of it: put << first", n.Content[i].Line, oneLine(key))
				}
			}
		}
	}
	for _, child := range n.Content {
		if err := checkMerges(child); err != nil {
			return err
		}
	}
	return nil
}

// readObject reads one object, and those of a list one by one.
func readObject(data []byte, doc *yaml.Node) ([]Use, error) {
	version, kind := get(doc, "apiVersion"), get(doc, "kind")
	if !isText(version) || !isText(kind) || version.Value == "" || kind.Value == "" {
		return nil, fmt.Errorf("line %d: the document is no Kubernetes object: it has no apiVersion and kind", doc.Line)
	}
	var uses []Use
	isList := strings.HasSuffix(kind.Value, "List")
	// To kubectl, whatever has items is a list of objects, of whatever kind it says it is.
	if items := get(doc, "items"); items != nil && (isList || items.Kind == yaml.SequenceNode) {
		if items.Kind != yaml.SequenceNode {
			return nil, fmt.Errorf("line %d: the items of the %s are no list", items.Line, oneLine(kind.Value))
		}
		for _, item := range items.Content {
			found, err := readObject(data, resolved(item))
			if err != nil {
				return nil, err
			}
			uses = append(uses, found...)
		}
		if isList {
			return uses, nil
		}
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
		return append(uses, unknown(doc, version.Value, what)...), nil
	}
	var object map[string]any
	if err := doc.Decode(&object); err != nil {
		return nil, yamlTrouble(err)
	}
	images, err := workload.Images(object)
	if err != nil {
		return nil, fmt.Errorf("line %d: %s: %w", doc.Line, what, err)
	}
	for _, image := range images {
		node := at(doc, image.Key)
		if node == nil || node.Value != image.Value {
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

// imageKeys are how names of fields end, in lower case, that hold an image.
var imageKeys = []string{"image", "imagename", "imageref", "imagereference", "imageurl", "imageuri"}

// suspect tells whether a field may name images.
func suspect(key string, value *yaml.Node, builtin bool) bool {
	switch strings.ToLower(key) {
	case "containers", "initcontainers", "ephemeralcontainers":
		return value.Kind == yaml.SequenceNode && len(value.Content) > 0
	}
	if builtin || value.Kind == yaml.ScalarNode && (value.Value == "" || value.ShortTag() == "!!null") {
		return false
	}
	lower := strings.ToLower(key)
	return lower == "images" || slices.ContainsFunc(imageKeys, func(end string) bool { return strings.HasSuffix(lower, end) }) && value.ShortTag() != "!!bool" && value.ShortTag() != "!!int"
}

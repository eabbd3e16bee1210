package workload

import (
	"fmt"
	"strconv"
	"strings"
)

// A Kind says what an image is to its pod.
type Kind string

// The kinds.
const (
	KindInit      Kind = "init"      // of initContainers
	KindContainer Kind = "container" // of containers
	KindEphemeral Kind = "ephemeral" // of ephemeralContainers, added to a running pod
	KindVolume    Kind = "volume"    // an image mounted as a volume
)

// An Image is one place of an object that names an image.
type Image struct {
	Pointer   string   // RFC 6901, to the string that names the image: /spec/containers/0/image
	Key       []string // the same, step by step
	Kind      Kind
	Container string // name of the container, or of the volume
	Value     string // as it is written
}

// A ShapeError is an object that is not of the shape that its kind says.
type ShapeError struct {
	Pointer string // RFC 6901; "" is the object itself
	Problem string
}

// Error says where and what.
func (e *ShapeError) Error() string {
	if e.Pointer == "" {
		return "the object " + e.Problem
	}
	return e.Pointer + " " + e.Problem
}

// specs says where each kind keeps a pod's specification, by API group: a version
// that is not known yet is one whose shape has to prove itself.
var specs = map[string]map[string][]string{
	"": {
		"Pod":                   {"spec"},
		"PodTemplate":           {"template", "spec"},
		"ReplicationController": {"spec", "template", "spec"},
	},
	"apps": {
		"ReplicaSet":  {"spec", "template", "spec"},
		"Deployment":  {"spec", "template", "spec"},
		"StatefulSet": {"spec", "template", "spec"},
		"DaemonSet":   {"spec", "template", "spec"},
	},
	"batch": {
		"Job":     {"spec", "template", "spec"},
		"CronJob": {"spec", "jobTemplate", "spec", "template", "spec"},
	},
	"extensions": {
		"ReplicaSet": {"spec", "template", "spec"},
		"Deployment": {"spec", "template", "spec"},
		"DaemonSet":  {"spec", "template", "spec"},
	},
}

// maxDepth is how deep lists may stand in lists.
const maxDepth = 4

// Known tells whether objects of this kind are looked into.
func Known(apiVersion, kind string) bool {
	return isList(apiVersion, kind) || specOf(apiVersion, kind) != nil
}

// specOf is where a kind keeps a pod's specification, or nil.
func specOf(apiVersion, kind string) []string { return specs[groupOf(apiVersion)][kind] }

// groupOf is the API group: "" for "v1", "apps" for "apps/v1".
func groupOf(apiVersion string) string {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	if group == "" {
		return "/" // no group: "/v1" is not "v1"
	}
	return group
}

// isList tells whether a kind is a list of objects that are looked into.
func isList(apiVersion, kind string) bool {
	if kind == "List" {
		return groupOf(apiVersion) == ""
	}
	of, ok := strings.CutSuffix(kind, "List")
	return ok && specOf(apiVersion, of) != nil
}

// Images finds the images of an object, given as encoding/json or a YAML reader
// gives it, in the order in which a pod runs them. Of a kind that is not Known
// there are none. Its error is a *ShapeError.
func Images(object map[string]any) ([]Image, error) {
	var found []Image
	err := images(place{value: object}, "", "", 0, &found)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// images appends those of one object. An item of a PodList may leave its own
// apiVersion and kind out, as API servers do: then it is what its list says.
func images(object place, apiVersion, kind string, depth int, found *[]Image) error {
	fields, err := object.mapping()
	if err != nil {
		return err
	}
	if fields["apiVersion"] != nil || fields["kind"] != nil || kind == "" {
		if apiVersion, err = object.field(fields, "apiVersion").text(); err != nil {
			return err
		}
		if kind, err = object.field(fields, "kind").text(); err != nil {
			return err
		}
	}
	if isList(apiVersion, kind) {
		return items(object, fields, apiVersion, kind, depth, found)
	}
	path := specOf(apiVersion, kind)
	if path == nil {
		return nil
	}
	spec := object
	for _, name := range path {
		if fields, err = spec.mapping(); err != nil {
			return err
		}
		spec = spec.field(fields, name)
	}
	return podImages(spec, len(path) > 1, found)
}

// items appends the images of a list's objects.
func items(list place, fields map[string]any, apiVersion, kind string, depth int, found *[]Image) error {
	if depth >= maxDepth {
		return list.problem("stands in more than %d lists", maxDepth)
	}
	// What "kubectl get" prints when there is nothing: an empty list is no error here.
	objects, err := list.field(fields, "items").sequence()
	if err != nil {
		return err
	}
	of, _ := strings.CutSuffix(kind, "List") // "" for List, whose items say what they are
	for _, object := range objects {
		if err := images(object, apiVersion, of, depth+1, found); err != nil {
			return err
		}
	}
	return nil
}

// podImages appends the images of a pod's specification. A volume may leave its image
// out in a template: something has to write it into the pods, which are looked at.
func podImages(spec place, template bool, found *[]Image) error {
	fields, err := spec.mapping()
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, list := range []struct {
		field string
		kind  Kind
	}{
		{"initContainers", KindInit},
		{"containers", KindContainer},
		{"ephemeralContainers", KindEphemeral},
	} {
		containers, err := spec.field(fields, list.field).sequence()
		if err != nil {
			return err
		}
		if list.kind == KindContainer && len(containers) == 0 {
			return spec.field(fields, list.field).problem("is missing or empty: a pod has at least one container")
		}
		for _, container := range containers {
			if err := imageOf(container, container, list.kind, "image", names, found); err != nil {
				return err
			}
		}
	}
	volumes, err := spec.field(fields, "volumes").sequence()
	if err != nil {
		return err
	}
	names = map[string]bool{}
	for _, volume := range volumes {
		fields, err := volume.mapping()
		if err != nil {
			return err
		}
		source := volume.field(fields, "image")
		if source.value == nil {
			continue // a volume of another kind
		}
		if of, err := source.mapping(); err == nil && template && (of["reference"] == nil || of["reference"] == "") {
			continue
		}
		if err := imageOf(volume, source, KindVolume, "reference", names, found); err != nil {
			return err
		}
	}
	return nil
}

// imageOf appends the image that holder names in field. A name that stands twice
// would make "the same container as before" mean two things.
func imageOf(named, holder place, kind Kind, field string, names map[string]bool, found *[]Image) error {
	fields, err := named.mapping()
	if err != nil {
		return err
	}
	name, err := named.field(fields, "name").text()
	if err != nil {
		return err
	}
	if names[name] {
		return named.field(fields, "name").problem("is %q, which another one has, too", name)
	}
	names[name] = true
	if fields, err = holder.mapping(); err != nil {
		return err
	}
	image := holder.field(fields, field)
	value, err := image.text()
	if err != nil {
		return err
	}
	*found = append(*found, Image{Pointer: image.pointer(), Key: image.key, Kind: kind, Container: name, Value: value})
	return nil
}

// A place is a value inside an object. A null is a value that is not there, as it
// is for Kubernetes.
type place struct {
	key   []string
	value any
}

// field is the place of a member of this place, whose members fields are.
func (p place) field(fields map[string]any, name string) place {
	return place{append(p.key[:len(p.key):len(p.key)], name), fields[name]}
}

// mapping demands a mapping.
func (p place) mapping() (map[string]any, error) {
	fields, ok := p.value.(map[string]any)
	if !ok || fields == nil {
		return nil, p.unexpected("a mapping")
	}
	return fields, nil
}

// sequence demands a sequence, or nothing.
func (p place) sequence() ([]place, error) {
	if p.value == nil {
		return nil, nil
	}
	values, ok := p.value.([]any)
	if !ok {
		return nil, p.unexpected("a sequence")
	}
	places := make([]place, len(values))
	for i, value := range values {
		places[i] = place{append(p.key[:len(p.key):len(p.key)], strconv.Itoa(i)), value}
	}
	return places, nil
}

// text demands a string that is not empty.
func (p place) text() (string, error) {
	text, ok := p.value.(string)
	if !ok {
		return "", p.unexpected("a string")
	}
	if text == "" {
		return "", p.problem("is empty")
	}
	return text, nil
}

// pointer is RFC 6901. No step of ours has a character that it escapes.
func (p place) pointer() string {
	if len(p.key) == 0 {
		return ""
	}
	return "/" + strings.Join(p.key, "/")
}

func (p place) problem(format string, args ...any) error {
	return &ShapeError{Pointer: p.pointer(), Problem: fmt.Sprintf(format, args...)}
}

// unexpected says what was expected, and what is there in the words of JSON.
func (p place) unexpected(expected string) error {
	switch p.value.(type) {
	case nil:
		return p.problem("is missing: expected %s", expected)
	case map[string]any:
		return p.problem("is a mapping: expected %s", expected)
	case []any:
		return p.problem("is a sequence: expected %s", expected)
	case string:
		return p.problem("is a string: expected %s", expected)
	case bool:
		return p.problem("is a boolean: expected %s", expected)
	}
	return p.problem("is a %T: expected %s", p.value, expected)
}

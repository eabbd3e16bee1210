package imagefile

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readCompose reads a file of the compose specification: services.*.image, and
// volumes of the type image.
func readCompose(data []byte, options Options) ([]Use, error) {
	docs, err := documents(data)
	if err != nil {
		return nil, err
	}
	if len(docs) != 1 {
		return nil, fmt.Errorf("a compose file is one YAML document, and this has %d", len(docs))
	}
	top := docs[0]
	services := get(top, "services")
	if services == nil || services.Kind != yaml.MappingNode {
		return nil, errors.New("there are no services in it")
	}
	c := composeReader{data: data, options: options}
	if include := get(top, "include"); include != nil {
		c.trouble(include, "include", "further files are included, which are not looked at here", "give what `docker compose config` prints")
	}
	if models := get(top, "models"); models != nil && len(keys(models)) > 0 {
		c.trouble(models, "models", "models are artifacts of a registry, which are not looked at here", "verify each by its own reference")
	}
	for _, name := range keys(services) {
		c.service("services."+name, get(services, name))
	}
	return finish(c.uses), nil
}

type composeReader struct {
	data    []byte
	options Options
	uses    []Use
}

func (c *composeReader) trouble(at *yaml.Node, what, problem, advice string) {
	c.uses = append(c.uses, Use{Line: at.Line, What: what, Problem: problem, Advice: advice})
}

func (c *composeReader) service(what string, service *yaml.Node) {
	if service.Kind != yaml.MappingNode {
		c.trouble(service, what, "the service is no mapping", "look at its indentation")
		return
	}
	image, build := get(service, "image"), get(service, "build")
	built := false
	switch {
	case build != nil && c.options.SkipBuilds:
		// With an image beside it, compose pulls that first, and builds if there is none.
		policy := get(service, "pull_policy")
		built = image == nil || policy != nil && policy.Value == "build"
	case build != nil:
		c.trouble(build, what, "it is built here rather than pulled", "verify its Dockerfile with -f, and leave it out of this file's check with --skip-builds")
		built = true
	}
	extends := get(service, "extends")
	if extends != nil && get(extends, "file") != nil {
		c.trouble(extends, what, "it extends a service of another file, which is not looked at here", "give what `docker compose config` prints")
	}
	switch {
	case built:
	case image != nil:
		c.image(image, what)
	case extends != nil: // a service of this file, which is looked at itself
	case get(service, "provider") != nil: // runs no container
	default:
		c.trouble(service, what, "it has neither image nor build", "give what `docker compose config` prints, if other files complete it")
	}
	volumes := get(service, "volumes")
	if volumes == nil || volumes.Kind != yaml.SequenceNode {
		return
	}
	for _, volume := range volumes.Content {
		kind := get(volume, "type")
		if kind != nil && strings.Contains(kind.Value, "$") {
			c.trouble(kind, what+".volumes", "the type of a volume depends on variables, and may be image", "give what `docker compose config` prints")
			continue
		}
		if kind == nil || kind.Value != "image" {
			continue
		}
		if source := get(volume, "source"); source != nil {
			c.image(source, what+".volumes")
		} else {
			c.trouble(resolved(volume), what+".volumes", "a volume of the type image has no source", "write the image as its source")
		}
	}
}

func (c *composeReader) image(n *yaml.Node, what string) {
	u := use(c.data, n, what)
	if strings.Contains(u.Value, "$") {
		u.Image, u.Problem, u.Advice = "", "the image depends on variables", "give what `docker compose config` prints: docker compose config | signet verify -f -"
	}
	c.uses = append(c.uses, u)
}

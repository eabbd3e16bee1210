package imagefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds a YAML document with its aliases followed: a small file can else
// stand for an enormous one.
const maxNodes = 1 << 20

// maxKeys bounds a mapping.
const maxKeys = 10000

// documents reads YAML, or JSON, which is YAML as well.
func documents(data []byte) ([]*yaml.Node, error) {
	var docs []*yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, yamlTrouble(err)
		}
		if len(doc.Content) != 1 {
			continue
		}
		nodes := 0
		if err := checkYAML(doc.Content[0], 0, &nodes); err != nil {
			return nil, err
		}
		docs = append(docs, doc.Content[0])
	}
}

func yamlTrouble(err error) error {
	return errors.New("it is not YAML: " + oneLine(strings.TrimPrefix(err.Error(), "yaml: ")))
}

// checkYAML refuses keys that stand twice, of which readers take one or the other,
// and documents that aliases blow up.
func checkYAML(n *yaml.Node, depth int, nodes *int) error {
	if *nodes++; *nodes > maxNodes || depth > 100 {
		return fmt.Errorf("line %d: the document is too deep or too large once its aliases are followed", n.Line)
	}
	if n.Kind == yaml.AliasNode {
		return checkYAML(n.Alias, depth+1, nodes)
	}
	if n.Kind == yaml.MappingNode {
		if len(n.Content) > 2*maxKeys {
			return fmt.Errorf("line %d: more than %d keys", n.Line, maxKeys)
		}
		seen := map[string]bool{}
		for i := 0; i < len(n.Content); i += 2 {
			key := n.Content[i]
			switch {
			case key.Kind != yaml.ScalarNode:
				return fmt.Errorf("line %d: a key that is not a word", key.Line)
			case key.Style&yaml.TaggedStyle != 0: // !!binary aW1hZ2U= is "image"
				return fmt.Errorf("line %d: a key with a tag", key.Line)
			case seen[key.Value]:
				return fmt.Errorf("line %d: %q stands twice", key.Line, oneLine(key.Value))
			}
			seen[key.Value] = true
		}
	}
	for _, child := range n.Content {
		if err := checkYAML(child, depth+1, nodes); err != nil {
			return err
		}
	}
	return nil
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && (key.Tag == "" || key.Tag == "!" || key.Tag == "!!merge")
}

// resolved follows an alias.
func resolved(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// get returns the value of a key of a mapping, through merges ("<<"), or nil. The
// mapping's own keys go before merged ones, and earlier merges before later ones.
func get(n *yaml.Node, key string) *yaml.Node {
	n = resolved(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.Value == key && !isMerge(k) {
			return resolved(n.Content[i+1])
		}
	}
	for i := 0; i < len(n.Content); i += 2 {
		if !isMerge(n.Content[i]) {
			continue
		}
		merged := resolved(n.Content[i+1])
		sources := []*yaml.Node{merged}
		if merged.Kind == yaml.SequenceNode {
			sources = merged.Content
		}
		for _, source := range sources {
			if v := get(source, key); v != nil {
				return v
			}
		}
	}
	return nil
}

// keys lists the keys of a mapping, merged ones too, each once.
func keys(n *yaml.Node) []string {
	var list []string
	seen := map[string]bool{}
	var add func(n *yaml.Node)
	add = func(n *yaml.Node) {
		n = resolved(n)
		if n == nil {
			return
		}
		if n.Kind == yaml.SequenceNode {
			for _, source := range n.Content {
				add(source)
			}
			return
		}
		if n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i < len(n.Content); i += 2 {
			if isMerge(n.Content[i]) {
				add(n.Content[i+1])
			} else if k := n.Content[i].Value; !seen[k] {
				seen[k] = true
				list = append(list, k)
			}
		}
	}
	add(n)
	return list
}

// isText tells whether a scalar is a string, for YAML 1.1's and 1.2's readers alike.
func isText(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str"
}

// place finds where a scalar's text stands in the source; zero when it does not
// stand there as it is, as in a block or with escapes.
func place(data []byte, n *yaml.Node) span {
	if n.Kind != yaml.ScalarNode || n.Line < 1 || n.Column < 1 {
		return span{}
	}
	at := 0
	for line := 1; line < n.Line; line++ {
		i := bytes.IndexByte(data[at:], '\n')
		if i < 0 {
			return span{}
		}
		at += i + 1
	}
	for column := 1; column < n.Column; column++ { // columns count characters
		if at >= len(data) || data[at] == '\n' {
			return span{}
		}
		_, size := utf8.DecodeRune(data[at:])
		at += size
	}
	// A tag or an anchor before the scalar counts as a part of it.
	for at < len(data) && (data[at] == '&' || data[at] == '!') {
		i := bytes.IndexAny(data[at:], " \t\n")
		if i < 0 || data[at+i] == '\n' {
			return span{}
		}
		for at += i; at < len(data) && (data[at] == ' ' || data[at] == '\t'); at++ {
		}
	}
	quote := ""
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		quote = `"`
	case n.Style&yaml.SingleQuotedStyle != 0:
		quote = `'`
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return span{}
	}
	if !bytes.HasPrefix(data[at:], []byte(quote+n.Value+quote)) {
		return span{}
	}
	at += len(quote)
	return span{at, at + len(n.Value)}
}

// use returns the Use of a scalar that holds a reference.
func use(data []byte, n *yaml.Node, what string) Use {
	if n.Kind != yaml.ScalarNode {
		return Use{Line: n.Line, What: what, Problem: "the image is no text", Advice: "write a reference, such as registry.example.com/team/app:1.0"}
	}
	u := Use{Line: n.Line, What: what, Value: n.Value, Image: n.Value, at: place(data, n)}
	switch {
	case n.Value == "" || n.ShortTag() == "!!null":
		u.Image, u.Problem, u.Advice = "", "the image is empty", "write a reference, such as registry.example.com/team/app:1.0"
	case !isText(n): // a number, or what a tag makes of it, such as !!binary
		u.Image, u.Problem, u.Advice = "", "the image is no plain text", "write a reference, in quotes if it looks like a number"
	}
	return u
}

// detectYAML tells what YAML documents are, or "".
func detectYAML(docs []*yaml.Node) Format {
	for _, doc := range docs {
		switch {
		case get(doc, "apiVersion") != nil && get(doc, "kind") != nil:
			return FormatKubernetes
		case len(docs) == 1 && resolved(get(doc, "services")) != nil && resolved(get(doc, "services")).Kind == yaml.MappingNode:
			return FormatCompose
		}
	}
	return ""
}

package kubernetes

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/signet-trust/signet/tuf"
)

// errUnpinned is an image that should have its digest by the time that validating
// webhooks are asked.
var errUnpinned = errors.New("the policy pins this image to its digest, and it came without one: the mutating webhook is not registered for it, or another webhook took the digest away")

// pinOf is an image as it was written, with the digest that it means. A missing tag is
// written out: without one, the digest would be trusted under any tag.
func pinOf(image, digest string) (string, error) {
	if err := tuf.CheckDigest(digest); err != nil {
		return "", err
	}
	if strings.LastIndexByte(image, ':') <= strings.LastIndexByte(image, '/') {
		image += ":latest"
	}
	return image + "@" + digest, nil
}

// isPinOf tells whether pinned is what pinOf makes of image.
func isPinOf(pinned, image string) bool {
	_, digest, ok := strings.Cut(pinned, "@")
	if !ok || isPinned(image) {
		return false
	}
	expected, err := pinOf(image, digest)
	return err == nil && expected == pinned
}

// repin is for a manifest that is applied again, whose pinned digest is no longer
// trusted: it goes on to what the tag means now or, since it changes nothing, it
// stays as it is.
func (f *finding) repin(tag ruling) {
	if tag.trusted() {
		if pinned, err := pinOf(f.image.Value, tag.decision.Digest); err == nil {
			f.ruling, f.pinned, f.verdict = tag, pinned, verdictTrusted
			return
		}
	}
	f.verdict = verdictUnchanged
	f.warning = "is no longer trusted, and stays only because it runs already: " + oneLine(f.err)
	f.err = nil
}

// An operation is one of JSON Patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value string `json:"value"`
}

// patch writes pinned images in the place of what was looked at, and fails where that
// is no longer there: each write stands after a test.
func patch(findings []finding) []byte {
	var operations []operation
	for _, f := range findings {
		if f.pinned == "" || f.forbidden || f.pinned == f.image.Value {
			continue
		}
		operations = append(operations,
			operation{"test", f.image.Pointer, f.image.Value},
			operation{"replace", f.image.Pointer, f.pinned})
	}
	if operations == nil {
		return nil
	}
	data, err := json.Marshal(operations)
	if err != nil {
		panic(err) // strings alone
	}
	return data
}

// isPinned tells whether an image names its digest.
func isPinned(image string) bool { return strings.Contains(image, "@") }

package kubernetes

import (
	"strings"

	"github.com/signet-trust/signet/internal/jsonline"
	"github.com/signet-trust/signet/tuf"
)

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
			f.ruling, f.pinned, f.verdict = tag, pinned, VerdictTrusted
			return
		}
	}
	f.verdict = VerdictUnchanged
	f.warning = "is no longer trusted, and stays only because it runs already: " + oneLine(f.err)
	f.err = nil
}

// patch is a JSON Patch (RFC 6902) that writes pinned images in the place of what was
// looked at, and fails where that is no longer there: each write stands after a test.
func patch(findings []finding) []byte {
	var operations []byte
	add := func(op, path, value string) {
		before := byte(',')
		if operations == nil {
			before, operations = '[', make([]byte, 0, 1<<10)
		}
		o := jsonline.New(append(operations, before))
		o.MustText("op", op)
		o.MustText("path", path)
		o.MustText("value", value)
		operations = o.End()
	}
	for _, f := range findings {
		if f.pinned != "" && !f.forbidden && f.pinned != f.image.Value {
			add("test", f.image.Pointer, f.image.Value)
			add("replace", f.image.Pointer, f.pinned)
		}
	}
	if operations == nil {
		return nil
	}
	return append(operations, ']')
}

// isPinned tells whether an image names its digest.
func isPinned(image string) bool { return strings.Contains(image, "@") }

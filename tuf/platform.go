package tuf

import (
	"bytes"
	"encoding/json"
	"regexp"
)

// MaxPlatforms is how many platforms a target may list.
const MaxPlatforms = 64

// platformPattern is os/arch or os/arch/variant, in the words of the OCI image index.
var platformPattern = regexp.MustCompile(`^[a-z0-9]{1,32}/[a-z0-9]{1,32}(/[a-z0-9.]{1,32})?$`)

// CheckPlatform refuses what is not a platform, such as "linux/amd64" or
// "linux/arm64/v8".
func CheckPlatform(platform string) error {
	if !platformPattern.MatchString(platform) {
		return shapeRefusal("Signet profile: platforms", "%q is not a platform, such as linux/amd64 or linux/arm64/v8", clip(platform))
	}
	return nil
}

// checkPlatforms holds a target's platforms to the one form: sorted, each once.
func checkPlatforms(platforms []string) error {
	if len(platforms) > MaxPlatforms {
		return limitRefusal("%d platforms, of which a target lists at most %d", len(platforms), MaxPlatforms)
	}
	for i, platform := range platforms {
		if err := CheckPlatform(platform); err != nil {
			return err
		}
		if i > 0 && platforms[i-1] >= platform {
			return shapeRefusal("Signet profile: platforms", "%q stands after %q; they are sorted, each once", clip(platform), clip(platforms[i-1]))
		}
	}
	return nil
}

// platformsIn reads the member platforms of a target's custom, nil for none.
func platformsIn(custom *json.RawMessage) ([]string, error) {
	var object map[string]json.RawMessage
	if custom == nil || !bytes.Contains(*custom, []byte("platforms")) && !bytes.Contains(*custom, []byte(`\`)) {
		return nil, nil // as in most of them: no such name, nor any that is written with escapes
	}
	if json.Unmarshal(*custom, &object) != nil {
		return nil, nil
	}
	raw, ok := object["platforms"]
	if !ok {
		return nil, nil
	}
	var platforms []string
	if json.Unmarshal(raw, &platforms) != nil || len(platforms) == 0 {
		return nil, shapeRefusal("Signet profile: platforms", "they are not a list of strings")
	}
	return platforms, checkPlatforms(platforms)
}

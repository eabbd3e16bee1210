// Package docs holds what programs print of this folder.
package docs

import _ "embed"

// PolicySchema is the JSON schema of policies.
//
//go:embed policy.schema.json
var PolicySchema []byte

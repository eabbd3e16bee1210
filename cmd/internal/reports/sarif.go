package reports

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"slices"
)

// SARIF returns a report with one result for each image that is not trusted. version
// is that of the program.
func SARIF(version string, list []Result) ([]byte, error) {
	return json.MarshalIndent(sarifOf(version, list), "", "  ")
}

// The parts of SARIF 2.1.0 (OASIS) that a reportLine needs.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID string `json:"id"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool `json:"executionSuccessful"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
)

// sarifOf has one result for each image that is not trusted. A run in which
// something could not be found out was no success (§3.20.14).
func sarifOf(version string, list []Result) sarifLog {
	run := sarifRun{
		Tool:        sarifTool{sarifDriver{Name: "signet", Version: version, Rules: []sarifRule{}}},
		Invocations: []sarifInvocation{{ExecutionSuccessful: true}},
		Results:     []sarifResult{},
	}
	for _, f := range list {
		if f.Verdict == Trusted {
			continue
		}
		if f.Verdict != Untrusted {
			run.Invocations[0].ExecutionSuccessful = false
		}
		rule := sarifRule{f.Rule}
		if !slices.Contains(run.Tool.Driver.Rules, rule) {
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
		}
		result := sarifResult{RuleID: rule.ID, Level: "error", Message: sarifText{f.Message}}
		if f.File != "" {
			uri := (&url.URL{Path: filepath.ToSlash(f.File)}).EscapedPath()
			result.Locations = []sarifLocation{{sarifPhysical{sarifArtifact{uri}, sarifRegion{f.Line}}}}
		}
		run.Results = append(run.Results, result)
	}
	return sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}}
}

package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/signet-trust/signet/cmd/internal/program"
)

//go:embed compromised.html
var compromisedPage string

// writeCompromisedPage writes the report as one page that needs nothing else: no
// script, no picture, no font from anywhere. It replaces the file whole or not at
// all.
func writeCompromisedPage(path string, result *compromisedResult) error {
	page, err := template.New("compromised").Funcs(template.FuncMap{
		"stamp":    stamp,
		"utc":      func(at time.Time) string { return at.UTC().Format(time.RFC3339) },
		"forge":    canForge,
		"standing": standing,
		"vouched":  vouchedBy,
		"gap":      gapText,
		"yes":      yesNo,
		"left":     nothingLeft,
		"why":      afterName,
		"done":     signerDone,
	}).Parse(compromisedPage)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := page.Execute(&b, result); err != nil {
		return err
	}
	if err := program.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return advise(fmt.Errorf("--html: %w", err), "the page needs a folder that is there, and that you may write to")
	}
	return nil
}

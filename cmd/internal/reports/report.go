// Package reports writes what was found about images in the forms that CI systems read:
// SARIF 2.1.0 (OASIS) and JUnit's XML.
package reports

// A Result is what was found out about one image, or one file that could not be read.
type Result struct {
	File    string // "" where the image stands in none
	Line    int    // from 1
	What    string
	Verdict Verdict
	Rule    string // that decided; not for Trusted
	Message string // why, and what can be done; for Trusted, the pinned reference
}

// A Verdict says how it came out.
type Verdict int

// The verdicts. The zero value is none: what nobody filled in is no yes.
const (
	Unknown   Verdict = iota // it could not be found out
	Untrusted                // it is not trusted
	Trusted                  // it is trusted
)

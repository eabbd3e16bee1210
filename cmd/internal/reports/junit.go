package reports

import (
	"encoding/xml"
	"slices"
)

// JUnit returns a report with one suite for each file: an untrusted image is a failure,
// one that could not be found out an error.
func JUnit(list []Result) ([]byte, error) {
	return xml.MarshalIndent(junitOf(list), "", "  ")
}

// JUnit's XML, as CI systems read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr,omitempty"`
		Line    int           `xml:"line,attr,omitempty"`
		Failure *junitMessage `xml:"failure"`
		Error   *junitMessage `xml:"error"`
		Output  string        `xml:"system-out,omitempty"`
	}
	junitMessage struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
	}
)

func junitOf(list []Result) junitSuites {
	all := junitSuites{Name: "signet verify"}
	for _, f := range list {
		name := f.File
		if name == "" {
			name = "arguments"
		}
		i := slices.IndexFunc(all.Suites, func(s junitSuite) bool { return s.Name == name })
		if i < 0 {
			i = len(all.Suites)
			all.Suites = append(all.Suites, junitSuite{Name: name})
		}
		suite := &all.Suites[i]
		c := junitCase{Class: name, Name: f.What, File: f.File, Line: f.Line}
		switch {
		case f.Verdict == Trusted:
			c.Output = f.Message
		case f.Verdict == Untrusted:
			c.Failure = &junitMessage{f.Rule, f.Message}
			suite.Failures++
			all.Failures++
		default:
			c.Error = &junitMessage{f.Rule, f.Message}
			suite.Errors++
			all.Errors++
		}
		suite.Tests++
		all.Tests++
		suite.Cases = append(suite.Cases, c)
	}
	return all
}

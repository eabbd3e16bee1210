package imagefile

import "strings"

// readList reads one reference a line. Empty lines and lines that begin with '#'
// are passed over; so is a '#' after a blank, and what follows.
func readList(data []byte) ([]Use, error) {
	var uses []Use
	start := 0
	for number, line := range strings.SplitAfter(string(data), "\n") {
		text := line
		if i := strings.Index(text, " #"); i >= 0 {
			text = text[:i]
		}
		if i := strings.Index(text, "\t#"); i >= 0 {
			text = text[:i]
		}
		value := strings.TrimSpace(text)
		if value != "" && value[0] != '#' {
			at := start + strings.Index(line, value)
			use := Use{Line: number + 1, What: "line", Value: value, Image: value, at: span{at, at + len(value)}}
			if strings.ContainsAny(value, " \t") {
				use.Image, use.Problem, use.Advice = "", "more than one word on a line of a list", "write one reference a line"
			}
			uses = append(uses, use)
		}
		start += len(line)
	}
	return uses, nil
}

package imagefile

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// readDockerfile reads a Dockerfile: the frontend that its syntax line names, every
// FROM, and every COPY and RUN --mount that takes files from an image.
func readDockerfile(data []byte, options Options) (uses []Use, err error) {
	defer func() {
		if p := recover(); p != nil {
			uses, err = nil, errors.New("it is no Dockerfile that can be read")
		}
	}()
	result, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, dockerfileTrouble(err)
	}
	stages, args, err := instructions.Parse(result.AST, nil)
	if err != nil {
		return nil, dockerfileTrouble(err)
	}
	d := dockerfile{data: data, lines: lineStarts(data), lex: shell.NewLex(result.EscapeToken), options: options}
	d.syntax()
	if err := d.arguments(args); err != nil {
		return nil, err
	}
	for _, stage := range stages {
		d.stage(stage)
	}
	return finish(d.uses), nil
}

func dockerfileTrouble(err error) error {
	return errors.New("it is no Dockerfile: " + oneLine(err.Error()))
}

type dockerfile struct {
	data    []byte
	lines   []int // where each line starts
	lex     *shell.Lex
	options Options
	args    map[string]string // of ARGs ahead of the first FROM
	names   []string          // of the stages so far, lower case; "" for one without
	uses    []Use
}

// syntax adds the frontend that BuildKit would fetch and run in order to read the
// file (# syntax=docker/dockerfile:1).
func (d *dockerfile) syntax() {
	if image := d.options.BuildArgs["BUILDKIT_SYNTAX"]; image != "" { // it goes before the line
		d.uses = append(d.uses, Use{Line: 1, What: "BUILDKIT_SYNTAX", Value: image, Image: image, Hidden: true})
	}
	image, _, ranges, ok := parser.DetectSyntax(d.data)
	if !ok {
		return
	}
	line := 1
	if len(ranges) > 0 {
		line = ranges[0].Start.Line
	}
	d.add(line, line, "syntax", image)
}

// arguments evaluates the ARGs ahead of the first FROM. A later one may use those
// before it.
func (d *dockerfile) arguments(args []instructions.ArgCommand) error {
	d.args = map[string]string{}
	for _, command := range args {
		for _, arg := range command.Args {
			if value, ok := d.options.BuildArgs[arg.Key]; ok {
				d.args[arg.Key] = value
				continue
			}
			if arg.Value == nil {
				continue // declared without a value
			}
			value, unset, err := d.expand(*arg.Value)
			if err != nil {
				return fmt.Errorf("ARG %s: %s", arg.Key, oneLine(err.Error()))
			}
			if len(unset) > 0 { // nor does an earlier value hold any more
				delete(d.args, arg.Key)
				continue
			}
			d.args[arg.Key] = value
		}
	}
	return nil
}

// expand replaces variables, and lists those that have no value.
func (d *dockerfile) expand(word string) (value string, unset []string, err error) {
	result, err := d.lex.ProcessWordWithMatches(word, environment(d.args))
	if err != nil {
		return "", nil, err
	}
	for name := range result.Unmatched {
		unset = append(unset, name)
	}
	return result.Result, unset, nil
}

// environment makes ARGs what BuildKit's lexer asks for variables.
type environment map[string]string

func (e environment) Get(key string) (string, bool) { v, ok := e[key]; return v, ok }

func (e environment) Keys() []string {
	var list []string
	for key := range e {
		list = append(list, key)
	}
	return list
}

func (d *dockerfile) stage(stage instructions.Stage) {
	start, end := lines(stage.Location)
	what := "FROM"
	if stage.Name != "" {
		what = "FROM (" + oneLine(stage.Name) + ")"
	}
	d.from(start, end, what, stage.BaseName)
	for _, command := range stage.Commands {
		start, end := lines(command.Location())
		switch c := command.(type) {
		case *instructions.CopyCommand:
			if c.From != "" {
				d.source(start, end, "COPY --from", c.From)
			}
		case *instructions.RunCommand:
			for _, mount := range instructions.GetMounts(c) {
				if mount.From != "" {
					d.source(start, end, "RUN --mount", mount.From)
				}
			}
		case *instructions.OnbuildCommand:
			if strings.Contains(strings.ToLower(c.Expression), "from=") {
				d.uses = append(d.uses, Use{Line: start, What: "ONBUILD", Value: oneLine(c.Expression),
					Problem: "it takes files from elsewhere in a later build", Advice: "verify that image by its reference, and take the files in this build"})
			}
		}
	}
	d.names = append(d.names, strings.ToLower(stage.Name))
}

// from adds the base of a stage, unless that is an earlier stage, or scratch.
func (d *dockerfile) from(start, end int, what, base string) {
	image, unset, err := d.expand(base)
	switch {
	case err != nil:
		d.uses = append(d.uses, Use{Line: start, What: what, Value: base, Problem: "its variables cannot be read: " + oneLine(err.Error()), Advice: "write the image out"})
		return
	case len(unset) > 0:
		d.uses = append(d.uses, Use{Line: start, What: what, Value: base,
			Problem: fmt.Sprintf("the variable %s has no value", oneLine(unset[0])), Advice: "give it with --build-arg " + oneLine(unset[0]) + "=VALUE, as to docker build"})
		return
	}
	if d.isStage(image) || image == "scratch" {
		return
	}
	if image != base {
		u := Use{Line: start, What: what, Value: base, Image: image, Hidden: true}
		if image == "" {
			u.Problem, u.Advice = "the image is empty once its variables are replaced", "give their values with --build-arg"
		}
		d.uses = append(d.uses, u)
		return
	}
	d.add(start, end, what, image)
}

// source adds an image that files are taken from, unless it is an earlier stage, by
// name or by number. Variables are not replaced there by BuildKit, either.
func (d *dockerfile) source(start, end int, what, from string) {
	if n, err := strconv.Atoi(from); err == nil && n >= 0 && n < len(d.names) {
		return
	}
	if d.isStage(from) || from == "scratch" {
		return
	}
	if strings.Contains(from, "$") {
		d.uses = append(d.uses, Use{Line: start, What: what, Value: from, Problem: "the image depends on variables", Advice: "name it in a stage of its own, by FROM, and take from that"})
		return
	}
	d.add(start, end, what, from)
}

func (d *dockerfile) isStage(name string) bool {
	name = strings.ToLower(name)
	for _, known := range d.names {
		if known != "" && known == name {
			return true
		}
	}
	return false
}

// add adds an image that stands, as it is, in one of the lines.
func (d *dockerfile) add(start, end int, what, image string) {
	d.uses = append(d.uses, Use{Line: start, What: what, Value: image, Image: image, at: d.find(start, end, image)})
}

// find finds the one place in some lines where an image stands as a word of its own;
// zero when there is none, or more than one.
func (d *dockerfile) find(start, end int, image string) span {
	if start < 1 || start > len(d.lines) {
		return span{}
	}
	from, to := d.lines[start-1], len(d.data)
	if end < len(d.lines) {
		to = d.lines[end]
	}
	var found span
	for at := from; ; {
		i := bytes.Index(d.data[at:to], []byte(image))
		if i < 0 {
			return found
		}
		at += i
		before, after := byte('\n'), byte('\n')
		if at > 0 {
			before = d.data[at-1]
		}
		if at+len(image) < len(d.data) {
			after = d.data[at+len(image)]
		}
		if strings.IndexByte(" \t\n=,", before) >= 0 && strings.IndexByte(" \t\r\n,", after) >= 0 {
			if found != (span{}) {
				return span{}
			}
			found = span{at, at + len(image)}
		}
		at += len(image)
	}
}

// lines tells the first and last line of an instruction.
func lines(ranges []parser.Range) (start, end int) {
	if len(ranges) == 0 {
		return 1, 1
	}
	return ranges[0].Start.Line, ranges[len(ranges)-1].End.Line
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, c := range data {
		if c == '\n' && i+1 < len(data) {
			starts = append(starts, i+1)
		}
	}
	return starts
}

package imagefile

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Format is a kind of file.
type Format string

// The formats.
const (
	FormatList       Format = "list"       // one reference a line
	FormatCompose    Format = "compose"    // the compose specification's YAML
	FormatKubernetes Format = "kubernetes" // manifests, YAML or JSON, one document or several
	FormatDockerfile Format = "dockerfile" // Dockerfile, Containerfile
)

// Formats lists all formats.
func Formats() []Format {
	return []Format{FormatList, FormatCompose, FormatKubernetes, FormatDockerfile}
}

// Limits on one file.
const (
	MaxBytes = 8 << 20 // of a file
	MaxUses  = 10000   // places that name an image
)

// Options say how a file is to be read.
type Options struct {
	// Format is what the file is; "" means that its name and content tell.
	Format Format
	// BuildArgs are values for a Dockerfile's ARGs ahead of the first FROM, as
	// docker build --build-arg has them. They go before the defaults.
	BuildArgs map[string]string
	// SkipBuilds leaves out a compose file's services that are built rather than
	// pulled. Otherwise each of them is a Problem.
	SkipBuilds bool
}

// A Use is one place in a file that names an image.
type Use struct {
	Line   int    // from 1, in the file
	What   string // who uses the image: "services.web", "Deployment/web: container app"
	Value  string // as it is written
	Image  string // the reference that is meant; "" with a Problem
	Hidden bool   // Image does not stand in the file as it is: a variable's value

	// Problem says why nobody can tell which image is meant, or that one is meant
	// which is not checked here; "" when Image is whole.
	Problem string
	// Advice is what can be done about Problem.
	Advice string

	at span // where Value stands; zero where it cannot be replaced
}

// span is a range of bytes.
type span struct{ start, end int }

// A File is a file that was read.
type File struct {
	Name   string
	Format Format
	Uses   []Use // in the order of the file
	data   []byte
	read   Options
}

// Bytes are those that were read. They are not to be changed.
func (f *File) Bytes() []byte { return f.data }

// ErrNothing says that a file names no image. It is an error, since nothing checked
// must not read as trusted.
var ErrNothing = errors.New("it names no image, so there is nothing to check")

// ErrFormat says that nobody can tell what a file is.
var ErrFormat = errors.New("neither its name nor its content tells what it is")

// Read reads a file that is called name. An error means that nothing of it was
// checked; otherwise each Use without a Problem has to be looked at.
func Read(name string, data []byte, options Options) (*File, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("%s has %d bytes, and at most %d are read", name, len(data), MaxBytes)
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, fmt.Errorf("%s is no UTF-8 text", name)
	}
	f := &File{Name: name, Format: options.Format, data: data, read: options}
	if f.Format == "" {
		f.Format = detect(name, data)
	}
	var err error
	switch f.Format {
	case FormatList:
		f.Uses, err = readList(data)
	case FormatCompose:
		f.Uses, err = readCompose(data, options)
	case FormatKubernetes:
		f.Uses, err = readKubernetes(data)
	case FormatDockerfile:
		f.Uses, err = readDockerfile(data, options)
	case "":
		err = ErrFormat
	default:
		err = fmt.Errorf("%q is no format; there are %s", f.Format, formatNames())
	}
	switch {
	case err != nil:
	case len(f.Uses) == 0:
		err = ErrNothing
	case len(f.Uses) > MaxUses:
		err = fmt.Errorf("it names %d images, and at most %d are checked", len(f.Uses), MaxUses)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

func formatNames() string {
	var names []string
	for _, format := range Formats() {
		names = append(names, string(format))
	}
	return strings.Join(names, ", ")
}

// detect tells what a file is: by its name if that is a Dockerfile's or a list's,
// and by its content if that is YAML's. It returns "" rather than guess.
func detect(name string, data []byte) Format {
	base := strings.ToLower(path.Base(filepath.ToSlash(name)))
	ext := path.Ext(base)
	for _, known := range []string{"dockerfile", "containerfile"} {
		if base == known || strings.HasPrefix(base, known+".") || ext == "."+known {
			return FormatDockerfile
		}
	}
	switch ext {
	case ".txt", ".list", ".lst", ".images":
		return FormatList
	case ".yaml", ".yml", ".json", "":
	default:
		return ""
	}
	docs, err := documents(data)
	if err != nil {
		if ext == "" {
			return ""
		}
		return FormatKubernetes // its reader says what is wrong, and where
	}
	return detectYAML(docs)
}

// finish orders uses by their place in the file.
func finish(uses []Use) []Use {
	slices.SortStableFunc(uses, func(a, b Use) int { return a.Line - b.Line })
	return uses
}

// oneLine makes s fit for a message of one line.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > 200 {
		return string(runes[:200]) + "..."
	}
	return s
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/signet-trust/signet/client"
	"github.com/signet-trust/signet/cmd/internal/program"
	"github.com/signet-trust/signet/imagefile"
	"github.com/signet-trust/signet/tuf"
)

// fileFlags are verify's flags for files.
type fileFlags struct {
	paths        []string
	format       string
	buildArgs    []string
	skipBuilds   bool
	pin          bool
	sarif, junit string
}

func (flags *fileFlags) add(f *pflag.FlagSet) {
	f.StringArrayVarP(&flags.paths, "file", "f", nil, "verify every image that this `file` names; - is standard input; may be repeated")
	f.StringVar(&flags.format, "format", "", "what the files are: list, compose, kubernetes or dockerfile (default: by their names and contents)")
	f.StringArrayVar(&flags.buildArgs, "build-arg", nil, "`NAME=VALUE` of an ARG ahead of a Dockerfile's first FROM, as given to docker build; may be repeated")
	f.BoolVar(&flags.skipBuilds, "skip-builds", false, "leave out a compose file's services that are built rather than pulled")
	f.BoolVar(&flags.pin, "pin", false, "once all images are trusted, write their digests into the files (with -f - to standard output)")
	f.StringVar(&flags.sarif, "sarif", "", "also write the findings to this `file` as SARIF 2.1.0")
	f.StringVar(&flags.junit, "junit", "", "also write all results to this `file` as JUnit XML")
}

// check refuses flags that do not go together.
func (flags *fileFlags) check() error {
	alone := flags.format != "" || len(flags.buildArgs) > 0 || flags.skipBuilds || flags.pin
	switch {
	case alone && len(flags.paths) == 0:
		return usagef("--format, --build-arg, --skip-builds and --pin are about files: give one with -f")
	case flags.format != "" && !slices.Contains(imagefile.Formats(), imagefile.Format(flags.format)):
		return usagef("--format %s: expected list, compose, kubernetes or dockerfile", flags.format)
	}
	for i, path := range flags.paths {
		if path == "" {
			return usagef("-f: the name of the file is empty")
		}
		if slices.Contains(flags.paths[:i], path) {
			return usagef("-f %s is given twice", path)
		}
	}
	_, err := flags.options()
	return err
}

func (flags *fileFlags) options() (imagefile.Options, error) {
	options := imagefile.Options{Format: imagefile.Format(flags.format), BuildArgs: map[string]string{}, SkipBuilds: flags.skipBuilds}
	for _, arg := range flags.buildArgs {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return options, usagef("--build-arg %s: expected NAME=VALUE", arg)
		}
		options.BuildArgs[name] = value
	}
	return options, nil
}

// toStdout tells whether standard output is for a pinned file.
func (flags *fileFlags) toStdout() bool { return flags.pin && slices.Contains(flags.paths, "-") }

// stdinName is what standard input is called in messages.
const stdinName = "stdin"

// readFiles reads all files. It goes on after one that cannot be read, so that one
// run tells everything, and returns what was wrong.
func (a *app) readFiles(flags fileFlags) (files []*imagefile.File, unread error) {
	options, err := flags.options()
	if err != nil {
		return nil, err
	}
	for _, path := range flags.paths {
		file, err := a.readFile(path, options)
		switch {
		case errors.Is(err, imagefile.ErrNothing):
			err = advise(err, "leave it out if it is to name none")
		case errors.Is(err, imagefile.ErrFormat):
			err = advise(err, "say it with --format list, compose, kubernetes or dockerfile")
		case err != nil && hint(err) == "":
			err = advise(err, "mend it there, or leave the file out; --format says what it is where that was guessed wrong")
		}
		unread = errors.Join(unread, err)
		if err == nil {
			files = append(files, file)
		}
	}
	return files, unread
}

func (a *app) readFile(path string, options imagefile.Options) (*imagefile.File, error) {
	name, in := path, a.stdin
	if path == "-" {
		name = stdinName
	} else {
		info, err := os.Stat(path)
		if err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeNamedPipe == 0 {
			err = errors.New("it is no file")
		}
		if err == nil {
			in, err = os.Open(path)
		}
		if err != nil {
			return nil, fmt.Errorf("-f %s: %w", path, reading(err))
		}
		defer in.Close()
	}
	data, err := io.ReadAll(io.LimitReader(in, imagefile.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if path == "-" && len(bytes.TrimSpace(data)) == 0 {
		return nil, advise(errors.New("standard input is empty: nothing was checked"), "the command before it may have failed: look at what it said")
	}
	return imagefile.Read(name, data, options)
}

// A place is where a file names an image.
type place struct {
	file  *imagefile.File
	index int
}

func (p *place) use() *imagefile.Use { return &p.file.Uses[p.index] }

func (p *place) String() string {
	return fmt.Sprintf("%s:%d: %s", p.file.Name, p.use().Line, p.use().What)
}

// subjects are the images that a file names. What cannot be read is one as well.
func (a *app) subjects(file *imagefile.File) []*subject {
	subjects := make([]*subject, len(file.Uses))
	for i := range file.Uses {
		use := &file.Uses[i]
		s := &subject{place: &place{file, i}}
		subjects[i] = s
		if use.Problem != "" {
			s.err = errors.New(use.Problem)
			if use.Advice != "" {
				s.err = advise(s.err, "%s", use.Advice)
			}
			continue
		}
		var err error
		if s.image, err = tuf.ParseImage(use.Image); err != nil {
			s.err = advise(plain(err), "write a reference, such as registry.example.com/team/app:1.0")
			continue
		}
		s.image = a.tagged(s.image)
	}
	return subjects
}

// String names the subject.
func (s *subject) String() string {
	if s.err != nil {
		return s.place.String()
	}
	return s.image.String()
}

// where is what stands before a message about the subject.
func (s *subject) where() string {
	if s.place == nil {
		return ""
	}
	return s.place.String() + ": "
}

// answer is the answer to what several subjects may ask, as this one's: it says
// where the image was named, and hints name the policy that decided.
func (s *subject) answer(told *answer, policy string) *answer {
	if told.decision == nil {
		told.decision = &client.Decision{Image: s.place.use().Value, Signers: []string{}, Reason: sentence(told.err)}
	} else {
		decision := *told.decision
		told = &answer{&decision, told.err, told.took}
	}
	if told.err != nil {
		told.err = ofImage(policy, told.decision, told.err)
		told.decision.Hint = hint(told.err)
		if s.place != nil {
			told.err = fmt.Errorf("%s: %w", s.place, told.err)
		}
	}
	return told
}

// A located decision says where its image was named.
type located struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Use  string `json:"use"` // who uses the image
	*client.Decision
}

// pinFiles writes the digests into the files: all of them are made first, so that
// one that cannot be pinned leaves the others as they are, too. paths are what the
// files were given as, in the same order.
func (a *app) pinFiles(files []*imagefile.File, paths []string, subjects []*subject, answers []*answer) error {
	pinned := make([][]byte, len(files))
	for i, file := range files {
		digests := make([]string, len(file.Uses))
		for n, s := range subjects {
			if s.place != nil && s.place.file == file {
				if digests[s.place.index] = answers[n].decision.Digest; digests[s.place.index] == "" { // a policy let it pass
					return advise(fmt.Errorf("%s: no digest of %s is trusted, so no file was written", s.place, s.image),
						"have it signed, or leave --pin away: the policy lets it run by its name alone")
				}
			}
		}
		var err error
		if pinned[i], err = file.Pin(digests); err != nil {
			return advise(fmt.Errorf("no file was written: %w", err), "write the reference out there, or leave --pin away: it is verified all the same")
		}
	}
	for i, file := range files {
		if paths[i] == "-" {
			continue
		}
		if _, _, err := unchanged(paths[i], file, pinned[i]); err != nil {
			return fmt.Errorf("no file was written: %w", err)
		}
	}
	for i, file := range files {
		if paths[i] == "-" {
			if _, err := a.rawStdout().Write(pinned[i]); err != nil {
				return err
			}
			continue
		}
		written, err := replaceFile(paths[i], file, pinned[i])
		switch {
		case err != nil:
			return fmt.Errorf("pin %s: %w", paths[i], err)
		case written:
			a.note("%s is pinned", paths[i])
		default:
			a.note("%s was pinned already", paths[i])
		}
	}
	return nil
}

// rawStdout is standard output for a file's bytes, which are nobody's words to us.
func (a *app) rawStdout() io.Writer {
	if cleaned, ok := a.stdout.(cleanWriter); ok {
		return cleaned.w
	}
	return a.stdout
}

// unchanged tells where a file is, through links, and what it holds, if that is what
// was read or already what is to be written: verifying takes a while, and somebody may
// be at work in it.
func unchanged(path string, file *imagefile.File, pinned []byte) (target string, now []byte, err error) {
	target, err = filepath.EvalSymlinks(path)
	if err != nil {
		return "", nil, err
	}
	info, err := os.Lstat(target)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file that can be written to; give its content to -f -", path)
	}
	if err != nil {
		return "", nil, err
	}
	now, err = os.ReadFile(target)
	switch {
	case err != nil:
		return "", nil, err
	case !bytes.Equal(now, file.Bytes()) && !bytes.Equal(now, pinned):
		return "", nil, advise(fmt.Errorf("%s was changed by somebody else since it was read", path), "look at it, and run this again")
	}
	return target, now, nil
}

// replaceFile replaces a file that is unchanged, and leaves its mode. One that holds
// data already is left as it is.
func replaceFile(path string, file *imagefile.File, data []byte) (written bool, err error) {
	target, now, err := unchanged(path, file, data)
	if err != nil || bytes.Equal(now, data) {
		return false, err
	}
	info, err := os.Stat(target)
	if err != nil {
		return false, err
	}
	return true, program.WriteFile(target, data, info.Mode().Perm())
}

package program

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"
)

// An advisedError brings its own hint.
type advisedError struct {
	error
	advice string
}

// Unwrap returns what the advice is about.
func (e advisedError) Unwrap() error { return e.error }

// Advise gives err a hint: what whoever started the program can do about it.
func Advise(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return advisedError{err, fmt.Sprintf(format, args...)}
}

// AdviseFolder is Advise for a folder that an option gives and that cannot be made or
// written; other errors stay as they are.
func AdviseFolder(err error, option string) error {
	if !isFolderTrouble(err) {
		return err
	}
	return Advise(err, "give %s a folder that the user this runs as may write to; look at the owner and the mode of what is there, and of the folders above", option)
}

func isFolderTrouble(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrPermission)
}

// Hint is what can be done about err, or "". name is the program's.
func Hint(name string, err error) string {
	if own, ok := errors.AsType[advisedError](err); ok {
		return own.advice
	}
	switch {
	case errors.As(err, new(UsageError)):
		return name + " --help tells what it takes"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program has that address (ss -ltnp shows which): end it, or choose another address with that option"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address (ip address shows those that it has): choose another with that option"
	case errors.Is(err, fs.ErrNotExist):
		return "look at the name of the file, and at the folder that this runs in"
	case errors.Is(err, syscall.ENOSPC):
		return "the disk is full; make room, then start again"
	case isFolderTrouble(err):
		return "the user that this runs as has to be allowed to; look at the owner and the mode of the file and of its folders, or choose another place with that option"
	}
	return ""
}

// Logged has an error that ends a program, or keeps it from its work, where its other
// lines are: in JSON in the log, with its hint, or as Run tells it.
func Logged(log *slog.Logger, format, name, message string, err error) error {
	if err == nil || format != "json" || errors.As(err, new(LoggedError)) {
		return err
	}
	attrs := []any{"error", err}
	if hint := Hint(name, err); hint != "" {
		attrs = append(attrs, "hint", hint)
	}
	log.Error(message, attrs...)
	return LoggedError{Err: err}
}

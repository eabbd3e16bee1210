// Signet signs container images and tells which digest a name means.
//
// This command is for publishers, for those who deploy, and for admins. It
// parses, calls and prints: trust is decided in package tuf, what is remembered
// between two runs is package client's, and private keys are package keystore's.
//
//	main.go, app.go   one run: streams, folders, settings, and what all commands share
//	exit.go, hint.go  how it ends: exit status, the sentence, the one hint
//	print.go          results on stdout, as text or JSON; all else on stderr
//	ask.go            the person at the terminal, or files in the person's place
//	keys.go           what a KEY argument means
//	change.go         what is about to be signed, as people read it
//	sitting.go        keys looked for, one question, touches told and counted
//	publish.go        several repositories, published one after the other
//	NAME.go           the command of that name
//
// Exit status: 0 is yes, 3 a verdict of untrusted, 1 could not find out, 2 usage.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	guardMemory()
	// The first Ctrl-C ends what is going on in good order; the second at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, newApp(os.Stdin, os.Stdout, os.Stderr), os.Args[1:]))
}

// Package docs holds the papers to the programs: README.md, SECURITY.md,
// CHANGELOG.md and docs/*.md name only commands, options, links, tests, targets
// and metrics that exist, and leave out none of those that they are to list.
//
// Where a paper repeats what a program says (a command's help, a table of
// options), the test writes it anew when SIGNET_UPDATE_DOCS is 1:
//
//	SIGNET_UPDATE_DOCS=1 go test ./test/docs
package docs

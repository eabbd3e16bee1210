// Package client is the SDK of Signet: it verifies what an image's name means,
// and publishes what it is to mean. It asks nothing of a person: whoever embeds
// it decides what to show.
//
// A verifier pins an [Anchor] for a pattern of names and asks [Client.Verify].
// The update workflow runs over HTTP with bounded time and bytes, and what was
// verified is remembered in a folder, so that no later answer can step back:
//
//	§5.1, §5.2  time, anchors, first start   session.go, first.go, anchor.go
//	§5.3-5.6    the order of the update      updater.go, over package tuf
//	§5.6.7      the search for a path        decide.go
//	            keys demanded in hardware    hardware.go
//	            HTTP, time-outs, limits      fetch.go
//	            the folder                   store.go
//
// A publisher builds the next files with a [Publisher], is shown what is in the
// very bytes to be signed, signs, sends, and reads back what the server serves:
// in one call (Sign, ChangeKeys, ...), or in two (PrepareSign, [Prepared.Publish]),
// so that what is to be signed in several repositories is shown before one yes.
//
//	build, publish, again on a lost race   prepare.go, publish.go
//	the steps                              init.go, steps.go, keychange.go, signers.go
//	what a change says, and who must sign  diff.go, keys.go
//	one content for a version              journal.go
//
// Where those who must sign are not in one room, a prepared change becomes a proposal
// ([Prepared.Propose]). Whoever is to sign it reviews it ([Publisher.Review]): decoded
// from its bytes, and compared with what was verified on that machine.
//
//	what was meant, to build it anew       intent.go, requests.go
//	its form, and the server's list        proposal.go
//	what the bytes say, and who signed     proposal_review.go, proposal_check.go
//	to sign it, publish it, rebase it      proposal_approve.go
//
// Who may be evil: the network, every server and mirror, and whoever fills a
// cache or a registry. They can withhold answers, and show old metadata for as
// long as it has not expired to somebody who has seen nothing newer. Whoever can
// write to the state folder, or to trust.json, decides what is trusted; both
// belong to the user alone.
//
// A verdict of "untrusted" is a *tuf.Refusal or a *tuf.ExpiredError. Any other
// error means "could not find out"; a [*ServerError] says which server and what
// is wrong with it.
package client

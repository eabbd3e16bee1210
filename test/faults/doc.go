// Package faults asks the decision engine thousands of questions while its trust
// server is slow, cut off, silent, gone, serves garbage or yesterday's files, and
// while people publish, move and revoke tags; and counts wrong yeses.
//
// A yes is judged by an oracle (oracle_test.go) that knows what was published and
// when, and shares no code with the verifier: it reads expiry dates out of the JSON by
// itself. The network's faults are toxiproxy's, v2.12.0; those of the server's answers
// are made in front of its handler. The clock is the test's.
package faults

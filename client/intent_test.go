package client

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/signet-trust/signet/tuf"
)

// TestHostileIntents reviews and rebases proposals whose intent is made to trip up
// whoever reads it.
func TestHostileIntents(t *testing.T) {
	o := newOffice(t)
	o.board()
	evil := o.propose(o.person(), signIntent("2.0", "two"), o.alice)
	ci, err := json.Marshal(o.carol.Key())
	o.repo.must(err)
	for _, intent := range []string{
		`{"changeKeys":{"repository":"R","role":"targets","add":[null]}}`,
		`{"changeKeys":{"repository":"R","role":"targets","add":[null,KEY,null]}}`,
		`{"changeKeys":{"repository":"R","role":"","threshold":-1}}`,
		`{"changeKeys":{"repository":"R","role":"root","add":[{}]}}`,
		`{"changeKeys":{"repository":"R","role":"snapshot","add":[KEY]}}`,
		`{"changeKeys":{"repository":"R","role":"root","threshold":9223372036854775807}}`,
		`{"changeKeys":{"repository":"R","role":"ci","add":[KEY],"attestations":{"x":null}}}`,
		`{"addSigner":{"repository":"R","name":"ci","tags":["c-*"],"keys":{"keys":[null],"threshold":1}}}`,
		`{"addSigner":{"repository":"R","name":"ci","tags":["c-*"],"keys":{"keys":[KEY],"threshold":-5}}}`,
		`{"addSigner":{"repository":"R","name":"ci","tags":[""],"keys":{"keys":null}}}`,
		`{"addSigner":{"repository":"R","name":"ci","tags":["c-*"],"parent":"nobody","before":"nobody","keys":{"keys":[KEY],"threshold":1}}}`,
		`{"updateSigner":{"repository":"R","name":"nobody"}}`,
		`{"updateSigner":{"repository":"R"}}`,
		`{"removeSigner":{"repository":"R","name":"targets"}}`,
		`{"removeSigner":{"repository":"R"}}`,
		`{"init":{"repository":"R","root":{"keys":[null]},"targets":{"keys":[null]}}}`,
		`{"init":{"repository":"R"}}`,
		`{"sign":{"repository":"R"}}`,
		`{"sign":{"repository":"R","role":"root","tags":[{"tag":"x"}]}}`,
		`{"sign":{"repository":"R","tags":[{"tag":"x","target":{"digest":"sha256:zz","length":-1}},null]}}`,
		`{"revoke":{"repository":"R"}}`,
		`{"revoke":{"repository":"R","role":"root","tag":"1.0","digest":"sha256:"}}`,
		`{"renew":{"repository":"R","roles":["","snapshot",null,"nobody"]}}`,
		strings.Repeat(`{"sign":`, 50_000),
	} {
		intent = strings.NewReplacer(`"R"`, `"`+appName+`"`, "KEY", string(ci)).Replace(intent)
		evil.Intent = json.RawMessage(intent)
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%.200s: panic: %v", intent, p)
				}
			}()
			p := o.person()
			if r, err := p.Review(t.Context(), evil); err != nil || r.Intent == IntentAgrees {
				t.Errorf("%.200s: %+v, %v", intent, r, err)
			}
			if d, err := p.Rebase(t.Context(), evil, []tuf.Signer{o.alice}); err == nil && d.Change != nil && len(d.Change.Files) == 0 {
				t.Errorf("%.200s: rebased to nothing: %+v", intent, d)
			}
		}()
	}
}

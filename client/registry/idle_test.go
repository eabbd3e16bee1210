package registry

import (
	"net/http"
	"testing"
)

// A process that lives long and asks again and again does not collect connections that
// nobody uses.
func TestIdleConnectionsEnd(t *testing.T) {
	g, err := Config{}.carrier()
	if err != nil {
		t.Fatal(err)
	}
	if transport, ok := g.carrier.(*http.Transport); !ok || transport.IdleConnTimeout <= 0 {
		t.Errorf("%+v keeps them for good", g.carrier)
	}
}

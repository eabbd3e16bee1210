# Signet's make targets. `make demo` and `make test` need nothing set up: they
# install the Debian packages that they use, or say which when not run as root.

GO      ?= go
BIN     := bin
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help packages packages-demo build test lint clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

packages:
	@scripts/packages

packages-demo:
	@scripts/packages demo

build: packages-demo ## build the three programs into bin/
	$(GO) build -trimpath -o $(BIN)/ ./cmd/...

lint: ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...

test: packages lint ## every test, race detector on
	$(GO) test -race -timeout 15m ./...

clean: ## remove what was built
	rm -rf $(BIN)

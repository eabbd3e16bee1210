# Signet's make targets. `make demo` and `make test` need nothing set up: they
# install the Debian packages that they use, or say which when not run as root.

GO      ?= go
BIN     := bin
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help packages packages-demo build static demo yubikey registry secrets test test-yubikey test-deploy lint bench fuzz soak mutate clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

packages:
	@scripts/packages

packages-demo:
	@scripts/packages demo

build: packages-demo ## build the programs into bin/
	$(GO) build -trimpath -ldflags "-s -w" -o $(BIN)/ ./cmd/...

static: ## build the programs without cgo into bin/static/: verifies everywhere, no YubiKey support
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o $(BIN)/static/ ./cmd/...

demo: packages-demo ## the main job for real, then attacks on it
	@echo "Building Signet ..."
	@$(GO) build -trimpath -ldflags "-s -w" -o $(BIN)/ ./cmd/... ./test/yubikey/cmd/virtual-yubikey ./test/demo
	@$(BIN)/demo -bin $(BIN)

yubikey: packages-demo ## plug in virtual YubiKeys, in the foreground: make yubikey ARGS="--serial 1 --serial 2"
	@$(GO) build -o $(BIN)/ ./test/yubikey/cmd/virtual-yubikey
	@$(BIN)/virtual-yubikey $(if $(ARGS),$(ARGS),--serial 12345678)

registry: packages-demo ## run an OCI registry at localhost:5000, in the foreground, with its images in ./registry-data
	@docker-registry serve deploy/registry.yml || { status=$$?; echo >&2 "make registry: it ended. If its address is in use, something listens there, perhaps a registry from before (ss -ltnp names it): \
	use that one, stop it, or take another port: REGISTRY_HTTP_ADDR=127.0.0.1:5001 make registry"; exit $$status; }

bench: packages-demo ## measure ourselves beside the floors; prints "bench <row> <figure> bar <bar> ok|short"
	@$(GO) build -trimpath -ldflags "-s -w" -o $(BIN)/ ./cmd/... ./test/bench github.com/google/go-containerregistry/cmd/crane
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o $(BIN)/static/ ./cmd/signet
	@$(BIN)/bench -bin $(BIN)

secrets: build ## make deploy/secrets for docker-compose.yml: make secrets NAMES="signet.example.com"
	@scripts/secrets $(NAMES)

lint: ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

test: packages lint ## every test, race detector on, and a short slice of fuzzing
	$(GO) test -race -timeout 15m ./...
	@scripts/fuzz 2000x

test-yubikey: packages ## programs of others on the virtual YubiKey, and piv-go's own tests; prints a table
	@scripts/test-yubikey

test-deploy: ## the doors on a real kube-apiserver, Gatekeeper and containerd 2, which are built once (minutes): make test-deploy ARGS=-v
	@scripts/test-deploy $(ARGS)

fuzz: packages ## every fuzz test for a minute each: make fuzz TIME=10m (KEEP=1 keeps inputs under testdata/fuzz)
	@scripts/fuzz $(or $(TIME),60s)

soak: packages ## kill the server in the middle of publishes, 2,000 times: make soak KILLS=10000
	SIGNET_CRASH_KILLS=$(or $(KILLS),2000) $(GO) test -timeout 24h -count 1 -run TestKilledAtAnyMoment -v ./test/crash

mutate: packages ## take protections away one at a time: a test has to notice each (make mutate ARGS="-only rollback")
	@scripts/mutate $(ARGS)

clean: ## remove what was built
	rm -rf $(BIN)

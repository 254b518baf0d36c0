# The two commands: make demo, make test. Everything else serves them.
SHELL := bash
GO ?= go
BIN := bin/dynaferry
export CGO_ENABLED ?= 0

# The commit a build is of, for --version and bench; asked of git here, since not every machine lets go do it.
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
LDFLAGS := $(if $(COMMIT),-X dynaferry/internal/cli.Version=devel-$(COMMIT))

# Packages where goroutines meet; the race detector needs a C compiler.
RACED := ./internal/blob/... ./internal/commit ./internal/changelog ./internal/capture ./internal/plan ./internal/dynamo/... ./internal/local/store ./internal/local/upstream ./internal/local/shadow ./internal/job

.PHONY: build demo test planted race long lint peers bench docs clean

build:
	@mkdir -p bin
	$(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(BIN) ./cmd/dynaferry

# The main job on the embedded default: a table becomes Parquet in a bucket and comes back.
demo: build
	$(BIN) demo

# All that must pass, at its CI size.
test: lint build
	$(GO) test -tags checks -timeout 14m ./...
	$(MAKE) --no-print-directory planted
	$(MAKE) --no-print-directory race

# Bugs that are planted one at a time must be found by the simulation.
planted:
	$(GO) test -tags 'checks planted' -run TestPlanted ./internal/sim

race:
	@if command -v $${CC:-cc} >/dev/null; then set -x; CGO_ENABLED=1 $(GO) test -race -short -timeout 10m $(RACED); \
	else echo "SKIP race: this machine has no C compiler, which the race detector needs"; fi

# The full counts of the long suites; and laptops that are no Linux can have the program.
long: lint
	GOOS=darwin GOARCH=arm64 $(GO) build ./...
	DYNAFERRY_LONG=1 $(GO) test -tags checks -count=1 -timeout 4h ./...

lint:
	@unformatted=$$(gofmt -l cmd internal); if [ -n "$$unformatted" ]; then echo "not gofmt'ed: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags peers ./...

# The real counterparts, fetched into the ignored folder .peers, versions pinned in peers/.
peers: build
	peers/install.sh
	DYNAFERRY_BIN=$(BIN) $(GO) test -tags peers -count=1 -timeout 35m -v ./internal/peers | grep -v '^=== '; exit $${PIPESTATUS[0]}

bench: build
	$(BIN) bench --peers .peers --out bench.json

# The pages that are made from the code.
docs:
	$(GO) test ./internal/cli -run Reference -update

clean:
	rm -rf bin .peers

# The two commands: make demo, make test. Everything else serves them.
GO ?= go
BIN := bin/dynaferry
export CGO_ENABLED ?= 0

.PHONY: build demo test long peers bench lint clean

build:
	@mkdir -p bin
	$(GO) build -trimpath -o $(BIN) ./cmd/dynaferry

demo: build
	$(BIN) demo

clean:
	rm -rf bin .peers

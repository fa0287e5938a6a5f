# Small verbs, each runnable alone. `make` lists them.

GO          ?= go
FUZZTIME    ?= 10s
STRESS      ?= 20
INTEROPTIME ?= 30m
# Which packages `make stress`, `make cover` and `make fuzz` look at.
PKG         ?= ./...

# A module of its own, so that clients used only by these tests stay out of Weir's go.mod.
INTEROP_DIR := cmd/weir/interop

# The linter's version is pinned: a new one is a change of its own. Everything is on but ST1003, for
# Kafka's own spellings (ApiVersions beside API), and ST1020-ST1022, for a type's comment may say when it
# is returned rather than begin with its name.
STATICCHECK        := honnef.co/go/tools/cmd/staticcheck@v0.8.2
STATICCHECK_CHECKS := all,-ST1003,-ST1020,-ST1021,-ST1022

.DEFAULT_GOAL := help
.PHONY: help build test race lint fmt fuzz stress bench bench-peers cover demo interop torture mutants

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/weir
	$(GO) build -trimpath -o bin/weir ./cmd/weir

test: ## every test that needs only Go
	$(GO) test -timeout 15m ./...

race: ## the same under the race detector
	$(GO) test -race -timeout 30m ./...

lint: ## gofmt, go mod tidy, go vet and staticcheck; changes nothing
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	$(GO) mod tidy -diff
	cd $(INTEROP_DIR) && $(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) vet -tags torture,mutants ./cmd/weir/torture/...
	cd $(INTEROP_DIR) && $(GO) vet -tags interop ./...
	$(GO) run $(STATICCHECK) -checks '$(STATICCHECK_CHECKS)' ./...
	cd $(INTEROP_DIR) && $(GO) run $(STATICCHECK) -checks '$(STATICCHECK_CHECKS)' -tags interop ./...

fmt: ## gofmt -w
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

# The go command now and then takes the end of the time for a failure of the target, with these words and
# no input; the target runs once more then.
FUZZ_TIME_IS_UP = ^ *context deadline exceeded$$

fuzz: ## each fuzz target for FUZZTIME (10s), found by listing
	@set -eu; for package in $$($(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' $(PKG)); do \
		targets=$$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); \
		for target in $$targets; do \
			echo "fuzz $$package $$target"; \
			for again in 1 2; do \
				if out=$$($(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package 2>&1); then \
					echo "$$out"; break; \
				fi; \
				echo "$$out"; \
				if [ $$again = 2 ] || echo "$$out" | grep -q 'Failing input' || ! echo "$$out" | grep -Eq '$(FUZZ_TIME_IS_UP)'; then exit 1; fi; \
			done; \
		done; \
	done

stress: ## the tests of PKG, STRESS (20) times in random order under the race detector
	$(GO) test -race -shuffle on -count $(STRESS) -timeout 60m $(PKG)

bench: ## Go benchmarks
	$(GO) test -run '^$$' -bench . -benchmem $(PKG)

bench-peers: ## Weir, Apache Kafka and NATS JetStream in one sitting -> bench/RESULTS.md, three brokers each -> bench/RESULTS-3.md
	$(GO) run ./bench/peers
	$(GO) run ./bench/peers -brokers 3

cover: ## coverage per function, total last
	$(GO) test -coverprofile cover.prof $(PKG)
	$(GO) tool cover -func=cover.prof

demo: build ## three brokers, one killed while it leads: produce, consume, replay; leaves nothing behind
	$(GO) run ./cmd/weir/demo -weir bin/weir

interop: build ## clients in their own languages against bin/weir (needs Python, Node, JDK, Maven, kcat)
	cd $(INTEROP_DIR) && $(GO) test -tags interop -count 1 -parallel 4 -timeout $(INTEROPTIME) -v ./...

torture: build ## kill -9 under load, power loss, full disks, damaged files (needs root to mount)
	WEIR_TORTURE_BINARY=$(CURDIR)/bin/weir $(GO) test -tags torture -count 1 -timeout 60m -v ./cmd/weir/torture/...

mutants: ## known bugs planted one at a time, each of which a test has to see (needs root to mount)
	$(GO) test -tags mutants -run TestCaught -count 1 -timeout 60m -v ./cmd/weir/torture/mutants

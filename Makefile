# The commands of DropMate. `make up` and `make test` are all a newcomer needs.

CARGO ?= cargo
# The debug build is there in half the time, and fast enough for the demo; `make up PROFILE=release` for real use.
PROFILE ?= dev

.PHONY: up demo-check test lint bench load-smoke chaos generate compose-up compose-down compose-test compose-faults build help

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

build: ## Build the programs
	@.ci/prepare >/dev/null
	$(CARGO) build --locked --profile $(PROFILE) --workspace --bins

up: build ## Start DropMate with a demo business whose orders are delivered before your eyes (Ctrl-C ends it)
	$(CARGO) run --locked --quiet --profile $(PROFILE) --bin dropmate -- up --demo --speed 60

demo-check: build ## Start the demo and end with 0 after the first delivered order
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && $(CARGO) run --locked --quiet --profile $(PROFILE) --bin dropmate -- \
		up --demo --speed 60 --until-delivered 1 --data-dir "$$dir" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0

test: ## Run every test
	@.ci/test

lint: ## Formatting and clippy, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

bench: ## Run the benchmarks and print their figures beside the targets
	$(CARGO) bench --workspace --locked

load-smoke: ## A short load of phones and live streams: rates, CPU, losses (a minute, after a release build)
	DROPMATE_BENCH_SECONDS=5 DROPMATE_BENCH_SOCKETS=200 DROPMATE_BENCH_STUCK=10 DROPMATE_BENCH_IDLE=500 \
		$(CARGO) bench --workspace --locked --bench ingest --bench stream

chaos: ## Kill notification agents for some minutes under load, and count what was lost or came twice (after a release build)
	@.ci/prepare >/dev/null
	DROPMATE_CHAOS_EVENTS=10000 DROPMATE_CHAOS_KILLS=64 \
		$(CARGO) test --workspace --locked --release --test chaos -- --nocapture --test-threads 1 run::

generate: ## Rewrite the generated files (CRDs)
	UPDATE=1 $(CARGO) test --workspace --locked generated

compose-up: ## Build and start DropMate on Docker Compose (docs/compose.md)
	cd compose && docker compose build && docker compose run --rm bootstrap && docker compose up -d --wait

compose-down: ## Stop it; data and secrets stay
	cd compose && docker compose down

compose-test: ## Deliver an order on a Compose stack of its own, and check how it is closed off
	@.ci/docker
	@compose/test

compose-faults: ## Break each part of a Compose stack under load; prints what an operator sees (a quarter of an hour)
	@.ci/docker
	@compose/faults

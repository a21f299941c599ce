# Longshore: one command for each thing that one does here. `make` lists them.

CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
DEBUG_BIN := $(CARGO_TARGET_DIR)/debug/longshore
RELEASE_BIN := $(CARGO_TARGET_DIR)/release/longshore
PYTHON := .venv/bin/python

.PHONY: help setup setup-tests demo demo-reset test unit sim fuzz e2e lint bench bench-scale bench-lb bench-auth h2spec build build-newer release fmt docs stop-docker clean

help: ## list the commands
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## install what is missing: packages, Docker, Python clients
	@scripts/setup

demo: setup release ## see it work; ONCE=1 ends after the check
	@LONGSHORE_BIN=$(RELEASE_BIN) $(PYTHON) demo/demo.py $(if $(ONCE),--once)

demo-reset: setup release ## remove the demo's state and containers
	@LONGSHORE_BIN=$(RELEASE_BIN) $(PYTHON) demo/demo.py --reset

test: setup-tests lint unit e2e ## everything that must hold before a change lands

setup-tests: setup
	@scripts/setup etcd

unit: ## Rust tests, without Docker, network or root; those of etcd where it is installed
	scripts/etcd run cargo test --quiet --workspace
	RUST_LOG=off cargo run --quiet --package longshore-sim -- --seeds 20 --random 5

sim: ## run the simulator: SEEDS=N fixed seeds and RANDOM_SEEDS=N others; REPLAY=SEED tells one
	cargo build --quiet --release --package longshore-sim
	RUST_LOG=off $(CARGO_TARGET_DIR)/release/longshore-sim $(if $(REPLAY),--replay $(REPLAY),--seeds $(or $(SEEDS),1000) --random $(or $(RANDOM_SEEDS),0))

fuzz: ## fuzz what reads bytes of others, SECONDS each (60); TARGET=name for one; needs a nightly toolchain
	SECONDS_EACH=$(or $(SECONDS),60) scripts/fuzz $(TARGET)

e2e: build-newer build ## whole processes, real Docker, unmodified AWS clients; ARGS goes to pytest
	LONGSHORE_BIN=$(DEBUG_BIN) LONGSHORE_NEWER_BIN=$(DEBUG_BIN)-newer $(PYTHON) -m pytest -n 2 $(ARGS)

lint: ## formats, lints, generated code
	scripts/lint

bench: setup release ## measure, side by side with others
	@scripts/setup bench
	@LONGSHORE_BIN=$(RELEASE_BIN) $(PYTHON) bench/bench.py $(ARGS)

bench-scale: setup release ## measure how far one server goes, with hollow agents
	@scripts/setup bench etcd
	@LONGSHORE_BIN=$(RELEASE_BIN) $(PYTHON) bench/scale.py $(ARGS)

bench-lb: setup release ## measure the balancer beside nginx and HAProxy, and services at zero
	@scripts/setup bench
	@LONGSHORE_BIN=$(RELEASE_BIN) $(PYTHON) bench/lb.py $(ARGS)

bench-auth: setup release ## measure what identity costs
	@scripts/setup bench
	@cargo bench --quiet --package longshore-auth
	@LONGSHORE_BIN=$(RELEASE_BIN) $(PYTHON) bench/auth.py $(ARGS)

h2spec: setup release ## the conformance tests of HTTP/2 against the balancer, nginx and HAProxy; needs Go
	@scripts/setup bench
	@LONGSHORE_BIN=$(RELEASE_BIN) $(PYTHON) bench/h2spec.py

build:
	cargo build --quiet --package longshore

# A binary that writes records as a newer patch release might, for the test of rolling upgrades. `build`
# puts the usual one in its place again.
build-newer:
	cargo build --quiet --package longshore --features newer-records
	cp $(DEBUG_BIN) $(DEBUG_BIN)-newer

release:
	cargo build --quiet --release --package longshore

fmt: ## format everything
	cargo fmt --all
	.venv/bin/ruff format --quiet .
	.venv/bin/ruff check --quiet --fix .

docs: ## write the generated pages again
	UPDATE_DOCS=1 cargo test --quiet --package longshore-server coverage

stop-docker: ## stop the Docker daemon that `make setup` started, if it did
	@scripts/setup stop-docker

clean: ## remove what was built
	cargo clean
	rm -rf .venv .cache

# Millrace: everything that is done from a shell, by name. `make` alone lists it.
#
# Tools and test data go to MILLRACE_CACHE and the compiler's output to CARGO_TARGET_DIR; both are
# outside the tree, so that a fresh checkout starts from what an earlier one built.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build crashable data demo test faults soak lint fmt bench clean
# The targets are steps of one build over one target folder: -j has nothing to gain here.
.NOTPARALLEL:

export MILLRACE_CACHE ?= $(HOME)/.cache/millrace
export MILLRACE_LIBCHDB ?= $(MILLRACE_CACHE)/chdb/lib/libchdb.so
export CARGO_TARGET_DIR ?= $(MILLRACE_CACHE)/target
export PATH := $(PATH):$(HOME)/.cargo/bin

# Every build names the whole workspace and the release profile: features then come out the same, and
# `make build`, `make test` and `make bench` share one build of the dependencies.
CARGO_OPTIONS := --locked --release --workspace

# make's own job server would give cargo fewer jobs than there are cores under `make -jN`.
CARGO := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL cargo

help: ## List these targets
	@grep -hE '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## Install what building, the demo and the tests need (see deploy/dev/README.md)
	deploy/dev/setup

build: ## Build bin/millrace, with libchdb.so beside it
	deploy/dev/setup system chdb
	$(CARGO) build $(CARGO_OPTIONS) --bin millrace
	@mkdir -p bin
	@# Copied beside and renamed: a millrace that is running keeps the file it was started from.
	@cp "$(CARGO_TARGET_DIR)/release/millrace" bin/millrace.new
	@mv -f bin/millrace.new bin/millrace
	@ln -sfn "$(MILLRACE_LIBCHDB)" bin/libchdb.so
	@echo "built bin/millrace"

# It dies at points, not at times: how fast it is does not matter, and how fast it is built does.
CRASHABLE_OPTIONS := --features millrace/crash-points $(foreach crate,millrace schemas stream control warehouse \
	ingest processors query-api,--config profile.release.package.$(crate).opt-level=1)

crashable: ## Build the variant that tests let die at named points of the write path
	deploy/dev/setup system chdb
	$(CARGO) build $(CARGO_OPTIONS) --bin millrace $(CRASHABLE_OPTIONS)
	@cp "$(CARGO_TARGET_DIR)/release/millrace" "$(CARGO_TARGET_DIR)/release/millrace-crashable.new"
	@mv -f "$(CARGO_TARGET_DIR)/release/millrace-crashable.new" "$(CARGO_TARGET_DIR)/release/millrace-crashable"

data: ## Download the retail purchases that the demo and the tests replay
	deploy/dev/setup data

demo: build data ## Replay real purchases into a running Millrace (ARGS="--help" lists the options)
	bin/millrace demo --dataset "$(MILLRACE_CACHE)/data/complete-journey" $(ARGS)

# The variant first: both leave a program of the same name, and the tests start the one without crash points.
test: setup crashable build ## Run every test (ARGS="--test conformance" for one suite, "-- name" for one test)
	$(CARGO) test $(CARGO_OPTIONS) --no-fail-fast $(ARGS)

faults: setup crashable build ## Run the whole table of faults, some 20 minutes (ARGS="zombie broker" chooses by name)
	MILLRACE_FAULTS=full $(CARGO) test $(CARGO_OPTIONS) --test faults -- $(ARGS)

soak: setup build ## Run ten minutes at half capacity with a fault a minute
	MILLRACE_FAULTS=soak $(CARGO) test $(CARGO_OPTIONS) --test faults

lint: ## Check formatting, lints and the documentation's links
	cargo fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings --allow rustdoc::private-intra-doc-links" $(CARGO) doc --locked --workspace --no-deps --document-private-items
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check; \
	else echo "cargo-deny is not installed: licences, advisories and duplicates are not checked"; fi

fmt: ## Format the code
	cargo fmt --all

bench: setup build ## Run the benchmarks (ARGS names one, as in ARGS="end-to-end --runs 5")
	$(CARGO) build $(CARGO_OPTIONS) --bin benches
	"$(CARGO_TARGET_DIR)/release/benches" $(ARGS)

clean: ## Remove what was built (the downloaded tools and data stay)
	rm -rf bin
	$(CARGO) clean

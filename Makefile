# offhook. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/release
export OFFHOOK_LOGS := $(TARGET)/logs
# The engines are built for the machine that builds them, which makes Whisper a third faster where it has AVX-512. PORTABLE=1
# builds them for any x86-64 server since 2013. ggml's build scripts do not notice a change: make clean after one.
export GGML_NATIVE := $(if $(PORTABLE),OFF,ON)

PHASE := scripts/phase.sh
# The hearts are small and are tested with every assertion of the dev profile. The appliance is tested as it is used:
# in the release profile, which is the only one that the engines are built in.
HEARTS := -p sip -p media
MODELS := -p models --features fake
APPLIANCE := -p offhook --lib --test it
ENGINES := -p offhook-whisper -p offhook-turn -p offhook-llama -p offhook-piper

.PHONY: help setup setup-test engines build models demo run check test test-quick bench-turn bench-bargein bench-compare bench-sip bench-jitter bench-api bench-media soak bench-quality fuzz-smoke fuzz clean logs

help:
	@printf 'offhook, a self-hosted voice gateway. Targets:\n'
	sed -n 's/^## \([a-z-]*\): /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS=$$'\t' read -r name text; do
		printf '  %-12s %s\n' "$$name" "$$text"
	done

## demo: set everything up, hold a short conversation over a real SIP call, end with a line of JSON
demo: setup engines build models
	@printf '==> demo\n'
	$(BIN)/offhook demo --config config/demo.toml

## run: start the gateway with config/offhook.toml, and say what to dial
run: setup engines build models
	@exec $(BIN)/offhook serve --config config/offhook.toml

## test: everything that proves the project (formats, lints, all tests, real peers)
test: logs setup setup-test engines check
	@$(PHASE) 'no two ggmls' scripts/one-ggml.sh
	$(PHASE) 'service unit' scripts/verify-unit.sh
	$(PHASE) -q 'build of the tests of sip and media' cargo test --no-run $(HEARTS)
	$(PHASE) 'tests of sip and media' cargo test --quiet $(HEARTS)
	$(PHASE) -q 'build of the appliance and its tests' cargo test --release --no-run $(APPLIANCE) --test interop
	$(PHASE) 'licences' scripts/licences.sh
	$(PHASE) -a 'models' $(BIN)/offhook models pull starter
	$(PHASE) 'tests of models' cargo test --quiet --release $(MODELS)
	$(PHASE) -q 'build of the tests of the engines' cargo test --release --no-run $(ENGINES)
	$(PHASE) 'tests of the engines' cargo test --quiet --release $(ENGINES)
	$(PHASE) 'tests of the appliance' cargo test --quiet --release $(APPLIANCE)
	$(PHASE) 'tests with real peers' cargo test --release -p offhook --test interop -- --test-threads=1 --show-output
	scripts/summary.sh

## test-quick: formats, lints and the tests that need no engine, no model and no peer
test-quick: logs check
	@$(PHASE) 'tests of sip and media' cargo test --quiet $(HEARTS)
	$(PHASE) 'tests of the appliance without engines' cargo test --quiet --release -p offhook --lib
	scripts/summary.sh

## check: formats and lints, no warning allowed
check:
	@$(PHASE) -q 'format' cargo fmt --all --check
	$(PHASE) -q 'lints' cargo clippy --quiet $(HEARTS) -p models -p offhook -p offhook-smoke --all-targets -- -D warnings
	$(PHASE) -q 'lints of the engines' cargo clippy --quiet --release $(ENGINES) --all-targets -- -D warnings

## setup: install the Debian packages that building and running need
setup:
	@$(PHASE) 'setup' scripts/setup.sh

## setup-test: install the programs that the tests talk to (SIPp, baresip, Kamailio, …)
setup-test:
	@$(PHASE) 'setup of the test peers' scripts/setup-test.sh

## engines: build whisper.cpp, llama.cpp and Piper, each as a program of its own (about 6 minutes the first time)
engines:
	@$(PHASE) -q 'engines' cargo build --release $(ENGINES)

## build: build the gateway
build:
	@$(PHASE) -q 'gateway' cargo build --release -p offhook

## models: fetch the starter models into the user's cache folder
models: build
	@$(PHASE) -a 'models' $(BIN)/offhook models pull starter

## bench-turn: measure voice to voice at the caller's ear, alone and in company, and how well words are heard (about 35 minutes)
bench-turn: setup setup-test engines build models
	@$(PHASE) -a 'bench-turn' $(BIN)/offhook bench turn --config config/demo.toml

## bench-bargein: talk over the agent: how soon it gives way to a voice, and goes on after a cough (about 8 minutes)
bench-bargein: setup setup-test engines build models
	@$(PHASE) -a 'bench-bargein' $(BIN)/offhook bench bargein --config config/demo.toml

## bench-compare: say the same lines to Pipecat with the same Whisper and Piper weights (TURNS=… for more; about 30 minutes)
bench-compare: setup setup-test engines build models
	@$(PHASE) -a 'bench-compare' env BIN=$(BIN) TURNS=$(or $(TURNS),48) scripts/bench-compare.sh

## bench-sip: measure what signalling costs: calls a second, set-up time, CPU and memory of a call (about 4 minutes)
bench-sip: setup-test
	@$(PHASE) -q 'build of bench-sip' cargo bench --no-run -p sip --bench signalling
	printf '==> bench-sip\n'
	cargo bench --quiet -p sip --bench signalling

## bench-jitter: simulate lines and compare the jitter buffer's delay and loss with fixed buffers' (a minute)
bench-jitter:
	@$(PHASE) -q 'build of bench-jitter' cargo bench --no-run -p media --bench jitter
	printf '==> bench-jitter\n'
	cargo bench --quiet -p media --bench jitter

## bench-api: measure the control API: pages, reads and placing calls, with 10,000 calls and 100,000 messages (about a minute)
bench-api: setup-test
	@$(PHASE) -q 'build of bench-api' cargo bench --no-run -p offhook --bench api
	printf '==> bench-api\n'
	cargo bench --quiet -p offhook --bench api

## bench-media: measure what a call's sound costs, beside a process that only sends packets back (about 8 minutes)
bench-media: setup-test
	@$(PHASE) -q 'build of bench-media' cargo bench --no-run -p media --bench media
	printf '==> bench-media\n'
	cargo bench --quiet -p media --bench media

## soak: an hour of 100 calls that come and go; memory and descriptors stay what they were (MINUTES=… for less)
soak: setup-test
	@$(PHASE) -q 'build of soak' cargo bench --no-run -p media --bench media
	printf '==> soak\n'
	cargo bench --quiet -p media --bench media -- soak --minutes $(or $(MINUTES),60)

## bench-quality: measure how speech sounds behind a bad line (PESQ), ours beside real phones' (about 20 minutes; QUALITY='--ours' without phones: two)
bench-quality: setup-test
	@$(PHASE) -q 'setup of bench-quality' scripts/setup-quality.sh
	$(PHASE) -q 'build of bench-quality' cargo bench --no-run -p media --bench quality
	printf '==> bench-quality\n'
	cargo bench --quiet -p media --bench quality -- $(QUALITY)

## fuzz-smoke: a million hostile inputs for every parser and both state machines (INPUTS=… for more)
fuzz-smoke:
	@$(PHASE) -q 'build of fuzz-smoke' cargo build --release -p offhook-smoke
	printf '==> fuzz-smoke\n'
	$(BIN)/offhook-smoke $(INPUTS)

## fuzz: the same with libFuzzer, for as long as SECONDS_EACH says (needs a nightly toolchain and cargo-fuzz)
fuzz:
	@if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
		echo 'fuzz needs a nightly toolchain and `cargo install cargo-fuzz`; `make fuzz-smoke` does without them' >&2
		exit 69
	fi
	for target in $$(cargo +nightly fuzz list); do
		$(PHASE) "fuzz $$target" cargo +nightly fuzz run "$$target" -- -max_total_time=$(or $(SECONDS_EACH),60) -verbosity=0
	done

## clean: remove everything that was built (models stay in the cache folder)
clean:
	@cargo clean --quiet

# A fresh folder for the logs of this run.
logs:
	@rm -rf $(OFFHOOK_LOGS)
	mkdir -p $(OFFHOOK_LOGS)

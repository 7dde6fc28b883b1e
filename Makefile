# lazy-mmu: `make run` boots the kernel, `make test` proves it. `make help` lists the rest.

BARE_TARGET := aarch64-unknown-none-softfloat
# Packages for the bare machine; every other package of the workspace is the host's.
BARE := lazy-mmu-boot lazy-mmu-kernel lazy-mmu-test-kernels lazy-mmu-guest
# The kernel with mistakes to make on purpose: built by itself, so that the feature stays out of the others.
PLANTED := lazy-mmu-planted

# One absolute place for all that is built, whoever asks: cargo, the tests, the scripts.
TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
export CARGO_TARGET_DIR := $(TARGET_DIR)

# The machine of `make run` and `make debug`; the boot runner reads them (tools/README.md says what each may be).
export CPU SMP MEM GIC EL2 ICOUNT TIMEOUT WITNESS

# setup.sh leaves what cargo must be told on this machine in setup.env; mostly nothing.
ENV := set -a; . "$(TARGET_DIR)/setup.env"; set +a;
CARGO := $(ENV) cargo

DOC := --quiet --release --no-deps --document-private-items
# The tests of stage1-paging run on its model.
ON_HOST := --workspace $(BARE:%=--exclude %) --exclude $(PLANTED) --features stage1-paging/model
ON_BARE := --target $(BARE_TARGET) $(BARE:%=--package %)

.PHONY: help run test test-host test-qemu test-trace build debug check clean setup

help:
	@echo 'make run [ARGS="run=zap pages=64 ..."] [CPU=..] [SMP=..] [MEM=..] [GIC=..] [EL2=on] [ICOUNT=on] [TIMEOUT=secs]'
	@echo '             boot the kernel, run, print the table and the verdict; writes target/report.json'
	@echo 'make test    all tests: on the host, then in QEMU; TESTS="00_boot" picks QEMU tests, as libtest does'
	@echo 'make check   format, lints on both targets, docs'
	@echo 'make debug   the same boot as `make run`, waiting for gdb'
	@echo 'make build   build the kernels only'
	@echo 'make clean   remove all that was built'
	@echo 'The first run installs what is missing (QEMU, the Rust target) and says what it installs.'

setup:
	@sh tools/setup.sh

run debug: setup
	@$(CARGO) run --quiet --release --target $(BARE_TARGET) --package lazy-mmu-kernel -- $(ARGS)

debug: export GDB := on

build: setup
	@$(CARGO) build --release $(ON_BARE)
	@$(CARGO) build --release --target $(BARE_TARGET) --package $(PLANTED)

test: test-host test-qemu test-trace

# The rules on the host, over what the kernel has written: they must find there what they find in the kernel, as many events and
# nothing wrong.
test-trace: build test-qemu
	@$(CARGO) run --quiet --release --target $(BARE_TARGET) --package lazy-mmu-kernel -- run=all policy=seed,linux7 pages=64 k=8 check=on trace=on > "$(TARGET_DIR)/trace.console" || { cat "$(TARGET_DIR)/trace.console"; exit 1; }
	@$(CARGO) run --quiet --release --package mmu-check --example check_trace -- "$(TARGET_DIR)/events.trace" | tee "$(TARGET_DIR)/trace.checked"
	@events=$$(sed -n 's/^check: \([0-9]*\) events,.*no violation$$/\1/p' "$(TARGET_DIR)/trace.console"); \
		grep -q " 0 violations; events $$events," "$(TARGET_DIR)/trace.checked" || { echo "the kernel told of $${events:-no} events: not what is in the trace"; exit 1; }

# The host's tests come after the bare build: those of tools/ boot a kernel too.
test-host: build
	@$(CARGO) test --release $(ON_HOST) --exclude lazy-mmu-tests -- --show-output
	@$(CARGO) test --quiet --release --package lazy-mmu --no-default-features --test api --test misuse

test-qemu: build test-host
	@$(CARGO) test --release --package lazy-mmu-tests -- $(TESTS)

check: setup
	@sh tools/setup.sh check
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --release $(ON_HOST) --all-targets -- -D warnings
	@$(CARGO) clippy --release $(ON_BARE) -- -D warnings
	@$(CARGO) clippy --release --target $(BARE_TARGET) --package $(PLANTED) -- -D warnings
	@export RUSTDOCFLAGS='-D warnings'; $(CARGO) doc $(DOC) $(ON_HOST)
	@$(ENV) export RUSTDOCFLAGS="-D warnings $$BARE_FLAGS"; cargo doc $(DOC) $(ON_BARE)

clean:
	@rm -rf "$(TARGET_DIR)"

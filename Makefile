# lazy-mmu: `make run` boots the kernel, `make test` proves it. `make help` lists the rest.

BARE_TARGET := aarch64-unknown-none-softfloat
# Packages for the bare machine; every other package of the workspace is the host's.
BARE := lazy-mmu-boot lazy-mmu-kernel lazy-mmu-test-kernels lazy-mmu-guest
# The kernel with faults to inject: built by itself, so that its feature stays out of the others.
FAULTS := lazy-mmu-fault-image
# The kernel that measures, beside other crates: built by itself, so that its figures do not depend on what is built with it.
BENCH := lazy-mmu-bench

# The settings: `make run` and `make debug` take the machine and the kernel's command line (tools/README.md says what each
# may be), `make test` takes TESTS, `make mutants` takes MUTANTS, `make bench`
# takes SHORT and BASELINE, `make fault` takes FAULT. The programs read them from their environment. No recipe has
# their text in it, so the shell sees nothing of it; and here each becomes what was typed, so make does not expand a `$` either.
ASKED := ARGS CPU SMP MEM GIC EL2 ICOUNT TIMEOUT WITNESS KEEP TESTS MUTANTS SHORT BASELINE FAULT CARGO_TARGET_DIR
$(foreach name,$(ASKED),$(eval override $(name) := $$(value $(name))))

# What others can take from here: must stand as packages, each built from what would be published.
CRATES := lazy-mmu stage1-paging stage1-hw mmu-check

# One absolute place for all that is built, for cargo, the tests, the scripts.
override CARGO_TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
ifeq ($(filter /%,$(firstword $(CARGO_TARGET_DIR))),)
override CARGO_TARGET_DIR := $(CURDIR)/$(CARGO_TARGET_DIR)
endif
export $(ASKED)

# A boot ends when this make does, however that is killed: its number, and on Linux the signals it handles until it is sent them.
export LAZY_MMU_ENDS_WITH := $(shell echo $$PPID; sed -n 's/^SigCgt:[[:space:]]*//p' /proc/$$PPID/status 2>/dev/null)

# setup.sh leaves what cargo needs on this machine in setup.env; mostly nothing. Cargo takes the shell's place: a signal
# for what make has started reaches it, and by it the boot.
ENV := set -a; . "$$CARGO_TARGET_DIR/setup.env"; set +a;
CARGO := $(ENV) exec cargo

DOC := --quiet --release --no-deps --document-private-items
# What runs here is built as fast as the kernel, but without its link-time optimisation (Cargo.toml).
HOST := --profile host
# The tests of stage1-paging run on its model.
ON_HOST := --workspace $(BARE:%=--exclude %) --exclude $(FAULTS) --exclude $(BENCH) --features stage1-paging/model
ON_BARE := --target $(BARE_TARGET) $(BARE:%=--package %)

.PHONY: help run trace report fault test test-host test-qemu test-trace build debug check bench fuzz mutants pictures clean setup

help:
	@echo 'make run [ARGS="run=zap pages=64 ..."] [CPU=..] [SMP=..] [MEM=..] [GIC=..] [EL2=on] [ICOUNT=on] [TIMEOUT=secs]'
	@echo '             boot the kernel, run, print the table and the verdict; writes target/report.json, or in KEEP=dir'
	@echo 'make trace [the same]'
	@echo '             the same boot, its events as target/trace.json for https://ui.perfetto.dev'
	@echo 'make report [the same]'
	@echo '             the same boot, and others for the plots; one page with tables, plots and pictures: target/report.html'
	@echo 'make test    all tests: on the host, then in QEMU'
	@echo 'make test TESTS="00_boot 11_panic"'
	@echo '             only the QEMU tests whose names have one of these in them; --list and other options as of libtest'
	@echo 'make bench [SHORT=on] [BASELINE=write]'
	@echo '             count instructions, barriers and TLBIs of page-table work, beside other crates and against the committed'
	@echo '             baseline; writes target/bench.json. SHORT: up to 512 pages. BASELINE=write: write it anew'
	@echo 'make check   format, lints on both targets, docs, the crates as packages'
	@echo 'make mutants [MUTANTS="--file debt.rs --shard 0/8 ..."]'
	@echo '             change stage1-paging, lazy-mmu and the rules of mmu-check in one place after the other, and list each change'
	@echo '             that their tests do not notice; takes hours, installs cargo-mutants, and MUTANTS are options of it'
	@echo '             (--iterate goes on where it was stopped)'
	@echo 'make fuzz [SECONDS=60]'
	@echo '             random programs of page-table work on the rules and on the machine of mmu-check, which must agree'
	@echo 'make pictures'
	@echo '             draw the pictures in docs/pictures anew, from boots (three minutes)'
	@echo 'make fault   list the faults that can be injected, and who sees each'
	@echo 'make fault FAULT=publish-no-dsb [ARGS="run=zap check=on ..."] [CPU=..] [SMP=..]'
	@echo '             boot the runs that show this one, or these words with it; says who sees it, and where it is made'
	@echo 'make debug   the same boot as `make run`, waiting for gdb; prints what to type, and installs a gdb if there is none'
	@echo 'make build   build the kernels only'
	@echo 'make clean   remove all that was built'
	@echo 'The first run installs what is missing (QEMU, the Rust target) and says what it installs.'

setup:
	@sh tools/setup.sh

# The build says nothing by itself, and the first one takes a while.
run: setup
	@[ -e "$$CARGO_TARGET_DIR/$(BARE_TARGET)/release/lazy-mmu-kernel" ] || \
		echo 'building the kernel, what boots it and the plugin that counts: a minute or two on two cores, this first time alone'
	@$(CARGO) run --quiet --release --target $(BARE_TARGET) --package lazy-mmu-kernel

# gdb's command `events` runs `ring`.
debug: export GDB := on
debug: setup
	@sh tools/setup.sh debug
	@$(CARGO) build --quiet $(HOST) --package lazy-mmu-tools --bin ring
	@$(CARGO) run --quiet --release --target $(BARE_TARGET) --package lazy-mmu-kernel

# They boot the kernel themselves, as `make run` does, with what they need besides.
trace report: setup
	@$(ENV) cargo build --quiet --release --target $(BARE_TARGET) --package lazy-mmu-kernel
	@$(CARGO) run --quiet $(HOST) --package lazy-mmu-tools --bin $@ -- "$$CARGO_TARGET_DIR/$(BARE_TARGET)/release/lazy-mmu-kernel"

fault: setup
	@$(if $(FAULT),$(CARGO) build --quiet --release --target $(BARE_TARGET) --package $(FAULTS),:)
	@$(CARGO) run --quiet $(HOST) --package lazy-mmu-tools --bin fault

# tools/tests/pictures.rs draws them again, and compares.
pictures: setup
	@sh tools/setup.sh debug
	@$(CARGO) build --quiet --release --target $(BARE_TARGET) --package lazy-mmu-kernel
	@$(CARGO) build --quiet --release --target $(BARE_TARGET) --package lazy-mmu-test-kernels --bin 52_replace_live
	@$(CARGO) run --quiet $(HOST) --package lazy-mmu-tools --bin pictures -- docs/pictures

build: setup
	@$(CARGO) build --release $(ON_BARE)
	@$(CARGO) build --release --target $(BARE_TARGET) --package $(FAULTS)
	@$(CARGO) build --release --target $(BARE_TARGET) --package $(BENCH)

bench: setup
	@$(CARGO) build --release --target $(BARE_TARGET) --package $(BENCH)
	@$(CARGO) run --quiet $(HOST) --package lazy-mmu-tools --bin bench

# With TESTS, what it names and nothing else.
test: $(if $(TESTS),test-qemu,test-host test-qemu test-trace)

# The rules on the host, over what the kernel has written: they must find there what they find in the kernel, as many events and
# nothing wrong. Once the whole boot, once the run with what was known before it, which has most of the events.
test-trace: build test-qemu
	@$(call check_trace,all,0)
	@$(call check_trace,on,[1-9][0-9]*)

# A boot with this `trace=`, and its trace checked: it leaves out as many events as the pattern matches.
check_trace = export KEEP="$$CARGO_TARGET_DIR/test-trace/$(1)" ARGS="run=all policy=v3,linux7 pages=64 k=8 check=on trace=$(1)"; mkdir -p "$$KEEP"; \
	($(CARGO) run --quiet --release --target $(BARE_TARGET) --package lazy-mmu-kernel) > "$$KEEP/console" || { cat "$$KEEP/console"; exit 1; }; \
	($(CARGO) run --quiet $(HOST) --package mmu-check --example check_trace -- "$$KEEP/events.trace") > "$$KEEP/checked"; status=$$?; \
	cat "$$KEEP/checked"; [ $$status = 0 ] || exit $$status; \
	events=$$(sed -n 's/^check: \([0-9]*\) events,.*no violation$$/\1/p' "$$KEEP/console"); \
	sed -n 's/.* 0 violations; events \([0-9]*\),.* and \($(2)\) before the trace begins$$/\1 + \2/p' "$$KEEP/checked" > "$$KEEP/sum"; \
	[ "$$(($$(cat "$$KEEP/sum")))" = "$$events" ] || { echo "the kernel reported $${events:-no} events, and the trace has another number"; exit 1; }

# The host's tests come after the bare build: those of tools/ boot a kernel too.
test-host: build
	@sh tools/setup.sh debug
	@$(CARGO) test $(HOST) $(ON_HOST) --exclude lazy-mmu-tests -- --show-output
	@$(CARGO) test --quiet $(HOST) --package lazy-mmu --no-default-features --test api --test misuse --test holes --test guards

# The tests' runner reads TESTS.
test-qemu: build $(if $(TESTS),,test-host)
	@$(CARGO) test $(HOST) --package lazy-mmu-tests $(if $(TESTS),--test qemu)

# The packages are built from each other, in a place of their own each time: cargo keeps what it has unpacked of a package of the same
# place and version, changed or not.
check: setup
	@sh tools/setup.sh check
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy $(HOST) $(ON_HOST) --all-targets -- -D warnings
	@$(CARGO) clippy --release $(ON_BARE) -- -D warnings
	@$(CARGO) clippy --release --target $(BARE_TARGET) --package $(FAULTS) -- -D warnings
	@$(CARGO) clippy --release --target $(BARE_TARGET) --package $(BENCH) -- -D warnings
	@export RUSTDOCFLAGS='-D warnings'; $(CARGO) doc $(DOC) $(ON_HOST)
	@$(ENV) export RUSTDOCFLAGS="-D warnings $$BARE_FLAGS"; cargo doc $(DOC) $(ON_BARE)
	@dir=$$(mktemp -d "$$CARGO_TARGET_DIR/package.XXXXXX"); $(ENV) \
		cargo package --quiet --allow-dirty --target-dir "$$dir" $(CRATES:%=--package %); status=$$?; rm -rf "$$dir"; exit $$status

# The crate; the test binaries that a mutant must fail, where not all of them, built anew for each; arguments of theirs: without the
# tests that take longer than seconds. cargo-mutants builds in a copy of the tree for each of its jobs, which must not share one target
# directory. A mutant may loop for ever, and allocate as long: hence the limit below, in KiB. It is noticed by the time it takes
# (status 3).
mutate = mkdir -p "$$out/$(1)"; cargo mutants --package $(1) --jobs 2 --output "$$out/$(1)" $(2:%=--cargo-arg=%) $$MUTANTS -- $(3); \
	case $$? in 0|3) [ ! -s "$$out/$(1)/mutants.out/missed.txt" ];; *) false;; esac || failed="$$failed $(1)";

# Those of mmu-check's tests that are about the rules and need no minutes; without those of its command, which run it.
RULES := event exhaustive hook kinds litmus order owners replay rules seam tlbi trace violation

fuzz: export MMU_CHECK_FUZZ_SECONDS = $(or $(SECONDS),60)
fuzz: setup
	@$(CARGO) test $(HOST) --package mmu-check --test fuzz -- --nocapture

mutants: setup
	@sh tools/setup.sh mutants
	@$(ENV) out="$$CARGO_TARGET_DIR/mutants"; unset CARGO_TARGET_DIR; export PAGING_OPS=10000 RUST_BACKTRACE=0; failed=; set -f; \
		ulimit -v 8388608 2>/dev/null || true; \
		$(call mutate,stage1-paging) \
		$(call mutate,lazy-mmu,--lib --test=api --test=misuse --test=holes --test=guards --test=settled,-- --skip interleave --skip exhaustive) \
		$(call mutate,mmu-check,$(RULES:%=--test=%),-- --skip command::) \
		[ -z "$$failed" ] || { echo "mutants that no test fails for, or that were not tested, in:$$failed; see $$out"; exit 1; }

clean:
	@rm -rf "$$CARGO_TARGET_DIR"

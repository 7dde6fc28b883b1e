#!/bin/sh
# Sets up what is missing to build and boot: QEMU and the Rust target; `setup.sh check` also rustfmt and clippy,
# `setup.sh mutants` also cargo-mutants, `setup.sh debug` also a gdb that knows AArch64.
# Says what it installs. A run that finds everything installs nothing and takes a fraction of a second.
#
# Leaves in $CARGO_TARGET_DIR/setup.env what cargo needs on this machine: nothing where rustup has the target.
# With LAZY_MMU_NO_RUSTUP=1 it never calls rustup.
set -eu
cd "$(dirname "$0")/.."

TARGET=aarch64-unknown-none-softfloat
# The mutants that .cargo/mutants.toml excludes are named as this version names them.
MUTANTS_VERSION='^27'
OUT=${CARGO_TARGET_DIR:-target}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
# Cargo marks only a directory that it makes itself; by the mark backups leave it out, and the boot runner finds it.
[ -e "$OUT/CACHEDIR.TAG" ] || cat >"$OUT/CACHEDIR.TAG" <<'END'
Signature: 8a477f597d28d172789f06886806bc55
# This file is a cache directory tag created by setup.sh, as by Cargo.
# For information about cache directory tags see https://bford.info/cachedir/
END

say() { echo "setup: $*"; }
fail() {
    echo "setup: $*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# --- QEMU ---------------------------------------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Prints major and minor version, or nothing.
qemu_version() {
    "${QEMU:-qemu-system-aarch64}" --version 2>/dev/null | sed -n '1s/.*version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p'
}

# Needs no answers, also behind sudo, and waits for another apt: a new machine is often busy upgrading itself.
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@"
}

apt_install() {
    # The lists may be missing or old: they are fetched only when it does not work without.
    apt_get install -y --no-install-recommends "$@" >"$OUT/setup-apt.log" 2>&1 && return
    apt_get update >>"$OUT/setup-apt.log" 2>&1 || true
    apt_get install -y --no-install-recommends "$@" >>"$OUT/setup-apt.log" 2>&1 ||
        fail "apt-get cannot install $*: see $OUT/setup-apt.log"
}

install_qemu() {
    if have brew; then
        say "installing QEMU: brew install qemu"
        brew install qemu
        return
    elif have apt-get; then
        package=qemu-system-arm
    elif have dnf; then
        package=qemu-system-aarch64-core
    elif have pacman; then
        package=qemu-system-aarch64
    else
        fail "qemu-system-aarch64 is missing, and there is no apt, brew, dnf or pacman: install QEMU 7.2 or newer with it"
    fi
    [ "$(id -u)" = 0 ] || have sudo ||
        fail "qemu-system-aarch64 is missing: install the package $package as root, then try again"
    say "installing QEMU: package $package"
    case $package in
    qemu-system-arm) apt_install "$package" ;;
    qemu-system-aarch64-core) as_root dnf install -y -q "$package" ;;
    qemu-system-aarch64) as_root pacman -S --noconfirm --needed "$package" ;;
    esac
}

need_qemu() {
    if [ -n "${QEMU:-}" ]; then
        have "$QEMU" || fail "there is no program $QEMU: unset QEMU, or set it to QEMU 7.2 or newer"
    elif ! have qemu-system-aarch64; then
        install_qemu
    fi
    version=$(qemu_version)
    [ -n "$version" ] || fail "${QEMU:-qemu-system-aarch64} does not start: its --version names none"
    # shellcheck disable=SC2086 # two words on purpose
    set -- $version
    [ "$1" -gt 7 ] || { [ "$1" = 7 ] && [ "$2" -ge 2 ]; } ||
        fail "QEMU $1.$2 is too old: install 7.2 or newer, or set QEMU to one"
}

# --- Rust ---------------------------------------------------------------------------------------------------------

may_rustup() { [ "${LAZY_MMU_NO_RUSTUP:-}" != 1 ] && have rustup; }

# Without rustup's own installing, which would take a minute and say nothing.
has_target() {
    libs=$(RUSTUP_AUTO_INSTALL=0 rustc --print target-libdir --target "$TARGET" 2>/dev/null) && ls "$libs"/libcore-*.rlib >/dev/null 2>&1
}

# What cargo needs: flags for the bare target alone, and which toolchain, if rust-toolchain.toml names more than
# there is (where rustup may install by itself, it would try again at every call).
write_env() {
    {
        [ -z "${TOOLCHAIN:-}" ] || echo "RUSTUP_TOOLCHAIN='$TOOLCHAIN'"
        [ -z "${1:-}" ] || echo "BARE_FLAGS='$1'"
        [ -z "${1:-}" ] || echo "CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_RUSTFLAGS='$1'"
    } >"$OUT/setup.env.$$"
    mv "$OUT/setup.env.$$" "$OUT/setup.env"
}

# Was the target built from source before, by the compiler that is there now? Then rustup is not tried again.
has_own_sysroot() {
    grep -q '^BARE_FLAGS=' "$OUT/setup.env" 2>/dev/null || return 1
    (
        set -a
        . "$OUT/setup.env"
        [ "$(rustc --version --verbose)" = "$(cat "${BARE_FLAGS#--sysroot }/complete" 2>/dev/null)" ]
    )
}

need_target() {
    if has_own_sysroot; then
        # For the calls of cargo and rustc below.
        set -a
        . "$OUT/setup.env"
        set +a
        return
    fi
    if has_target; then
        write_env
        return
    fi
    if may_rustup; then
        if ! RUSTUP_AUTO_INSTALL=0 rustc --version >/dev/null 2>&1; then
            say "installing the Rust toolchain that rust-toolchain.toml names: rustup toolchain install"
            rustup toolchain install >"$OUT/setup-rustup.log" 2>&1 || true
        fi
        say "installing the Rust target $TARGET: rustup target add"
        if rustup target add "$TARGET" >>"$OUT/setup-rustup.log" 2>&1 && has_target; then
            write_env
            return
        fi
        say "rustup refuses (see $OUT/setup-rustup.log): trying from source"
    fi
    case $OUT in
    *[[:space:]\']*) fail "$OUT: this path has a space or a quote, which flags for rustc cannot have: set CARGO_TARGET_DIR" ;;
    esac
    if have rustup; then
        TOOLCHAIN=$(RUSTUP_AUTO_INSTALL=0 rustup show active-toolchain 2>/dev/null | sed 's/ .*//;q')
        [ -z "$TOOLCHAIN" ] || export RUSTUP_TOOLCHAIN="$TOOLCHAIN"
    fi
    sh tools/bare-sysroot.sh "$OUT" "$TARGET"
    write_env "--sysroot $OUT/bare-sysroot/$(rustc --version | cut -d' ' -f2)"
}

need_components() {
    for pair in rustfmt:cargo-fmt clippy:cargo-clippy; do
        component=${pair%%:*}
        command=${pair##*:}
        "$command" --version >/dev/null 2>&1 && continue
        may_rustup || fail "$component is missing: install the package $component of your Rust toolchain"
        say "installing $component: rustup component add"
        rustup component add "$component" >"$OUT/setup-rustup.log" 2>&1 ||
            fail "rustup cannot add $component: see $OUT/setup-rustup.log"
    done
}

need_mutants() {
    cargo mutants --version >/dev/null 2>&1 && return
    say "installing cargo-mutants, which takes some minutes: cargo install cargo-mutants"
    cargo install --quiet --locked cargo-mutants --version "$MUTANTS_VERSION" >"$OUT/setup-mutants.log" 2>&1 ||
        fail "cargo cannot install cargo-mutants: see $OUT/setup-mutants.log"
}

# As tools/src/gdb.rs looks for it.
has_gdb() {
    for gdb in gdb-multiarch aarch64-elf-gdb gdb; do
        have "$gdb" && [ -z "$("$gdb" -nx -batch -ex 'set architecture aarch64' 2>&1 >/dev/null)" ] && return
    done
    return 1
}

need_gdb() {
    has_gdb && return
    if have brew; then
        say "installing gdb: brew install gdb"
        brew install gdb
    elif have apt-get; then
        say "installing gdb: package gdb-multiarch"
        apt_install gdb-multiarch
    else
        fail "there is no gdb that knows AArch64: install the package gdb"
    fi
}

have rustc || fail "Rust is missing: install it with rustup (https://rustup.rs), or your distribution's rustc and cargo"
need_qemu
need_target
[ "${1:-}" != check ] || need_components
[ "${1:-}" != mutants ] || need_mutants
[ "${1:-}" != debug ] || need_gdb

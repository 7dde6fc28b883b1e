#!/bin/sh
# Builds the Rust target from source, where rustup has it not: tools/setup.sh calls it.
#
#   bare-sysroot.sh OUT TARGET
#
# The source is rust-src of exactly rustc's version: the toolchain's own, rustup's, or Debian's (other suites beside the
# machine's carry several versions; fetched with apt lists and a cache of their own, so that the system's stay as they
# are). core, alloc and compiler_builtins are built into OUT/bare-sysroot/VERSION, to be passed as `--sysroot` for this
# target alone. Nothing is put into rustup's toolchain: a later `rustup target add` would leave two `core`s in it.
set -eu

OUT=$1
TARGET=$2
RELEASE=$(rustc --version --verbose | sed -n 's/^release: //p')
HOST=$(rustc --version --verbose | sed -n 's/^host: //p')
REAL=$(rustc --print sysroot)
DEST=$OUT/bare-sysroot/$RELEASE
WORK=$OUT/bare-sysroot/work
LOG=$OUT/bare-sysroot/log

say() { echo "setup: $*"; }
fail() {
    echo "setup: $*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Made by this very compiler, and to the end?
[ "$(rustc --version --verbose)" != "$(cat "$DEST/complete" 2>/dev/null)" ] || exit 0
rm -rf "$DEST" "$WORK"
mkdir -p "$DEST" "$WORK"
: >"$LOG"

# --- the source: sets SRC to a folder that has library/core -------------------------------------------------------

is_source() { [ -f "$1/library/core/src/lib.rs" ]; }

unpack() {
    for deb in "$WORK"/rust-src_*.deb; do
        [ -e "$deb" ] || return 1
        dpkg-deb -x "$deb" "$WORK/deb" >>"$LOG" 2>&1
    done
    for SRC in "$WORK"/deb/usr/src/rustc-* "$WORK/deb/usr/lib/rustlib/src/rust"; do
        is_source "$SRC" && return
    done
    return 1
}

# Debian's mirror as this machine has it, whatever it is called here. Without lists apt does not know yet whose a mirror
# is; the path says it.
debian_mirror() {
    {
        apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages'
        apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages'
    } 2>/dev/null | awk '($2 == "Debian" && $3 == "Debian") || $1 ~ "/debian/?$" { print $1; exit }'
}

# apt with lists, cache and sources of its own.
other_apt() {
    program=$1
    shift
    "$program" -o "Dir::Etc::sourcelist=$WORK/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o "Dir::State=$WORK/apt" -o "Dir::State::lists=$WORK/apt/lists" -o Dir::State::status=/dev/null \
        -o "Dir::Cache=$WORK/apt/cache" -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o APT::Sandbox::User=root "$@"
}

# The version of the package rust-src that is rustc's, from a list as `apt-cache madison` prints it.
same_version() {
    awk -v release="$RELEASE" '{ split($3, v, /[+-]/); if (v[1] == release) { print $3; exit } }'
}

from_debian() {
    have apt-get && have dpkg-deb || return 1
    version=$(apt-cache madison rust-src 2>/dev/null | same_version)
    if [ -n "$version" ]; then
        say "fetching rust-src $version from this machine's Debian"
        (cd "$WORK" && apt-get download "rust-src=$version") >>"$LOG" 2>&1 && unpack && return
    fi
    mirror=$(debian_mirror)
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -n "$mirror" ] && [ -e "$keys" ] || return 1
    mkdir -p "$WORK/apt/lists/partial" "$WORK/apt/cache/archives/partial"
    # One suite at a time, the likeliest first: each list is some megabytes.
    for suite in trixie-backports trixie forky sid; do
        echo "deb [signed-by=$keys] $mirror $suite main" >"$WORK/apt/sources.list"
        other_apt apt-get update -qq >>"$LOG" 2>&1 || continue
        version=$(other_apt apt-cache madison rust-src 2>/dev/null | same_version)
        [ -n "$version" ] || continue
        say "fetching rust-src $version from Debian $suite"
        (cd "$WORK" && other_apt apt-get download "rust-src=$version") >>"$LOG" 2>&1 && unpack && return
    done
    return 1
}

find_source() {
    SRC=$REAL/lib/rustlib/src/rust
    is_source "$SRC" && return
    if [ "${LAZY_MMU_NO_RUSTUP:-}" != 1 ] && have rustup; then
        rustup component add rust-src >>"$LOG" 2>&1 && is_source "$SRC" && return
    fi
    from_debian || fail "there is no source of Rust $RELEASE to build $TARGET from: install rust-src of exactly this version (log: $LOG)"
}

# --- the build ----------------------------------------------------------------------------------------------------

# Cargo looks for the source of the standard library in rustc's sysroot. This rustc says that its sysroot is one of
# ours: the real host libraries, and the source beside them.
make_rustc() {
    mkdir -p "$WORK/sysroot/lib/rustlib/src"
    ln -s "$REAL/lib/rustlib/$HOST" "$WORK/sysroot/lib/rustlib/$HOST"
    ln -s "$SRC" "$WORK/sysroot/lib/rustlib/src/rust"
    printf '#!/bin/sh\nexec "%s" --sysroot "%s" "$@"\n' "$REAL/bin/rustc" "$WORK/sysroot" >"$WORK/rustc"
    chmod +x "$WORK/rustc"
}

build() {
    mkdir -p "$WORK/empty/src"
    printf '[package]\nname = "empty"\nedition = "2021"\n[workspace]\n' >"$WORK/empty/Cargo.toml"
    echo '#![no_std]' >"$WORK/empty/src/lib.rs"
    (
        cd "$WORK/empty"
        RUSTC=$WORK/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$WORK/target \
            cargo build --release --target "$TARGET" \
            -Zbuild-std=core,alloc,compiler_builtins -Zbuild-std-features=compiler-builtins-mem
    ) >>"$LOG" 2>&1 || fail "the Rust target does not build from source: see $LOG"
}

place() {
    libs=$DEST/lib/rustlib/$TARGET/lib
    mkdir -p "$libs" "$DEST/lib/rustlib/$HOST"
    for name in core alloc compiler_builtins; do
        cp "$WORK/target/$TARGET/release/deps/lib$name"-*.rlib "$libs/" || fail "the build made no lib$name: see $LOG"
    done
    # The linker, rust-lld, is looked for in the sysroot too.
    ln -s "$REAL/lib/rustlib/$HOST/bin" "$DEST/lib/rustlib/$HOST/bin"
    rustc --version --verbose >"$DEST/complete"
    rm -rf "$WORK"
}

find_source
say "building the Rust target $TARGET from $RELEASE's source, once (a minute or two)"
make_rustc
build
place

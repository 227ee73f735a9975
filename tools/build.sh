# shellcheck shell=bash
# What ./run and ./test share: the packages a build needs, the widget, the binaries. To be sourced, from the top of the clone.

# One persistent folder outside the clone: RocksDB's C++ alone takes some thirteen minutes of two cores, once.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/vestibule/target}

# matrix-sdk-crypto declares the Rust after the one it needs.
export CARGO_FLAGS=(--release --locked --ignore-rust-version)

RUST_MINOR_MIN=95
NODE_MAJOR_MIN=20

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

step() {
    printf '== %s\n' "$*"
}

# Whether this is Debian or made from it: its packages are then installed by name.
is_debian() {
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null
}

# What to install where there is no apt-get.
foreign_advice() {
    case "$(uname -s)" in
    Darwin) echo "install Xcode's command line tools and, with Homebrew, llvm and pkg-config (brew install llvm pkg-config), then set LIBCLANG_PATH to \"\$(brew --prefix llvm)/lib\"" ;;
    *)
        if command -v dnf >/dev/null; then
            echo "run: dnf install gcc-c++ clang clang-devel pkgconf"
        elif command -v pacman >/dev/null; then
            echo "run: pacman -S --needed base-devel clang pkgconf"
        elif command -v apk >/dev/null; then
            echo "run: apk add build-base clang-dev clang-static pkgconf linux-headers"
        else
            echo "install a C++ compiler, libclang with its headers, and pkg-config"
        fi
        ;;
    esac
}

# Installs those of the named Debian packages that are missing, and says so.
debian_packages() {
    local missing=() package as_root=()
    for package; do
        dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "missing Debian packages: as root, run: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    step "installing Debian packages: ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=400 -qq update &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=400 -qq install -y "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        fail "the Debian packages could not be installed: see above"
    fi
    rm -f "$log"
}

# What compiling needs beside the toolchains.
install_build_packages() {
    if is_debian; then
        debian_packages g++ clang libclang-dev pkg-config
    else
        for tool in c++ clang pkg-config; do
            command -v "$tool" >/dev/null || fail "$tool is missing: $(foreign_advice)"
        done
    fi
}

# The toolchains themselves come from elsewhere than Debian, whose own are too old: said, not installed.
check_toolchains() {
    local minor major
    command -v cargo >/dev/null || fail "cargo is missing: install Rust 1.$RUST_MINOR_MIN or later with rustup (rustup.rs)"
    minor=$(rustc --version | sed -E 's/^rustc 1\.([0-9]+).*/\1/')
    [ "$minor" -ge "$RUST_MINOR_MIN" ] || fail "Rust 1.$minor is too old: run: rustup update stable (1.$RUST_MINOR_MIN or later is needed)"
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then fail "node or npm is missing: install Node.js $NODE_MAJOR_MIN or later (nodejs.org)"; fi
    major=$(node --version | sed -E 's/^v([0-9]+).*/\1/')
    [ "$major" -ge "$NODE_MAJOR_MIN" ] || fail "Node.js $major is too old: install Node.js $NODE_MAJOR_MIN or later (nodejs.org)"
}

# Runs a command quietly, and shows what it said only if it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        fail "failed: $*"
    fi
    rm -f "$log"
}

# `check_obstacle [--can-run]`, for scripts that not every machine can run. Their function `obstacle` says why this one cannot, nothing
# if it can; with `--can-run` that is all that happens.
check_obstacle() {
    local reason
    reason=$(obstacle)
    if [ "${1:-}" = --can-run ]; then
        [ -z "$reason" ] && exit 0
        echo "$reason"
        exit 1
    fi
    [ -z "$reason" ] || fail "$reason"
}

# `install_packages FOLDER`: what its lock file names.
install_packages() {
    local folder=$1
    if [ ! -e "$folder/node_modules/.package-lock.json" ] || [ "$folder/package-lock.json" -nt "$folder/node_modules/.package-lock.json" ]; then
        step "installing the packages of $folder/"
        quietly npm --prefix "$folder" ci
        touch "$folder/node_modules/.package-lock.json"
    fi
}

# The homeserver embeds widget/dist, so this comes before the binaries.
build_widget() {
    install_packages widget
    local built=widget/dist/loader.js
    if [ ! -e "$built" ] || [ -n "$(find widget/src widget/frame.html widget/*.ts widget/package-lock.json -newer "$built" -print -quit)" ]; then
        step "building the widget"
        quietly npm --prefix widget run build
    fi
}

build_binaries() {
    step "building the binaries (the first time this takes 20 minutes or more: RocksDB is among them)"
    cargo build "${CARGO_FLAGS[@]}" --quiet --workspace --bins
}

#!/usr/bin/env bash
# Runs Complement, the conformance suite of the Matrix project, against Vestibule in containers. `run.sh --help` says more.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
cd "$here/.."
# shellcheck source=tools/build.sh
. tools/build.sh

IMAGE=complement-vestibule
# What the gate compares with results.tsv.
PACKAGES=(./tests/csapi)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vestibule/complement

usage() {
    cat <<'TEXT'
Usage: complement-tests/run.sh [OPTIONS] [PACKAGE …]

Puts the release binary into an image of its own, runs packages of Complement against it (default: ./tests/csapi) and compares
each test's outcome with results.tsv. Any difference is shown and fails the run; --update writes it down.

  --run PATTERN   only tests that match, as in `go test -run`; shown, not compared
  --update        write the outcomes to results.tsv
  --can-run       says whether it can run here, and why not
  --help          this text

Complement comes as a Go module; COMPLEMENT_DIR=path takes a checkout of it instead. Needs Go and a Docker engine; as root on
Debian the engine is installed and started for the run where there is none.
TEXT
}

pattern=
update=()
only_ask=
packages=()
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --can-run) only_ask=yes ;;
    --update) update=(-update) ;;
    --run)
        [ $# -ge 2 ] || fail "--run needs a pattern"
        pattern=$2
        shift
        ;;
    -*) fail "there is no option $1 (complement-tests/run.sh --help)" ;;
    *) packages+=("$1") ;;
    esac
    shift
done
[ ${#packages[@]} -gt 0 ] || packages=("${PACKAGES[@]}")

# Says why it cannot run here; nothing if it can.
obstacle() {
    if ! command -v go >/dev/null; then
        echo "Go is not installed"
    elif [ -n "${COMPLEMENT_DIR:-}" ]; then
        [ -e "$COMPLEMENT_DIR/go.mod" ] || echo "there is no Complement in COMPLEMENT_DIR=$COMPLEMENT_DIR"
    elif ! (cd "$here" && GOFLAGS=-mod=mod go mod download -modfile="$(module_file)" github.com/matrix-org/complement) >/dev/null 2>&1; then
        echo "the Go module github.com/matrix-org/complement cannot be had here (set COMPLEMENT_DIR to a checkout of it)"
    elif ! docker info >/dev/null 2>&1 && { [ "$(id -u)" -ne 0 ] || ! is_debian; }; then
        echo "there is no Docker engine, and only root on Debian can start one"
    fi
}

# A copy of go.mod in the cache: looking a module up must not change the repository.
module_file() {
    mkdir -p "$cache"
    cp "$here/go.mod" "$cache/go.mod"
    echo "$cache/go.mod"
}

reason=$(obstacle)
if [ -n "$only_ask" ]; then
    echo "$reason"
    [ -z "$reason" ]
    exit
fi
[ -z "$reason" ] || fail "$reason"

engine_pid=
stop_engine() {
    [ -z "$engine_pid" ] || {
        kill -TERM "$engine_pid" 2>/dev/null || true
        wait "$engine_pid" 2>/dev/null || true
    }
}
trap stop_engine EXIT
trap 'exit 130' INT TERM HUP

# A machine without a running engine gets one of its own for the run, with its data in the cache.
start_engine() {
    docker info >/dev/null 2>&1 && return
    is_debian && debian_packages docker.io iptables
    local folder=$cache/engine
    mkdir -p "$folder"
    export DOCKER_HOST=unix://$folder/docker.sock
    step "starting a Docker engine for the run"
    dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/docker.pid" --host "$DOCKER_HOST" \
        >"$folder/log" 2>&1 </dev/null &
    engine_pid=$!
    local until=$((SECONDS + 60))
    until docker info >/dev/null 2>&1; do
        if ! kill -0 "$engine_pid" 2>/dev/null || [ $SECONDS -ge $until ]; then
            fail "the Docker engine did not start: $(tail -n 1 "$folder/log") (the whole log: $folder/log)"
        fi
        sleep 0.1
    done
}

build_image() {
    local context=$cache/image root=$cache/image/root library
    rm -rf "$context"
    mkdir -p "$root/data" "$root/tmp" "$root/etc/ssl/certs"
    cp "$here/Dockerfile" "$context/"
    cp "$here/vestibule.toml" "$root/"
    strip --strip-debug -o "$root/vestibule" "$CARGO_TARGET_DIR/release/vestibule"
    while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done < <(ldd "$root/vestibule" | grep -oE '/[^ ]+')
    [ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    (cd "$here" && CGO_ENABLED=0 go build -trimpath -o "$root/entrypoint" ./entrypoint)
    docker build --quiet --tag "$IMAGE" "$context" >/dev/null
}

# Complement's packages, run where its module is, and our own tests on its frame: go.sum is completed in a copy, never in the
# repository. Failing tests are the results' business.
run_tests() {
    local where own=$cache/own arguments=(-json -count=1 -timeout 40m -p 1)
    [ -z "$pattern" ] || arguments+=(-run "$pattern")
    rm -rf "$own"
    mkdir -p "$own"
    cp "$here/go.mod" "$here"/*_test.go "$own/"
    export GOFLAGS=-mod=mod
    [ -z "${COMPLEMENT_DIR:-}" ] || (cd "$own" && go mod edit -replace "github.com/matrix-org/complement=$(readlink -f "$COMPLEMENT_DIR")")
    where=$(cd "$own" && go list -m -f '{{.Dir}}' github.com/matrix-org/complement)
    (cd "$where" && { COMPLEMENT_ENABLE_DIRTY_RUNS=1 go test "${arguments[@]}" "${packages[@]}" || true; })
    (cd "$own" && { go test "${arguments[@]}" . || true; })
}

build_widget
build_binaries
start_engine
build_image
export COMPLEMENT_BASE_IMAGE=$IMAGE
results=$cache/results
(cd "$here" && go build -o "$results" ./results)
step "running ${packages[*]}"
if [ -n "$pattern" ]; then
    run_tests | "$results" -kept /dev/null -update
else
    run_tests | tee "$cache/run.json" | "$results" -kept "$here/results.tsv" "${update[@]}"
fi

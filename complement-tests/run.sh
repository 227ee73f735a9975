#!/usr/bin/env bash
# Runs Complement, the conformance suite of the Matrix project, against Vestibule in containers. `run.sh --help` says more.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
cd "$here/.."
# shellcheck source=tools/build.sh
. tools/build.sh

IMAGE=complement-vestibule
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vestibule/complement

usage() {
    cat <<'TEXT'
Usage: complement-tests/run.sh [OPTIONS] [PACKAGE …]

Puts the release binary into an image of its own, runs tests of Complement and our own against it and compares each test's outcome
with results.tsv. Any difference is shown and fails the run; --update writes it down. Ends with how long each package took and
how much memory a server took at most.

Without PACKAGE: the packages and tests in chosen.tsv, and our own. A PACKAGE is a folder of Complement, such as ./tests/csapi;
only what ran is compared then.

  --mode MODE     dirty: the tests of a package share their servers (the default); clean: new ones for each test; both: one after the other
  --times N       so many times, each compared
  --run PATTERN   only tests that match, as in `go test -run`; shown, not compared
  --update        write the outcomes to results.tsv
  --can-run       says whether it can run here, and why not
  --help          this text

Complement comes as a Go module; COMPLEMENT_DIR=path takes a checkout of it instead. VESTIBULE_BIN=path takes a binary instead of
building one. Needs Go and a Docker engine; as root on Debian the engine is installed and started for the run where there is none.
TEXT
}

pattern=
modes=(dirty)
times=1
update=()
only_ask=
packages=()
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage && exit 0 ;;
    --can-run) only_ask=yes ;;
    --update) update=(-update) ;;
    --run | --mode | --times)
        [ $# -ge 2 ] || fail "$1 needs an argument"
        case $1=$2 in
        --run=*) pattern=$2 ;;
        --mode=both) modes=(dirty clean) ;;
        --mode=clean | --mode=dirty) modes=("$2") ;;
        --times=[1-9]*) times=$2 ;;
        *) fail "$1 cannot be $2 (complement-tests/run.sh --help)" ;;
        esac
        shift
        ;;
    -*) fail "there is no option $1 (complement-tests/run.sh --help)" ;;
    *) packages+=("$1") ;;
    esac
    shift
done

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

check_obstacle ${only_ask:+--can-run}

engine_pid=
sampler_pid=
end_process() {
    [ -z "$1" ] || {
        kill -TERM "$1" 2>/dev/null || true
        wait "$1" 2>/dev/null || true
    }
}
trap 'end_process "$sampler_pid"; end_process "$engine_pid"' EXIT
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
    strip --strip-debug -o "$root/vestibule" "$VESTIBULE_BIN"
    while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done < <(ldd "$root/vestibule" | grep -oE '/[^ ]+')
    [ ! -e /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    (cd "$here" && CGO_ENABLED=0 go build -trimpath -o "$root/entrypoint" ./entrypoint)
    docker build --quiet --tag "$IMAGE" "$context" >/dev/null
}

# The most memory that any server has taken, in KiB, second by second: a container that is gone can no longer be asked.
sample_memory() {
    local peak=0 container first child kib
    echo 0 >"$cache/memory"
    while sleep 1; do
        for container in $(docker ps --quiet --filter ancestor="$IMAGE" --filter label=complement_pkg 2>/dev/null); do
            first=$(docker inspect --format '{{.State.Pid}}' "$container" 2>/dev/null) || continue
            while read -r -d ' ' child; do
                kib=$(awk '/^VmHWM:/ { print $2 }' "/proc/$child/status" 2>/dev/null) || continue
                [ "${kib:-0}" -le "$peak" ] || peak=$kib
            done < <(cat /proc/"$first"/task/*/children 2>/dev/null)
        done
        echo "$peak" >"$cache/memory"
    done
}

# What is run: folders of Complement, each with the tests to run in it (all, if none are named).
chosen() {
    if [ ${#packages[@]} -gt 0 ]; then
        printf '%s\n' "${packages[@]}"
    else
        awk -F '\t' '!/^#/ { tests[$1] = tests[$1] (NF > 1 && tests[$1] ? "|" : "") $2; if (!seen[$1]++) order[++n] = $1 }
            END { for (i = 1; i <= n; i++) print order[i] "\t" tests[order[i]] }' "$here/chosen.tsv"
    fi
}

# Complement's packages, run where its module is, and our own tests on its frame: go.sum is completed in a copy, never in the
# repository. Failing tests are the results' business.
run_tests() {
    local where own=$cache/own arguments=(-json -count=1 -timeout 60m) package tests
    rm -rf "$own"
    mkdir -p "$own"
    cp "$here/go.mod" "$here"/*_test.go "$own/"
    export GOFLAGS=-mod=mod
    [ -z "${COMPLEMENT_DIR:-}" ] || (cd "$own" && go mod edit -replace "github.com/matrix-org/complement=$(readlink -f "$COMPLEMENT_DIR")")
    where=$(cd "$own" && go list -m -f '{{.Dir}}' github.com/matrix-org/complement)
    while IFS=$'\t' read -r package tests; do
        (cd "$where" && { go test "${arguments[@]}" -run "${pattern:-${tests:+^($tests)\$}}" "$package" </dev/null || true; })
    done < <(chosen)
    [ ${#packages[@]} -gt 0 ] || (cd "$own" && { go test "${arguments[@]}" -run "$pattern" . </dev/null || true; })
}

# One run in one mode.
run_once() {
    local mode=$1 whole=() status=0
    step "$mode: $(date -u +%H:%M:%S)"
    if [ "$mode" = dirty ]; then export COMPLEMENT_ENABLE_DIRTY_RUNS=1; else unset COMPLEMENT_ENABLE_DIRTY_RUNS; fi
    sample_memory &
    sampler_pid=$!
    if [ -n "$pattern" ]; then
        run_tests | "$results" -kept /dev/null -update
    else
        [ ${#packages[@]} -gt 0 ] || whole=(-whole)
        run_tests | tee "$cache/run-$mode.json" | "$results" -kept "$here/results.tsv" "${whole[@]}" "${update[@]}" || status=1
    fi
    end_process "$sampler_pid"
    sampler_pid=
    echo "$(($(cat "$cache/memory") / 1024)) MiB at most in one server"
    return $status
}

if [ -z "${VESTIBULE_BIN:-}" ]; then
    build_widget
    build_binaries
    VESTIBULE_BIN=$CARGO_TARGET_DIR/release/vestibule
fi
start_engine
build_image
export COMPLEMENT_BASE_IMAGE=$IMAGE
results=$cache/results
(cd "$here" && go build -o "$results" ./results)
failed=0
for ((time = 1; time <= times; time++)); do
    for mode in "${modes[@]}"; do
        run_once "$mode" || failed=1
    done
done
exit $failed

#!/usr/bin/env bash
# Has the release binary get its certificate from Pebble, the ACME server that Let's Encrypt tests clients with. `--can-run` fetches
# and builds it, and says why not if it cannot.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
# shellcheck source=tools/build.sh
. tools/build.sh

PEBBLE=github.com/letsencrypt/pebble/v2
VERSION=v2.10.1
binaries=${XDG_CACHE_HOME:-$HOME/.cache}/vestibule/pebble-$VERSION

# Says why it cannot run here; nothing if it can.
obstacle() {
    if ! command -v openssl >/dev/null && ! { is_debian && (debian_packages openssl) >&2; }; then
        echo "openssl is not installed"
    elif [ -x "$binaries/pebble" ] && [ -x "$binaries/pebble-challtestsrv" ]; then
        return 0
    elif ! command -v go >/dev/null; then
        echo "Go is not installed"
    elif ! GOBIN=$binaries go install "$PEBBLE/cmd/pebble@$VERSION" "$PEBBLE/cmd/pebble-challtestsrv@$VERSION" >&2; then
        echo "the Go module $PEBBLE cannot be had here"
    fi
}

check_obstacle "$@"
export PEBBLE_BINARIES=$binaries VESTIBULE_BIN=${VESTIBULE_BIN:-$CARGO_TARGET_DIR/release/vestibule}
exec node --test tools/acme/acme.test.mjs

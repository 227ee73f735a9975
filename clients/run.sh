#!/usr/bin/env bash
# Runs real clients against the release binary: `clients/run.sh [TEST FILE …]`. `--can-run` makes their Python environment, and says
# why not if it cannot.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
# shellcheck source=tools/build.sh
. tools/build.sh

environment=${XDG_CACHE_HOME:-$HOME/.cache}/vestibule/clients
installed=$environment/installed.txt

# Outside the clone, made anew when requirements.txt changes. Says why it cannot be made; nothing if it is there.
obstacle() {
    if cmp -s clients/requirements.txt "$installed"; then
        return 0
    elif ! command -v python3 >/dev/null; then
        echo "Python 3 is not installed"
    elif is_debian && ! (debian_packages python3-venv) >&2; then
        echo "Debian's package python3-venv cannot be had here"
    elif ! { python3 -m venv --clear "$environment" && "$environment/bin/pip" install --quiet --requirement clients/requirements.txt; } >&2; then
        echo "the Python packages of clients/requirements.txt cannot be had here"
    else
        cp clients/requirements.txt "$installed"
    fi
}

check_obstacle "$@"
install_packages widget
[ $# -gt 0 ] || set -- clients/tests/*.test.mjs
export VESTIBULE_CLIENTS_PYTHON=$environment/bin/python VESTIBULE_BIN=${VESTIBULE_BIN:-$CARGO_TARGET_DIR/release/vestibule}
# One after the other: each starts a server, and up to four processes of clients. js-sdk leaves timers of two minutes behind, in the tests that
# run it themselves: nobody waits for those.
exec node --test --test-force-exit --test-concurrency=1 "$@"

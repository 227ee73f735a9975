#!/usr/bin/env bash
# Tests the media store against S3Proxy, a real server of S3's protocol: `run.sh TEST-BINARY [ARGUMENT …]`. Has Maven fetch S3Proxy into
# the cache first; `--can-run` does only that, and says why not if it cannot.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
cd "$here/../../.."
# shellcheck source=tools/build.sh
. tools/build.sh

cache=${XDG_CACHE_HOME:-$HOME/.cache}/vestibule/s3proxy
jars=$cache/lib
fetched=$cache/pom.xml

# Outside the clone, fetched anew when pom.xml changes. Says why it cannot be had; nothing if it is there.
obstacle() {
    if is_debian && ! (debian_packages maven) >&2; then
        echo "Debian's package maven cannot be had here"
    elif ! command -v java >/dev/null; then
        echo "Java is not installed"
    elif cmp -s "$here/pom.xml" "$fetched"; then
        return 0
    elif ! command -v mvn >/dev/null; then
        echo "Maven is not installed"
    elif ! { rm -rf "$jars" && fetch; } >&2; then
        echo "S3Proxy cannot be had from Maven's registry here"
    else
        cp "$here/pom.xml" "$fetched"
    fi
}

fetch() {
    mvn --batch-mode --quiet --file "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$jars" -DincludeScope=runtime
}

check_obstacle "$@"
[ $# -gt 0 ] || fail "name the test's binary"
export VESTIBULE_S3PROXY=$jars
cd "$here/../.."
CARGO_MANIFEST_DIR=$PWD exec "$@"

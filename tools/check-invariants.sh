#!/usr/bin/env bash
# The architecture's invariants (ARCHITECTURE.md) that neither the compiler nor clippy can hold: each line says which one.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

bad=0

complain() {
    printf 'invariant %s: %s\n' "$1" "$2" >&2
    [ $# -lt 3 ] || printf '%s\n' "$3" | sed 's/^/    /' >&2
    bad=1
}

# `dependencies CRATE`: the names under [dependencies].
dependencies() {
    awk '/^\[/ { inside = ($0 == "[dependencies]") } inside && /^[a-z]/ { sub(/[.= ].*/, ""); print }' "$1/Cargo.toml" | sort
}

# `allow CRATE INVARIANT NAME…`: it depends on nothing else.
allow() {
    local crate=$1 invariant=$2 more
    shift 2
    more=$(comm -23 <(dependencies "$crate") <(printf '%s\n' "$@" | sort))
    [ -z "$more" ] || complain "$invariant" "$crate/Cargo.toml depends on what it must not know" "$more"
}

# `nowhere INVARIANT SENTENCE PATTERN PATHSPEC…`: no line matches, tests and comments aside.
nowhere() {
    local invariant=$1 sentence=$2 pattern=$3 hits
    shift 3
    hits=$(git grep -nE "$pattern" -- "$@" ':!**/tests.rs' ':!**/tests/**' ':!**/testing.rs' | grep -vE '^[^:]+:[0-9]+:\s*//' || true)
    [ -z "$hits" ] || complain "$invariant" "$sentence" "$hits"
}

# 1. engine has no async, clock, randomness or I/O.
allow engine 1 journal ruma serde serde_json thiserror unicode-normalization zeroize
grep -qE '^journal\.workspace = true$' engine/Cargo.toml || complain 1 "engine uses journal without features: journal.workspace = true"
nowhere 1 "engine is plain functions" \
    '\basync (fn|move)\b|\.await\b|\btokio::|SystemTime|Instant::now|std::(fs|net|io|thread|process|env)\b|\brand::|getrandom' 'engine/src/*.rs'
nowhere 1 "the order of a HashMap differs from run to run: BTreeMap" '\bHash(Map|Set)\b' 'engine/src/*.rs'

# identity is small and self-contained: a platform's back end may link it.
allow identity identity aes bs58 ctr getrandom hkdf hmac serde serde_json sha2 thiserror vodozemac zeroize
nowhere identity "identity has no I/O" '\basync (fn|move)\b|\.await\b|std::(fs|net|io|thread|process|env)\b|SystemTime|Instant::now' 'identity/src/*.rs'

# 2. Every durable change is one Batch: RocksDB is reached through journal alone, and commits go through App.
for crate in appservice bridge config engine homeserver identity; do
    ! dependencies "$crate" | grep -qx rocksdb || complain 2 "$crate/Cargo.toml depends on rocksdb, which only journal may"
done
nowhere 2 "handlers and workers write through App::run" '\bjournal(\(\))?\s*\.commit\(' 'homeserver/src/client/*.rs' 'homeserver/src/workers/*.rs' 'homeserver/src/platform/*.rs'

# 3. journal knows nothing of Matrix, engine nothing of HTTP, and only homeserver/src/http knows status codes.
nowhere 3 "journal knows nothing of Matrix" '\bruma\b' journal/Cargo.toml 'journal/src/*.rs'
nowhere 3 "engine knows nothing of HTTP" '\bStatusCode\b|\bhttp::(Request|Response|Method|HeaderMap)|\baxum\b' 'engine/src/*.rs'

# 5. No lock is held across .await, and there is no mutex per room: asynchronous locks are how both would come about.
nowhere 5 "an asynchronous lock" 'tokio::sync::\{?[^;]*\b(Mutex|RwLock)\b' 'homeserver/src/*.rs' 'journal/src/*.rs'

# 7. Nothing outside journal does arithmetic on Seq.
nowhere 7 "Seq has no arithmetic" 'impl .*\b(Add|Sub|AddAssign|SubAssign)\b.* for Seq' 'journal/src/*.rs'
nowhere 7 "arithmetic on Seq" '\bseq(\(\))?\s*[-+]\s*[0-9(a-z]' 'engine/src/*.rs' 'homeserver/src/*.rs'

# Room versions are data.
nowhere "room versions" "room versions are data, through ruma's RoomVersionRules" \
    '(==|!=) *(ruma::)?RoomVersionId::|RoomVersionId::V[0-9]+ *=>|\bversion\b[^=;]*== *"1?[0-9]"' 'engine/src/*.rs' 'homeserver/src/*.rs'

# A table id is never used twice.
twice=$(git grep -hoE 'Table::(lasting|expiring|append_only)\([0-9]+' -- 'engine/src/tables/*.rs' | grep -oE '[0-9]+$' | sort | uniq -d)
[ -z "$twice" ] || complain tables "ids used twice" "$twice"

# D12: what is stored is told.
node tools/data-tables.mjs --check || complain D12 "docs/data.md lists other tables than there are"

# A file is one noun.
long=$(git ls-files '*.rs' '*.ts' '*.tsx' '*.mjs' | grep -vE '(^|/)tests?(/|\.rs$)' | while read -r file; do
    [ ! -f "$file" ] || [ "$(wc -l <"$file")" -le 450 ] || echo "$file"
done)
[ -z "$long" ] || complain files "files past 450 lines: is each still one noun?" "$long"

[ $bad -eq 0 ] && echo "invariants hold"
exit $bad

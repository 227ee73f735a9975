#!/usr/bin/env bash
# From an empty server to what two pages need: an organization, an account, a host, a session with one invitee, and credentials for both.
#
#   VESTIBULE=https://chat.example.org VESTIBULE_KEY=vestibule_… ./provision.sh
#
# Needs curl and jq. Recovery keys go to ./recovery-keys.json, which stands for the platform's own database.
set -euo pipefail
: "${VESTIBULE:?the address of the server}" "${VESTIBULE_KEY:?from: vestibule keys create}"
VESTIBULE=${VESTIBULE%/}
keys=${RECOVERY_KEYS:-recovery-keys.json}
[ -f "$keys" ] || (umask 077 && echo '{}' >"$keys")

# `call METHOD PATH [BODY]`: prints the answer; says what is wrong and ends otherwise. The idempotency key is the same for the same
# request of the same day, so that a script that was cut off can be run again.
call() {
    local method=$1 path=$2 body=${3:-} once answer
    once=$(printf '%s %s %s %s' "$(date -u +%F)" "$method" "$path" "$body" | sha256sum | cut -c1-32)
    answer=$(printf 'header = "Authorization: Bearer %s"\n' "$VESTIBULE_KEY" | # not on the command line, where others see it
        curl -sS --config - --fail-with-body --retry 3 --retry-connrefused -X "$method" "$VESTIBULE/_vestibule/v1$path" \
            -H "Idempotency-Key: $once" -H 'Content-Type: application/json' ${body:+--data "$body"}) || {
        jq -er 'select(.detail) | "\(.status): \(.detail)"' <<<"$answer" >&2 2>/dev/null || echo "no answer of a Vestibule from $VESTIBULE: $answer" >&2
        return 1
    }
    printf '%s\n' "$answer"
}

# `keep ANSWER`: stores the recovery keys in it, before anything else is done.
keep() {
    jq --argjson answer "$1" \
        '. + ([$answer, ($answer.invitees // [])[]] | map(select(.recovery_key) | {(.user_id): .recovery_key}) | add // {})' \
        "$keys" >"$keys.new"
    chmod 600 "$keys.new" && mv "$keys.new" "$keys"
}

# `credentials USER_ID`: what a page needs, for whoever the platform knows to be that user. The token is good for one login within a minute.
credentials() {
    local token
    # Each page needs a token of its own: no idempotency here.
    token=$(printf 'header = "Authorization: Bearer %s"\n' "$VESTIBULE_KEY" |
        curl -sS --config - --fail-with-body -X POST "$VESTIBULE/_vestibule/v1/login_tokens" \
            -H 'Content-Type: application/json' --data "$(jq -n --arg user "$1" '{user_id: $user}')")
    jq -n --arg homeserver "$VESTIBULE" --arg user "$1" --argjson token "$token" --slurpfile keys "$keys" \
        '{homeserver: $homeserver, user_id: $user, login_token: $token.login_token, recovery_key: $keys[0][$user]}'
}

call PUT /organizations/acme '{"name": "Acme Health"}' >/dev/null
call PUT /organizations/acme/accounts/north '{"name": "North Clinic"}' >/dev/null

host=$(call PUT /hosts/ada '{"organization": "acme", "account": "north", "display_name": "Ada Byron"}')
keep "$host"

# Two hours from the next full hour: the same for the same hour, as the idempotency key has it.
ends_at=$((($(date +%s) / 3600 + 3) * 3600 * 1000))
session=$(call PUT /sessions/visit-1 "{\"host\": \"ada\", \"invitees\": [{\"id\": \"pat\", \"display_name\": \"Pat Doe\"}], \"ends_at\": $ends_at}")
keep "$session"

jq -n --argjson host "$(credentials "$(jq -r .user_id <<<"$host")")" \
    --argjson invitee "$(credentials "$(jq -r '.invitees[0].user_id' <<<"$session")")" '{host: $host, invitee: $invitee}'

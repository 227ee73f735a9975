# shellcheck shell=bash
# Homeserver, support bridge and demonstration platform in one data folder: written, started, watched, stopped. To be sourced
# after build.sh. ./run shows them to a person, ./test to a browser.

# Ports, set by who sources this.
: "${HOMESERVER_PORT:=8008}" "${BRIDGE_PORT:=8009}" "${DESK_PORT:=8010}" "${DEMONSTRATION_PORT:=8090}"
# How long each may take to answer. A first start makes a database; a busy machine takes its time.
START_SECONDS_MAX=60

SERVERS=()      # process ids, in the order of the start
SERVER_NAMES=() # their names, for messages and log files

is_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# `check_port PORT FLAG`
check_port() {
    ! is_taken "$1" || fail "port $1 is taken: stop what listens there, or choose another port with $2"
}

check_ports() {
    check_port "$HOMESERVER_PORT" --homeserver-port
    check_port "$BRIDGE_PORT" --bridge-port
    check_port "$DESK_PORT" --desk-port
    check_port "$DEMONSTRATION_PORT" --demonstration-port
}

# Writes what is not there yet into the data folder, so that a person's changes stay. Ports come from the environment at each
# start and win over the files.
write_configuration() {
    local data=$1
    mkdir -p "$data/logs"
    chmod 700 "$data"
    if [ ! -e "$data/vestibule.toml" ]; then
        cat >"$data/vestibule.toml" <<TOML
# Made by ./run. \`vestibule config example\` prints every key with what it means.
[server]
name = "localhost"
data = "homeserver"
root_key = "root.key"

[registration]
# So that somebody can come with Element. A server that others can reach keeps this false.
open = true

[appservices]
registrations = ["vestibule-bridge.yaml"]
TOML
    fi
    if [ ! -e "$data/bridge.toml" ]; then
        (umask 077 && head -c 12 /dev/urandom | base64 | tr '+/' '-_' >"$data/desk-password")
        cat >"$data/bridge.toml" <<TOML
# Made by ./run. \`vestibule-bridge config example\` prints every key with what it means.
[homeserver]
name = "localhost"

[appservice]
registration = "vestibule-bridge.yaml"

[storage]
data = "bridge"
root_key = "bridge-root.key"

[desk]
password_file = "desk-password"
TOML
    fi
}

export_ports() {
    export VESTIBULE_SERVER__LISTEN=127.0.0.1:$HOMESERVER_PORT
    export VESTIBULE_BRIDGE_HOMESERVER__URL=http://127.0.0.1:$HOMESERVER_PORT
    export VESTIBULE_BRIDGE_APPSERVICE__LISTEN=127.0.0.1:$BRIDGE_PORT
    export VESTIBULE_BRIDGE_DESK__LISTEN=127.0.0.1:$DESK_PORT
}

# `start NAME PORT COMMAND…`: in the background, with a log of its own, until the port answers.
start() {
    local name=$1 port=$2 log pid
    shift 2
    log=$DATA/logs/$name.log
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    SERVERS+=("$pid")
    SERVER_NAMES+=("$name")
    local until=$((SECONDS + START_SECONDS_MAX))
    until is_taken "$port"; do
        kill -0 "$pid" 2>/dev/null || complain "the $name did not start" "$log"
        [ $SECONDS -lt $until ] || complain "the $name does not answer" "$log"
        sleep 0.05
    done
}

# `complain SENTENCE LOG`: the log's last line says why.
complain() {
    stop_servers
    fail "$1: $(tail -n 1 "$2" | tr -d '\r') (the whole log: $2)"
}

# The demonstration's key to the platform interface; made once, by the running homeserver, and kept beside its data.
make_platform_key() {
    local vestibule=$1 answer
    [ ! -s "$DATA/platform.key" ] || return 0
    # Its port is taken before it has opened its data: it is asked something first.
    node -e 'fetch(process.argv[1]).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))' \
        "http://127.0.0.1:$HOMESERVER_PORT/_matrix/client/versions" || complain "the homeserver does not answer" "$DATA/logs/homeserver.log"
    answer=$("$vestibule" --config "$DATA/vestibule.toml" --json keys create 2>"$DATA/logs/keys.log") ||
        complain "the demonstration's key to the platform interface could not be made" "$DATA/logs/keys.log"
    (umask 077 && node -e 'process.stdout.write(JSON.parse(process.argv[1]).key)' "$answer" >"$DATA/platform.key.new")
    mv "$DATA/platform.key.new" "$DATA/platform.key"
}

start_servers() {
    DATA=$1
    local binaries=$CARGO_TARGET_DIR/release
    write_configuration "$DATA"
    export_ports
    # The port may differ from last time, and both sides read it from the registration. Its tokens are kept.
    quietly "$binaries/vestibule-bridge" registration --config "$DATA/bridge.toml"
    start homeserver "$HOMESERVER_PORT" "$binaries/vestibule" serve --config "$DATA/vestibule.toml"
    make_platform_key "$binaries/vestibule"
    start bridge "$DESK_PORT" "$binaries/vestibule-bridge" serve --config "$DATA/bridge.toml"
    start demonstration "$DEMONSTRATION_PORT" node widget/demonstration/server.mjs \
        --homeserver "http://127.0.0.1:$HOMESERVER_PORT" --key-file "$DATA/platform.key" \
        --state "$DATA/demonstration.json" --listen "127.0.0.1:$DEMONSTRATION_PORT"
}

# Ends what was started here, and nothing else, the last first; waits for it.
stop_servers() {
    local index
    # Asked a second time, it is already at it.
    trap "" INT TERM HUP
    for ((index = ${#SERVERS[@]} - 1; index >= 0; index--)); do
        kill -TERM "${SERVERS[index]}" 2>/dev/null || true
        wait "${SERVERS[index]}" 2>/dev/null || true
    done
    SERVERS=()
}

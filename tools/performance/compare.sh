#!/bin/bash
# shellcheck disable=SC2046,SC2086 # lists of pids and names are meant to be split
# Measures Vestibule, Synapse on SQLite and Synapse on PostgreSQL with the same scenarios, one after the other within each
# scenario, so that the three stand side by side in the same minutes. A server that is not being measured is stopped
# (SIGSTOP) and takes no CPU. Ends everything it started, by pid. Results: $OUT/<round>/<server>/<scenario>.json and table.md.
#
#   compare.sh                                        all, about 17 minutes
#   SERVERS=vestibule SCENARIOS="send8 keys" compare.sh
#   SCALE=0.1 CONNECTIONS=50 BIG_MIB=20 compare.sh    a try: tells only whether everything works
#
# Needs: the load generator ($LOADGEN), the release binary ($VESTIBULE), a Python environment with matrix-synapse and
# psycopg2 ($VENV), PostgreSQL's server programs ($PG_BIN) and, when run by root, the user postgres. All of it is looked for in
# the folder $BASE, which should be on the disk to be measured, unless its own variable says where. Writes only $WORK and $OUT.
set -u
here=$(cd "$(dirname "$0")" && pwd)
BASE=${BASE:-$here}
WORK=${WORK:-$BASE/work} OUT=${OUT:-$BASE/results} VENV=${VENV:-$BASE/venv} LOADGEN=${LOADGEN:-$BASE/loadgen}
VESTIBULE=${VESTIBULE:-$HOME/.cache/vestibule/target/release/vestibule}
PG_BIN=${PG_BIN:-$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)}
PORT=${PORT:-7450} SCALE=${SCALE:-1} ROUNDS=${ROUNDS:-1} CONNECTIONS=${CONNECTIONS:-2000} MEDIA_MIB=${MEDIA_MIB:-10} BIG_MIB=${BIG_MIB:-200}
SERVERS=${SERVERS:-vestibule synapse-sqlite synapse-postgres}
SCENARIOS=${SCENARIOS:-register_login create_room send1 send8 send16 hotroom e2e_v3 e2e_sliding todevice keys idle initial_v3 initial_sliding media startup}
declare -A url pids start start_url
ulimit -n "$(ulimit -Hn)"

say() { echo "$(date -u +%T) $*"; }
fail() { say "$*" >&2; exit 1; }
tree() { local p; for p; do echo "$p"; tree $(ps -o pid= --ppid "$p"); done; }
signal() { kill -"$1" $(tree ${pids[$2]}) 2>/dev/null; }

finish() {
	local s p
	for s in "${!pids[@]}"; do
		signal CONT "$s"
		for p in ${pids[$s]}; do # the server first, then its database: INT is PostgreSQL's fast shutdown
			if [ "$(cat "/proc/$p/comm" 2>/dev/null)" = postgres ]; then kill -INT "$p"; else kill -TERM "$p" 2>/dev/null; fi
			wait "$p" 2>/dev/null
		done
	done
}
trap finish EXIT
trap 'exit 130' INT TERM

# Waits until the server at $1, process $2, answers; Synapse's first start makes its schema.
ready() {
	local i
	for ((i = 0; i < 1200; i++)); do
		curl -fsS -o /dev/null "$1/_matrix/client/versions" 2>/dev/null && return
		kill -0 "$2" 2>/dev/null || fail "the server at $1 ended: see the logs in $WORK"
		sleep 0.1
	done
	fail "no answer at $1"
}

vestibule_config() { # folder, port
	mkdir -p "$1"
	cat >"$1/vestibule.toml" <<-END
		[server]
		name = "localhost"
		listen = "127.0.0.1:$2"
		data = "data"
		root_key = "root.key"
		[registration]
		open = true
		[media]
		size_max = "256MiB"
		upload_per_day = "100GB"
		[limits]
		enabled = false
		[log]
		filter = "warn"
	END
}

synapse_config() { # folder, port, database
	local db rc='{per_second: 1000000, burst_count: 1000000}'
	db="{name: sqlite3, args: {database: '$1/homeserver.db'}}"
	[ "$3" = sqlite ] || db="{name: psycopg2, args: {user: synapse, dbname: $3, host: '$WORK/pg/socket', port: $((PORT + 10)), cp_min: 5, cp_max: 10}}"
	mkdir -p "$1"
	cat >"$1/homeserver.yaml" <<-END
		server_name: localhost
		pid_file: $1/homeserver.pid
		listeners: [{port: $2, bind_addresses: [127.0.0.1], type: http, tls: false, resources: [{names: [client]}]}]
		database: $db
		log_config: $1/log.yaml
		media_store_path: $1/media
		signing_key_path: $1/signing.key
		macaroon_secret_key: for measuring only
		form_secret: for measuring only
		report_stats: false
		suppress_key_server_warning: true
		trusted_key_servers: []
		enable_registration: true
		enable_registration_without_verification: true
		max_upload_size: 256M
		rc_message: $rc
		rc_registration: $rc
		rc_registration_token_validity: $rc
		rc_login: {address: $rc, account: $rc, failed_attempts: $rc}
		rc_joins: {local: $rc, remote: $rc}
		rc_joins_per_room: $rc
		rc_invites: {per_room: $rc, per_user: $rc, per_issuer: $rc}
		rc_room_creation: $rc
		rc_media_create: $rc
		rc_presence: {per_user: $rc}
	END
	cat >"$1/log.yaml" <<-END
		version: 1
		formatters: {short: {format: '%(asctime)s %(levelname)s %(name)s %(message)s'}}
		handlers: {file: {class: logging.FileHandler, filename: $1/homeserver.log, formatter: short}}
		root: {level: WARNING, handlers: [file]}
		disable_existing_loggers: false
	END
	[ -f "$1/signing.key" ] || "$VENV/bin/generate_signing_key" -o "$1/signing.key"
}

start_postgres() { # sets postmaster
	local as=()
	[ "$(id -u)" != 0 ] || as=(setpriv --reuid postgres --regid postgres --clear-groups)
	mkdir -p "$WORK/pg/socket"
	[ "$(id -u)" != 0 ] || chown -R postgres: "$WORK/pg"
	(cd "$WORK/pg" && "${as[@]}" "$PG_BIN/initdb" -D "$WORK/pg/data" --encoding=UTF8 --locale=C --auth=trust >initdb.log 2>&1) || fail 'initdb failed'
	(cd "$WORK/pg" && exec "${as[@]}" "$PG_BIN/postgres" -D "$WORK/pg/data" -c listen_addresses= -c "unix_socket_directories=$WORK/pg/socket" \
		-c "port=$((PORT + 10))" >postgres.log 2>&1) &
	postmaster=$!
	pids[synapse-postgres]=$postmaster
	local sql=("${as[@]}" psql -qX -h "$WORK/pg/socket" -p $((PORT + 10)) -d postgres) i
	for ((i = 0; i < 300; i++)); do "${sql[@]}" -c 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done
	"${sql[@]}" -c 'create role synapse login' -c 'create database synapse owner synapse' -c 'create database start owner synapse' || fail 'no PostgreSQL'
}

# Starts the server that will be measured, and makes a second instance ready whose starts will be.
start_server() {
	local s=$1 n dir run pid
	case $s in vestibule) n=0 ;; synapse-sqlite) n=1 ;; synapse-postgres) n=2 ;; *) fail "no server $s" ;; esac
	url[$s]=http://127.0.0.1:$((PORT + n)) start_url[$s]=http://127.0.0.1:$((PORT + 20 + n))
	[ "$s" != synapse-postgres ] || start_postgres
	for dir in "$WORK/$s" "$WORK/$s-start"; do
		local port=$((PORT + n)) db=synapse
		[ "$dir" = "$WORK/$s" ] || port=$((PORT + 20 + n)) db=start
		if [ "$s" = vestibule ]; then
			vestibule_config "$dir" $port
			run="$WORK/bin/vestibule serve --config $dir/vestibule.toml"
		else
			[ "$s" = synapse-postgres ] || db=sqlite
			synapse_config "$dir" $port $db
			run="$VENV/bin/python -m synapse.app.homeserver -c $dir/homeserver.yaml"
		fi
		if [ "$dir" = "$WORK/$s" ]; then
			(cd "$dir" && exec $run >"$dir/out.log" 2>&1) &
			pid=$!
			pids[$s]="$pid ${pids[$s]:-}"
			ready "${url[$s]}" $pid
		else
			start[$s]=$run
			(cd "$dir" && exec "$LOADGEN" -url "${start_url[$s]}" -scenario startup -runs 1 -exec "$run" >first.log 2>&1) || fail "$s does not start twice"
		fi
	done
}

# What a synced append of 1 KiB costs on this disk right now: 100 of them, in ms.
fsync_probe() {
	python3 - "$WORK/fsync.probe" "$1" <<-'END' >>"$out/fsync.jsonl"
		import json, os, sys, time
		f = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
		ms = []
		for _ in range(100):
		    os.write(f, os.urandom(1024))
		    t = time.perf_counter()
		    os.fdatasync(f)
		    ms.append((time.perf_counter() - t) * 1000)
		ms.sort()
		print(json.dumps({"before": sys.argv[2], "p50": round(ms[50], 3), "p99": round(ms[98], 3)}))
	END
}

scaled() { awk -v x="$1" -v k="$SCALE" 'BEGIN { printf "%.2f", x * k }'; }

# One scenario on one server: name, server, seconds, what else the load generator is told.
load() {
	local name=$1 s=$2 seconds=$3 pid=${pids[$2]}
	shift 3
	local to=${url[$s]}
	[ "$name" != startup ] || { to=${start_url[$s]}; pid=; }
	fsync_probe "$name $s"
	timeout 300 "$LOADGEN" -url "$to" -pid "$pid" -label "$s" -json "$out/$s/$name.json" -state "$WORK/$s/users" \
		-duration "$(scaled "$seconds")" -warmup "$(scaled 2)" "$@" >>"$out/$s/loadgen.log" 2>&1 || say "$name on $s FAILED: see $out/$s/loadgen.log"
}

# Lets the allocator give back what the scenario before left, which would hide what a connection takes. jemalloc does so over ten
# seconds, and only while there is something to do.
settle() {
	local i
	for i in {1..7}; do
		"$LOADGEN" -url "${url[$1]}" -scenario raw -workers 8 -warmup 0 -duration 0.2 >/dev/null
		sleep 2
	done
}

scenario() {
	local name=$1 s=$2
	case $name in
	register_login) load $name $s 12 -scenario register_login -users 52 ;;
	create_room) load $name $s 12 -scenario create_room -workers 4 ;;
	send1) load $name $s 10 -scenario send -users 1 ;;
	send8) load $name $s 12 -scenario send -users 8 ;;
	send16) load $name $s 12 -scenario send -users 16 ;;
	hotroom) load $name $s 10 -scenario hotroom -users 16 ;;
	e2e_v3) load $name $s 15 -scenario e2e_latency -users 8 -rate 2 ;;
	e2e_sliding) load $name $s 15 -scenario e2e_latency -users 8 -rate 2 -sync sss ;;
	todevice) load $name $s 10 -scenario todevice -users 8 ;;
	keys) load $name $s 8 -scenario keys -users 32 ;;
	initial_v3) load $name $s 10 -scenario initial_sync -rooms 50 ;;
	initial_sliding) load $name $s 10 -scenario initial_sync -rooms 50 -sync sss ;;
	media) load $name $s 8 -scenario media -workers 2 -media-mib "$MEDIA_MIB" -big-mib "$BIG_MIB" ;;
	idle)
		settle $s
		load $name $s 20 -scenario idle_sync -users "$CONNECTIONS" -sync-timeout 20
		;;
	startup) load $name $s 1 -scenario startup -exec "${start[$s]}" -runs 3 ;;
	*) fail "no scenario $name" ;;
	esac
}

# Memory of all of a server's processes once everything has run, in MiB; what it has on disk.
memory() {
	local s=$1 p dirs=("$WORK/$1")
	[ "$s" != synapse-postgres ] || dirs+=("$WORK/pg/data")
	signal CONT "$s"
	sleep "$(scaled 5)"
	for p in $(tree ${pids[$s]}); do cat "/proc/$p/smaps_rollup"; done 2>/dev/null |
		awk -v disk="$(du -scm "${dirs[@]}" | tail -1 | cut -f1)" '/^Rss:/ { rss += $2 } /^Pss:/ { pss += $2 }
			END { printf "{\"rss_mib\": %.1f, \"pss_mib\": %.1f, \"disk_mib\": %d}\n", rss / 1024, pss / 1024, disk }' >"$out/$s/memory.json"
	signal STOP "$s"
}

if ! [ -x "$LOADGEN" ] || ! [ -x "$VESTIBULE" ]; then fail 'needs LOADGEN and VESTIBULE'; fi
if [ -e "$WORK" ] || [ -e "$OUT" ]; then fail "$WORK or $OUT is there from before: move it away"; fi
mkdir -p "$WORK/bin" "$OUT"
cp "$VESTIBULE" "$WORK/bin/vestibule"
began=$SECONDS
for s in $SERVERS; do
	say "starting $s"
	start_server "$s"
	sleep "$(scaled 5)" # Synapse's work in the background after its first start
	signal STOP "$s"
done
{
	"$WORK/bin/vestibule" --version
	[ ! -x "$VENV/bin/pip" ] || "$VENV/bin/pip" list --format=freeze 2>/dev/null | grep -iE '^(matrix-synapse|psycopg2|twisted)'
	[ -z "$PG_BIN" ] || "$PG_BIN/postgres" --version
	"$VENV/bin/python" --version
	uname -sr | cut -d- -f1
	echo "cores: $(nproc)"
	awk '/MemTotal/ { printf "memory: %.0f GiB\n", $2 / 1048576 }' /proc/meminfo
	date -u +'%F %R UTC'
} >"$OUT/about.txt"
for ((round = 1; round <= ROUNDS; round++)); do
	out=$OUT/$round
	for s in $SERVERS; do mkdir -p "$out/$s"; done
	for name in $SCENARIOS; do
		for s in $SERVERS; do
			sync
			signal CONT "$s"
			sleep "$(scaled 1)"
			say "round $round: $name on $s"
			scenario "$name" "$s"
			signal STOP "$s"
		done
	done
	for s in $SERVERS; do memory "$s"; done
done
say "took $((SECONDS - began)) s"
node "$here/table.mjs" "$OUT" >"$OUT/table.md" && say "table: $OUT/table.md"
